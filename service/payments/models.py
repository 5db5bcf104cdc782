"""Payments as the shop sees them: an attempt has one id, and one of three outcomes."""

import re
import unicodedata
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Protocol

from service.errors import Invalid, NotFound, PaymentRequired, Unauthenticated, Unavailable


class PaymentDeclined(PaymentRequired):
    code, title = "payment_declined", "The payment was declined"


class PaymentSessionNotFound(NotFound):
    code, title = "payment_session_not_found", "There is no such payment session"


class PaymentUnknown(Unavailable):
    """Money may have moved. The attempt stays open and is reconciled; asking again is safe."""

    code, title = "payment_unknown", "The payment provider did not answer; the payment is being checked"


class CardNumber(Invalid):
    code, title = "card_number", "Card numbers are for the payment provider only: send the token it gave you"


DIGITS = re.compile(r"(?<![0-9A-Za-z_])\d+(?:[ .-]\d+)*(?![0-9A-Za-z_])")  # in groups, as cards print them
CARD_DIGITS = range(12, 20)


def check_method(method: str) -> None:
    """Refuses what holds a card number (12 to 19 digits that pass Luhn's check), so that none is ever stored or logged.
    Raises CardNumber, which does not repeat it."""
    for found in DIGITS.findall(unicodedata.normalize("NFKC", method)):
        if _holds_card_number(re.split(r"[ .-]", found)):
            raise CardNumber(errors=[{"path": "paymentMethod", "message": "Send the provider's token instead"}])


def _holds_card_number(groups: Sequence[str]) -> bool:
    """Whether some neighbouring groups of digits make one."""
    joined = ("".join(groups[start:end]) for start, end in combinations(range(len(groups) + 1), 2))
    return any(len(digits) in CARD_DIGITS and _passes_luhn([int(digit) for digit in digits]) for digits in joined)


def _passes_luhn(digits: list[int]) -> bool:
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


class ChargeOutcome(StrEnum):
    PAID = "paid"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    REQUIRES_ACTION = "requires_action"  # of the customer, such as 3-D Secure: nothing is paid yet


@dataclass(frozen=True, slots=True)
class PaymentSession:
    """How an attempt stands. `client_secret` is what the customer's browser goes on with, while an action of theirs is
    waited for."""

    outcome: ChargeOutcome
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What the provider is asked for. `payment_id` is its idempotency key: the same id is charged once."""

    payment_id: str
    amount: int
    currency: str
    method: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A charge as the provider remembers it; `payment_id` and `order_id` are what it was told of ours. `amount` is what
    it has kept of it."""

    payment_id: str
    order_id: str
    amount: int
    currency: str
    at: datetime


class Gateway(Protocol):
    """A payment provider. No call raises for a business outcome; a lost answer is ChargeOutcome.UNKNOWN."""

    async def charge(self, charge: Charge) -> ChargeOutcome: ...

    async def session(self, payment_id: str) -> PaymentSession:
        """How the attempt stands, without closing one that waits for the customer."""

    async def settle(self, payment_id: str) -> ChargeOutcome:
        """The final word on an attempt: PAID or DECLINED. One that never arrived, or waits for the customer, is closed,
        so it can never be charged later, and is DECLINED. UNKNOWN only while the provider cannot be asked."""

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        """Returns money, once per `refund_id`. False when the provider did not (yet) do it."""

    def taken_since(self, since: datetime) -> AsyncIterator[Taken]:
        """Every charge that the provider was paid from then on, for whoever has lost what was written down of them."""

    async def close(self) -> None:
        """Lets go of its connections."""


class BadSignature(Unauthenticated):
    code, title = "invalid_signature", "The event was not signed by the payment provider, or too long ago"


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """A provider's notice. `payment_id` is None where it is about nothing of ours."""

    id: str
    payment_id: str | None


class EventReader(Protocol):
    """How one provider signs its notices. `header` carries the signature."""

    header: str

    def read(self, payload: bytes, signature: str) -> PaymentEvent:
        """Raises BadSignature, or Invalid for a signed payload that is no event."""
