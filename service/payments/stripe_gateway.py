"""Stripe through its own library.

An attempt becomes an unconfirmed PaymentIntent, is put on record, and only then confirmed. So whoever settles it
later finds either an intent to ask about, or closes the attempt before it could ever be confirmed. What is not
paid by then is cancelled at Stripe, which makes DECLINED final.
"""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import stripe
from stripe import PaymentIntent, StripeClient

from service.clock import Clock
from service.config import Config
from service.errors import Invalid
from service.payments.models import BadSignature, Charge, ChargeOutcome, PaymentEvent, PaymentSession, Taken
from service.payments.repository import AttemptRepository

log = logging.getLogger(__name__)
API_VERSION = "2024-06-20"  # the library's own default changes with its releases; the wire must not
RETRIES_MAX = 2
LISTED_AT_ONCE = 100
ACTION = "requires_action"  # an intent that waits for the customer


class StripeGateway:
    def __init__(self, attempts: AttemptRepository, clock: Clock, config: Config) -> None:
        self._attempts, self._clock = attempts, clock
        self._http = stripe.AIOHTTPClient(timeout=config.payment_timeout_seconds / 2)
        self._client = StripeClient(
            config.stripe_api_key,
            http_client=self._http,
            stripe_version=API_VERSION,
            max_network_retries=RETRIES_MAX,
            base_addresses={"api": config.stripe_api_base} if config.stripe_api_base else {},
        )

    async def charge(self, charge: Charge) -> ChargeOutcome:
        try:
            intent = await self._create(charge)
            if not await self._attempts.open(charge.payment_id, intent.id, self._clock.now()):
                return await self.settle(charge.payment_id)
            return await self._confirm(intent.id, charge.payment_id)
        except (stripe.CardError, stripe.InvalidRequestError) as refused:
            log.warning("Stripe refused payment %s: %s", charge.payment_id, refused.code)
            return await self.settle(charge.payment_id)
        except stripe.StripeError as error:
            log.warning("Stripe gave no answer on payment %s: %s", charge.payment_id, type(error).__name__)
            return ChargeOutcome.UNKNOWN

    async def _create(self, charge: Charge) -> PaymentIntent:
        wanted: Any = {
            "amount": charge.amount,
            "currency": charge.currency.lower(),
            "payment_method": charge.method,
            "payment_method_types": ["card"],
            "metadata": {"paymentId": charge.payment_id, "orderId": charge.order_id},
        }
        return await self._client.v1.payment_intents.create_async(
            wanted, {"idempotency_key": f"{charge.payment_id}-create"}
        )

    async def _confirm(self, intent_id: str, payment_id: str) -> ChargeOutcome:
        options: Any = {"idempotency_key": f"{payment_id}-confirm"}
        intent = await self._client.v1.payment_intents.confirm_async(intent_id, options=options)
        return ChargeOutcome.REQUIRES_ACTION if intent.status == ACTION else await self._conclude(intent)

    async def session(self, payment_id: str) -> PaymentSession:
        intent_id = await self._attempts.intent(payment_id)
        if intent_id is None:
            return PaymentSession(ChargeOutcome.UNKNOWN)
        try:
            intent = await self._client.v1.payment_intents.retrieve_async(intent_id)
            if intent.status == ACTION:
                return PaymentSession(ChargeOutcome.REQUIRES_ACTION, intent.client_secret)
            return PaymentSession(await self._conclude(intent))
        except stripe.StripeError as error:
            log.warning("Stripe gave no answer on payment %s: %s", payment_id, type(error).__name__)
            return PaymentSession(ChargeOutcome.UNKNOWN)

    async def settle(self, payment_id: str) -> ChargeOutcome:
        intent_id = await self._attempts.intent_or_close(payment_id, self._clock.now())
        if intent_id is None:
            return ChargeOutcome.DECLINED
        try:
            return await self._conclude(await self._client.v1.payment_intents.retrieve_async(intent_id))
        except stripe.StripeError as error:
            log.warning("Stripe gave no answer on payment %s: %s", payment_id, type(error).__name__)
            return ChargeOutcome.UNKNOWN

    async def _conclude(self, intent: PaymentIntent) -> ChargeOutcome:
        """An intent that is neither paid nor on its way is cancelled, so that it never will be."""
        if intent.status in {"succeeded", "processing", "canceled"}:
            return _outcome(intent.status)
        try:
            cancelled = await self._client.v1.payment_intents.cancel_async(intent.id)
        except stripe.InvalidRequestError:  # it moved on meanwhile
            cancelled = await self._client.v1.payment_intents.retrieve_async(intent.id)
        return _outcome(cancelled.status)

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        intent_id = await self._attempts.intent(payment_id)
        if intent_id is None:
            return False
        try:
            return await self._refund_once(intent_id, refund_id, amount)
        except stripe.StripeError as error:
            log.warning("Stripe did not refund %s: %s", refund_id, error.code or type(error).__name__)
            return False

    async def _refund_once(self, intent_id: str, refund_id: str, amount: int) -> bool:
        """Stripe forgets an idempotency key after a day; its list of refunds does not."""
        given = await self._client.v1.refunds.list_async({"payment_intent": intent_id, "limit": 100})
        known = next((refund for refund in given.data if _refund_id(refund) == refund_id), None)
        refund = known or await self._client.v1.refunds.create_async(
            {"payment_intent": intent_id, "amount": amount, "metadata": {"refundId": refund_id}},
            {"idempotency_key": refund_id},
        )
        return refund.status in {"succeeded", "pending"}

    async def taken_since(self, since: datetime) -> AsyncIterator[Taken]:
        """Stripe lists the newest first."""
        options: Any = {"limit": LISTED_AT_ONCE, "expand": ["data.latest_charge"]}
        listed = await self._client.v1.payment_intents.list_async(options)
        async for intent in listed.auto_paging_iter():
            if intent.created < int(since.timestamp()):
                return
            if intent.status == "succeeded":
                yield _taken(intent)

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


def _refund_id(refund: stripe.Refund) -> str | None:
    known: str | None = refund.metadata.to_dict().get("refundId") if refund.metadata else None
    return known


def _taken(intent: PaymentIntent) -> Taken:
    """Of an intent that somebody else has made there, nothing of ours is known."""
    ours = intent.metadata.to_dict() if intent.metadata else {}
    returned = getattr(intent.latest_charge, "amount_refunded", 0) or 0
    return Taken(
        ours.get("paymentId", intent.id),
        ours.get("orderId", ""),
        intent.amount - returned,
        intent.currency.upper(),
        datetime.fromtimestamp(intent.created, UTC),
    )


def _outcome(status: str) -> ChargeOutcome:
    match status:
        case "succeeded":
            return ChargeOutcome.PAID
        case "canceled":
            return ChargeOutcome.DECLINED
    return ChargeOutcome.UNKNOWN


class _Subject(msgspec.Struct):
    metadata: dict[str, str] | None = None


class _Data(msgspec.Struct):
    object: _Subject


class _Event(msgspec.Struct):
    id: str
    type: str
    data: _Data


class StripeEvents:
    """The signature and its age are checked by Stripe's own library."""

    header = "Stripe-Signature"

    def __init__(self, config: Config) -> None:
        self._secret, self._tolerance_seconds = config.stripe_webhook_secret, int(config.webhook_tolerance_seconds)

    def read(self, payload: bytes, signature: str) -> PaymentEvent:
        try:
            stripe.WebhookSignature.verify_header(payload.decode(), signature, self._secret, self._tolerance_seconds)
            event = msgspec.json.decode(payload, type=_Event)
        except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
            raise BadSignature(str(error)) from None
        except msgspec.MsgspecError as error:
            raise Invalid(str(error)) from None
        ours = event.data.object.metadata or {} if event.type.startswith("payment_intent.") else {}
        return PaymentEvent(event.id, ours.get("paymentId"))
