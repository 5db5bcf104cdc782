"""The cookies of a login. `__Host-` binds them to this host and to TLS; plain names are for plain-http development."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CookieNames:
    """Names as they travel."""

    access: str
    refresh: str


class Cookies:
    def __init__(self, secure: bool) -> None:
        self._secure = secure
        prefix = "__Host-" if secure else ""
        self.names = CookieNames(f"{prefix}access", f"{prefix}refresh")

    def login(self, access: str, access_seconds: float, refresh: str, refresh_seconds: float) -> list[dict[str, Any]]:
        """For `Reply.cookies`. The access cookie is sent along on links from elsewhere, the refresh cookie never."""
        return [
            self._cookie("access", access, access_seconds, "Lax"),
            self._cookie("refresh", refresh, refresh_seconds, "Strict"),
        ]

    def logout(self) -> list[dict[str, Any]]:
        return [self._cookie("access", "", 0, "Lax"), self._cookie("refresh", "", 0, "Strict")]

    def _cookie(self, key: str, value: str, seconds: float, same_site: str) -> dict[str, Any]:
        return {
            "key": key,
            "value": value,
            "max_age": int(seconds),
            "httponly": True,
            "samesite": same_site,
            "secure": self._secure,
            "host_prefix": self._secure,
        }


def presented(values: Iterable[str] | None) -> str | None:
    """The one value of a cookie; two of a name are somebody's attempt to choose between them."""
    found = list(values or ())
    return found[0] if len(found) == 1 else None
