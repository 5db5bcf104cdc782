"""The guest's cookie: an id of our own under our signature, so nobody can ask for another guest's cart by guessing.

It is no credential: it opens a cart and nothing else."""

import hmac
from typing import Any

from sanic import Request

from service.config import Config
from service.ids import Ids
from service.web.security.cookies import presented

ID_HEX_DIGITS = 64


class Guests:
    def __init__(self, ids: Ids, config: Config) -> None:
        self._ids, self._keys, self._secure = ids, config.keys("guest"), config.secure_cookies
        self._seconds = int(config.guest_cart_ttl_seconds)
        self._name = "__Host-guest" if self._secure else "guest"

    def new(self) -> str:
        return self._ids.secret()

    def read(self, request: Request) -> str | None:
        """The guest's id, if the cookie is one of ours."""
        value = presented(request.cookies.getlist(self._name, [])) if "cookie" in request.headers else None
        if value is None or not value.isascii():
            return None
        guest_id, _, signature = value.partition(".")
        if len(guest_id) != ID_HEX_DIGITS or not self._signed(guest_id, signature):
            return None
        return guest_id

    def cookie(self, guest_id: str) -> dict[str, Any]:
        """For `Reply.cookies`; each change of the cart renews it."""
        return self._cookie(f"{guest_id}.{_sign(self._keys[0], guest_id)}", self._seconds)

    def forget(self) -> dict[str, Any]:
        return self._cookie("", 0)

    def _cookie(self, value: str, seconds: int) -> dict[str, Any]:
        return {
            "key": "guest",
            "value": value,
            "max_age": seconds,
            "httponly": True,
            "samesite": "Lax",
            "secure": self._secure,
            "host_prefix": self._secure,
        }

    def _signed(self, guest_id: str, signature: str) -> bool:
        return any(hmac.compare_digest(signature, _sign(key, guest_id)) for key in self._keys)


def _sign(key: bytes, guest_id: str) -> str:
    return hmac.digest(key, guest_id.encode(), "sha256").hex()
