"""Which form of an answer a client wants: RFC 9110 §12.5.1, as far as this service has a choice."""

import re
from functools import lru_cache

HEADER_CHARACTERS_MAX = 1_024
HEADERS_REMEMBERED = 512
MEDIA_RANGE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?![\s\S])")
WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)(?![\s\S])", re.IGNORECASE)
JSON_RANGES = ("application/problem+json", "application/json", "application/*", "*/*")


@lru_cache(maxsize=HEADERS_REMEMBERED)
def prefers_html(accept: str) -> bool:
    """Whether HTML is named and weighs more than JSON does. A client that takes anything is a program."""
    weights = parse(accept)
    html = weights.get("text/html", weights.get("text/*", 0.0))
    return html > next((weights[name] for name in JSON_RANGES if name in weights), 0.0)


def parse(accept: str) -> dict[str, float]:
    """`{media range: weight}`; a member that is not well formed is left out, an oversized header counts as absent."""
    if len(accept) > HEADER_CHARACTERS_MAX:
        return {}
    found: dict[str, float] = {}
    for member in accept.split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        given = [part for part in parameters if part.lower().startswith("q=")]
        weight = WEIGHT.match(given[0]) if given else None
        if MEDIA_RANGE.match(name) and (weight or not given):
            found[name.lower()] = float(weight[1]) if weight else 1.0
    return found
