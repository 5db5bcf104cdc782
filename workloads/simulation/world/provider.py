"""The payment provider as a party of its own: it acts whether or not the shop lives to hear of it.

The money is kept by the service's own simulated gateway, on a connection that never fails; this module adds what
the way there adds: latency, lost requests, answers after the shop gave up, and webhooks that come late or twice.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from service.payments.models import Charge, ChargeOutcome, Gateway, PaymentSession, Taken
from workloads.simulation.world.faults import Misfortune
from workloads.simulation.world.loop import SimulationLoop

Result = TypeVar("Result")
Notify = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ProviderTimes:
    """Virtual seconds. The webhook may well overtake the answer."""

    latency_mean: float = 0.8
    answer_too_late_max: float = 120.0
    webhook_mean: float = 0.5
    webhook_late_max: float = 3600.0


class Provider:
    """`notify` delivers a webhook to the shop; the service's Gateway protocol is this class."""

    def __init__(
        self, books: Gateway, loop: SimulationLoop, luck: Misfortune, notify: Notify, times: ProviderTimes
    ) -> None:
        self._books, self._loop, self.luck, self._notify, self._times = books, loop, luck, notify, times
        self._under_way: dict[asyncio.Task[Any], None] = {}

    async def charge(self, charge: Charge) -> ChargeOutcome:
        if self.luck.strikes("payment_lost"):
            await asyncio.sleep(self._times.answer_too_late_max)
            return ChargeOutcome.UNKNOWN
        return await self._on_its_own(self._charge(charge))

    async def session(self, payment_id: str) -> PaymentSession:
        return await self._on_its_own(self._answer(self._books.session(payment_id)))

    async def settle(self, payment_id: str) -> ChargeOutcome:
        return await self._on_its_own(self._answer(self._books.settle(payment_id)))

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        return await self._on_its_own(self._answer(self._books.refund(payment_id, refund_id, amount)))

    async def close(self) -> None:
        """Nothing is held open."""

    def taken_since(self, since: datetime) -> AsyncIterator[Taken]:
        return self._books.taken_since(since)

    async def rest(self) -> None:
        """Until nothing is under way any more, the latest webhook included."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    async def _charge(self, charge: Charge) -> ChargeOutcome:
        late = self.luck.seconds(self._times.answer_too_late_max) if self.luck.strikes("payment_timeout") else 0.0
        acts_first = self.luck.seconds(1.0) < 0.5
        await self._way(0.0 if acts_first else late)
        outcome = await self._books.charge(charge)
        for _ in range(1 + self.luck.strikes("webhook_twice")):
            self._detach(self._webhook(charge.payment_id))
        await self._way(late if acts_first else 0.0)
        return outcome

    async def _way(self, late: float) -> None:
        """To the provider or back: half the latency each."""
        await asyncio.sleep(self.luck.latency_seconds(self._times.latency_mean / 2) + late)

    async def _answer(self, action: Awaitable[Result]) -> Result:
        await asyncio.sleep(self.luck.latency_seconds(self._times.latency_mean))
        return await action

    async def _webhook(self, payment_id: str) -> None:
        late = self.luck.seconds(self._times.webhook_late_max) if self.luck.strikes("webhook_late") else 0.0
        await asyncio.sleep(self.luck.latency_seconds(self._times.webhook_mean) + late)
        await self._notify(payment_id)

    async def _on_its_own(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The caller may time out or die; the work goes on."""
        return await asyncio.shield(self._detach(work))

    def _detach(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        nobodys = contextvars.Context()
        task = self._loop.create_task(work, context=nobodys)
        self._under_way[task] = None
        task.add_done_callback(self._under_way.pop, context=nobodys)
        return task
