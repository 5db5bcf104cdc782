"""What belongs to a guest without an account: the token that opens one order, and the mark of an e-mail address under
which holds are counted.

A token is an HMAC over the order's id, so nothing is stored that could be stolen. It opens the order for as long as the
order is a guest's: not once it was claimed by an account, or the guest forgotten."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

from service.config import Config
from service.orders.models import Order

TOKEN_LENGTH = 43


class GuestLinks:
    def __init__(self, config: Config) -> None:
        self._keys, self._mark_key = config.keys("guest order"), config.key("guest address")

    def token(self, order_id: str) -> str:
        return _mac(self._keys[0], order_id)

    def opens(self, order: Order, token: str) -> bool:
        if order.email is None or len(token) != TOKEN_LENGTH or not token.isascii():
            return False
        return any(hmac.compare_digest(token, _mac(key, order.id)) for key in self._keys)

    def mark(self, email: str) -> str:
        """Stands for an address, however its letters are written, where it must not be kept."""
        return "email:" + hmac.new(self._mark_key, email.casefold().encode(), "sha256").hexdigest()

    def fill(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the confirmation says when it is sent: no store has seen the token."""
        return {"token": self.token(values["order_id"])}


def _mac(key: bytes, order_id: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, order_id.encode(), "sha256")).decode().rstrip("=")
