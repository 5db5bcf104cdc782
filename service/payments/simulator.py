"""The default payment provider: deterministic, and remembers like a real one, in a collection of its own that the
shop never reads except to audit.

The token's name says what happens: `decline` in it declines, `timeout` charges but loses the answer, `unknown`
loses the request, `late` charges and reports only by webhook; anything else pays.
"""

from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from service.clock import Clock
from service.infra.mongo import Database
from service.payments.models import Charge, Outcome


class SimulatedGateway:
    def __init__(self, database: Database, clock: Clock, latency_seconds: float = 0.0) -> None:
        self._charges, self._clock, self._latency_seconds = database["gateway_charges"], clock, latency_seconds

    async def charge(self, charge: Charge) -> Outcome:
        if self._latency_seconds:
            await self._clock.sleep(self._latency_seconds)
        method = charge.method.lower()
        if "unknown" in method:
            return Outcome.UNKNOWN
        status = Outcome.DECLINED if "decline" in method or "fail" in method else Outcome.PAID
        status = await self._record(charge.payment_id, _document(charge, status, self._clock.now()))
        return Outcome.UNKNOWN if "timeout" in method or "late" in method else status

    async def settle(self, payment_id: str) -> Outcome:
        closed = {"amount": 0, "status": Outcome.DECLINED.value, "refunds": {}, "at": self._clock.now()}
        return await self._record(payment_id, closed)

    async def _record(self, payment_id: str, fields: dict[str, Any]) -> Outcome:
        """The first word on an attempt stands."""
        try:
            await self._charges.insert_one({"_id": payment_id, **fields})
            return Outcome(fields["status"])
        except DuplicateKeyError:
            known = await self._charges.find_one({"_id": payment_id})
            return Outcome(known["status"])

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        await self._charges.update_one(
            {"_id": payment_id, "status": Outcome.PAID.value, f"refunds.{refund_id}": {"$exists": False}},
            {"$set": {f"refunds.{refund_id}": amount}, "$inc": {"refunded": amount}},
        )
        known = await self._charges.find_one({"_id": payment_id})
        return bool(known and refund_id in known["refunds"])

    async def close(self) -> None:
        """The database is the shop's."""


def _document(charge: Charge, status: Outcome, at: datetime) -> dict[str, Any]:
    return {
        "orderId": charge.order_id,
        "amount": charge.amount,
        "currency": charge.currency,
        "method": charge.method,
        "status": status.value,
        "refunded": 0,
        "refunds": {},
        "at": at,
    }
