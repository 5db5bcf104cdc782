"""Signed notices of the payment provider: who signed, how long ago, and whether it was heard before.

A notice is never believed about money: it says which attempt to ask the provider about."""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from service.clock import Clock
from service.config import Config
from service.errors import Invalid
from service.payments.models import BadSignature, EventReader, PaymentEvent
from service.payments.repository import EventRepository

SIGNATURE_BYTES_MAX = 512


class Webhooks:
    def __init__(self, reader: EventReader, repository: EventRepository, clock: Clock) -> None:
        self._reader, self._repository, self._clock = reader, repository, clock

    @property
    def header(self) -> str:
        """The header that carries the signature."""
        return self._reader.header

    async def receive(self, payload: bytes, signature: str | None, settle: Callable[[str], Awaitable[None]]) -> bool:
        """Settles the attempt the event is about, and remembers the event only then: one that failed half way is
        heard again. False for a repetition. Raises BadSignature."""
        if signature is None or len(signature) > SIGNATURE_BYTES_MAX:
            raise BadSignature(f"Send the signature as {self.header}")
        event = self._reader.read(payload, signature)
        if await self._repository.heard(event.id):
            return False
        if event.payment_id is not None:
            await settle(event.payment_id)
        await self._repository.remember(event.id, self._clock.now())
        return True


class SimulatedEvent(msgspec.Struct, rename="camel"):
    id: str
    payment_id: str


class SimulatedEvents:
    """As Stripe signs: `t=SECONDS,v1=HMAC-SHA256(key, "SECONDS.payload")`."""

    header = "Payment-Signature"

    def __init__(self, clock: Clock, config: Config) -> None:
        self._clock, self._key = clock, config.key("payment-webhook")
        self._tolerance_seconds = config.webhook_tolerance_seconds

    def read(self, payload: bytes, signature: str) -> PaymentEvent:
        at = self._signed_at(payload, signature)
        if abs((self._clock.now() - at).total_seconds()) > self._tolerance_seconds:
            raise BadSignature("The event was signed too long ago, or in the future")
        try:
            event = msgspec.json.decode(payload, type=SimulatedEvent)
        except msgspec.MsgspecError as error:
            raise Invalid(str(error)) from None
        return PaymentEvent(event.id, event.payment_id)

    def _signed_at(self, payload: bytes, signature: str) -> datetime:
        fields = dict(part.partition("=")[::2] for part in signature.split(","))
        stamp, given = fields.get("t", ""), fields.get("v1", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise BadSignature()
        if not hmac.compare_digest(given.encode(), _mac(self._key, stamp, payload).encode()):
            raise BadSignature()
        return datetime.fromtimestamp(int(stamp), UTC)


def sign(key: bytes, payload: bytes, at: datetime) -> str:
    """The signature field of the simulated provider, for whoever plays it."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={_mac(key, stamp, payload)}"


def _mac(key: bytes, stamp: str, payload: bytes) -> str:
    return hmac.digest(key, stamp.encode() + b"." + payload, "sha256").hex()
