"""Device cookies (OWASP): a browser that has logged in to an account can prove it, so that the failures of strangers
never lock it out.

The cookie holds an entry for each of the last accounts: when it was issued, a nonce, and an HMAC over both and the
account. It is no credential. Attempts that show one are counted by its nonce, so a stolen cookie buys a handful of
guesses and not more.
"""

import base64
import hmac
import re
from datetime import timedelta

from service.clock import Clock
from service.config import Config
from service.ids import Ids

ENTRY = re.compile(r"([0-9a-f]{1,12})\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})(?![\s\S])")
ACCOUNTS_MAX = 5
COOKIE_CHARACTERS_MAX = 1_000


class Devices:
    """`account` is the mark of an account, never its address."""

    def __init__(self, clock: Clock, ids: Ids, config: Config) -> None:
        self._clock, self._ids, self._keys = clock, ids, config.keys("device")
        self._life = timedelta(seconds=config.device_cookie_ttl_seconds)

    def nonce(self, cookie: str, account: str) -> str:
        """Of the entry that was issued to this account; "" when there is none."""
        return next((nonce for entry, nonce in self._entries(cookie) if self._is_of(entry, account)), "")

    def remember(self, cookie: str, account: str) -> str:
        """The cookie with a fresh entry for this account, after a login."""
        issued, nonce = f"{int(self._clock.now().timestamp()):x}", self._ids.secret()[:32]
        others = [entry for entry, _ in self._entries(cookie) if not self._is_of(entry, account)]
        return "~".join([f"{issued}.{nonce}.{_mac(self._keys[0], account, issued, nonce)}", *others][:ACCOUNTS_MAX])

    def _entries(self, cookie: str) -> list[tuple[str, str]]:
        """Well-formed ones that have not expired, with their nonces."""
        found = [ENTRY.match(entry) for entry in cookie[:COOKIE_CHARACTERS_MAX].split("~")]
        return [(entry[0], entry[2]) for entry in found if entry is not None and self._lives(int(entry[1], 16))]

    def _lives(self, issued: int) -> bool:
        age = self._clock.now().timestamp() - issued
        return age + 1 >= 0 and age <= self._life.total_seconds()

    def _is_of(self, entry: str, account: str) -> bool:
        issued, nonce, mac = entry.split(".")
        return any(hmac.compare_digest(mac, _mac(key, account, issued, nonce)) for key in self._keys)


def _mac(key: bytes, account: str, issued: str, nonce: str) -> str:
    raw = hmac.digest(key, f"{account}\0{issued}\0{nonce}".encode(), "sha256")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
