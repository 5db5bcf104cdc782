"""Where a sign-in leads back to: a path of our own, never another site."""

import re

LENGTH_MAX = 500
# What browsers drop or read as a slash would turn a path into another host's address.
OWN = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*(?![\s\S])")
NOWHERE = ("/login", "/register", "/logout", "/account/reset")


def own_path(text: str, otherwise: str = "/") -> str:
    """`text` if it is a path of ours that somebody can be sent to, else `otherwise`."""
    if len(text) > LENGTH_MAX or not OWN.match(text) or not text.isprintable():
        return otherwise
    return otherwise if text.partition("?")[0] in NOWHERE else text
