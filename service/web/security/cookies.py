"""The cookies of a login. `__Host-` binds them to this host and to TLS; plain names are for plain-http development."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SAME_SITE = {"access": "Lax", "refresh": "Strict", "csrf": "Strict", "device": "Strict"}
ENDED_BY_LOGOUT = ("access", "refresh", "csrf")


@dataclass(frozen=True, slots=True)
class CookieNames:
    """Names as they travel."""

    access: str
    refresh: str
    csrf: str
    device: str


class Cookies:
    def __init__(self, secure: bool) -> None:
        self._secure = secure
        prefix = "__Host-" if secure else ""
        self.names = CookieNames(f"{prefix}access", f"{prefix}refresh", f"{prefix}csrf", f"{prefix}device")

    def login(self, access: str, access_seconds: float, refresh: str, refresh_seconds: float) -> list[dict[str, Any]]:
        """For `Reply.cookies`. The access cookie is sent along on links from elsewhere, the refresh cookie never."""
        return [self._cookie("access", access, access_seconds), self._cookie("refresh", refresh, refresh_seconds)]

    def csrf(self, token: str) -> list[dict[str, Any]]:
        """Lives as long as the browser; nothing but the comparison with X-CSRF-Token reads it."""
        return [{name: value for name, value in self._cookie("csrf", token, 0).items() if name != "max_age"}]

    def device(self, value: str, seconds: float) -> list[dict[str, Any]]:
        """Says that this browser has logged in before; stays when it logs out."""
        return [self._cookie("device", value, seconds)]

    def logout(self) -> list[dict[str, Any]]:
        return [self._cookie(key, "", 0) for key in ENDED_BY_LOGOUT]

    def _cookie(self, key: str, value: str, seconds: float) -> dict[str, Any]:
        return {
            "key": key,
            "value": value,
            "max_age": int(seconds),
            "httponly": True,
            "samesite": SAME_SITE[key],
            "secure": self._secure,
            "host_prefix": self._secure,
        }


def presented(values: Iterable[str] | None) -> str | None:
    """The one value of a cookie; two of a name are somebody's attempt to choose between them."""
    found = list(values or ())
    return found[0] if len(found) == 1 else None
