"""The default payment provider: deterministic, and remembers like a real one, in a collection of its own that the
shop never reads except to audit.

The token's name says what happens: `decline` in it declines, `timeout` charges but loses the answer, `unknown`
loses the request, `late` charges and reports only by webhook, `authenticate` waits for the
customer (`authenticate`, which plays the page of the customer's bank); anything else pays.
"""

import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from service.clock import Clock
from service.infra.batcher import Batcher
from service.infra.mongo.client import Database, insert_new
from service.payments.models import Charge, ChargeOutcome, PaymentSession, Taken

AT_ONCE_MAX = 256
WAITING_MAX = 20_000


class SimulatedGateway:
    """Charges that wait are recorded together, as a provider's own computers would not wait for each other's disk."""

    def __init__(self, database: Database, clock: Clock, latency_seconds: float = 0.0, key: bytes = b"") -> None:
        """`key` makes the secrets of sessions."""
        self._key = key
        self._charges, self._clock, self._latency_seconds = database["gateway_charges"], clock, latency_seconds
        self._record: Batcher[dict[str, Any], ChargeOutcome] = Batcher(
            self._record_together, items_max=AT_ONCE_MAX, waiting_max=WAITING_MAX
        )

    async def charge(self, charge: Charge) -> ChargeOutcome:
        if self._latency_seconds:
            await self._clock.sleep(self._latency_seconds)
        method = charge.method.lower()
        if "unknown" in method:
            return ChargeOutcome.UNKNOWN
        status = await self._record(_document(charge, _outcome_of(method), self._clock.now()))
        return ChargeOutcome.UNKNOWN if "timeout" in method or "late" in method else status

    async def settle(self, payment_id: str) -> ChargeOutcome:
        status = ChargeOutcome.DECLINED.value
        closed = {"_id": payment_id, "amount": 0, "status": status, "refunds": {}, "at": self._clock.now()}
        found = await self._record(closed)
        if found is not ChargeOutcome.REQUIRES_ACTION:
            return found
        await self._end_wait(payment_id, ChargeOutcome.DECLINED)
        return (await self.session(payment_id)).outcome

    async def session(self, payment_id: str) -> PaymentSession:
        charge = await self._charges.find_one({"_id": payment_id}, {"status": 1})
        outcome = ChargeOutcome(charge["status"]) if charge else ChargeOutcome.UNKNOWN
        waits = outcome is ChargeOutcome.REQUIRES_ACTION
        return PaymentSession(outcome, self._client_secret(payment_id) if waits else None)

    async def authenticate(self, client_secret: str, *, agrees: bool) -> str | None:
        """What the customer says on the page of the bank. The attempt, or None for a secret that is none of ours."""
        payment_id = client_secret.partition("_")[0]
        if not hmac.compare_digest(client_secret.encode(), self._client_secret(payment_id).encode()):
            return None
        await self._end_wait(payment_id, ChargeOutcome.PAID if agrees else ChargeOutcome.DECLINED)
        return payment_id

    async def _end_wait(self, payment_id: str, outcome: ChargeOutcome) -> None:
        """In the write that finds it waiting: of two ends only one counts."""
        waiting = {"_id": payment_id, "status": ChargeOutcome.REQUIRES_ACTION.value}
        await self._charges.update_one(waiting, {"$set": {"status": outcome.value}})

    def _client_secret(self, payment_id: str) -> str:
        return f"{payment_id}_secret_{hmac.digest(self._key, payment_id.encode(), 'sha256').hex()}"

    async def _record_together(self, charges: Sequence[dict[str, Any]]) -> Sequence[ChargeOutcome]:
        """The first word on an attempt stands."""
        there = await insert_new(self._charges, charges)
        known = await self._known(there) if there else {}
        return [ChargeOutcome(known.get(charge["_id"], charge["status"])) for charge in charges]

    async def _known(self, payment_ids: Sequence[str]) -> dict[str, str]:
        found = self._charges.find({"_id": {"$in": payment_ids}}, {"status": 1})
        return {charge["_id"]: charge["status"] for charge in await found.to_list(None)}

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        await self._charges.update_one(
            {"_id": payment_id, "status": ChargeOutcome.PAID.value, f"refunds.{refund_id}": {"$exists": False}},
            {"$set": {f"refunds.{refund_id}": amount}, "$inc": {"refunded": amount}},
        )
        known = await self._charges.find_one({"_id": payment_id})
        return bool(known and refund_id in known["refunds"])

    async def taken_since(self, since: datetime) -> AsyncIterator[Taken]:
        async for charge in self._charges.find({"status": ChargeOutcome.PAID.value, "at": {"$gte": since}}):
            kept = charge["amount"] - charge["refunded"]
            yield Taken(charge["_id"], charge["orderId"], kept, charge["currency"], charge["at"])

    async def close(self) -> None:
        """The database is the shop's."""


def _outcome_of(method: str) -> ChargeOutcome:
    if "decline" in method or "fail" in method:
        return ChargeOutcome.DECLINED
    return ChargeOutcome.REQUIRES_ACTION if "authenticate" in method else ChargeOutcome.PAID


def _document(charge: Charge, status: ChargeOutcome, at: datetime) -> dict[str, Any]:
    return {
        "_id": charge.payment_id,
        "orderId": charge.order_id,
        "amount": charge.amount,
        "currency": charge.currency,
        "method": charge.method,
        "status": status.value,
        "refunded": 0,
        "refunds": {},
        "at": at,
    }
