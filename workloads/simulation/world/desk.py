"""Where clients meet the shop: one request, its retries under the same key, and what the auditor is told of it.

Behaves as a good client of the HTTP API does: what certainly did not arrive is sent again, what may have happened is
asked for again with the same Idempotency-Key, and after a few attempts it gives up not knowing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from service.bootstrap import Shop
from service.errors import Problem, Unavailable
from service.idempotency import IdempotencyKey
from service.infra.mongo.client import UNREACHABLE
from service.inventory.models import Counted, Line
from workloads.model.actions import Reply
from workloads.model.outcomes import BY_CODE, ERROR, OK, PAID, REFUSED, TIMEOUT
from workloads.simulation.checks.auditor import AuditedOperation, Auditor
from workloads.simulation.world.loop import SimulationLoop
from workloads.simulation.world.processes import ConnectionDied, NotConnected, Process

Result = TypeVar("Result")

ATTEMPTS_MAX = 5
RETRY_MEAN_SECONDS = 2.0
BUSY = {"idempotency_in_progress", "payment_in_progress"}


class Desk:
    """Sends every request to a process drawn from the seed, as a load balancer would."""

    def __init__(self, processes: Sequence[Process[Shop]], auditor: Auditor, loop: SimulationLoop, seed: str) -> None:
        self._processes, self._auditor, self._loop = processes, auditor, loop
        self._random = random.Random(seed)

    async def availability(self, sku: str) -> Reply:
        began_at = self._loop.time()
        try:
            stock = await self._process().call(lambda shop: shop.inventory.availability([sku]))
        except (NotConnected, ConnectionDied, Problem, *UNREACHABLE):
            return Reply(ERROR)
        self._auditor.saw_available(sku, stock[sku].available, began_at)
        return Reply(OK, in_stock=stock[sku].available > 0)

    async def check_out(
        self, user: str, key: str, lines: tuple[tuple[str, int], ...], coupon: str | None = None
    ) -> Reply:
        basket: dict[str, int] = {}
        for sku, quantity in lines:
            basket[sku] = basket.get(sku, 0) + quantity
        operation = self._auditor.begin("checkout", user, key, basket)
        asked = tuple(Line(sku, quantity) for sku, quantity in lines)

        async def action(shop: Shop) -> Any:
            return await shop.orders.checkout(user, asked, _key(shop, user, key, repr(lines)), coupon)

        answer = await self._ask(operation, action)
        if answer is None:
            return _told(operation)
        self._auditor.succeeded(operation, answer.order.id)
        return Reply(OK, order_id=answer.order.id)

    async def pay(self, user: str, key: str, order_id: str, method: str) -> Reply:
        operation = self._auditor.begin("pay", user, key, order_id=order_id)

        async def action(shop: Shop) -> Any:
            order = await shop.orders.own(user, order_id)
            return await shop.settlement.pay(order, method, _key(shop, user, key, f"{order_id} {method}"))

        return await self._done(operation, action, PAID)

    async def cancel(self, user: str, key: str, order_id: str) -> Reply:
        operation = self._auditor.begin("cancel", user, key, order_id=order_id)

        async def action(shop: Shop) -> Any:
            order = await shop.orders.own(user, order_id)
            return await shop.orders.cancel(order, user, _key(shop, user, key, order_id))

        return await self._done(operation, action, OK)

    async def refund(self, key: str, order_id: str, *, restock: bool) -> Reply:
        operation = self._auditor.begin("refund", "staff", key, order_id=order_id)

        async def action(shop: Shop) -> Any:
            return await shop.refunds.refund(order_id, (), restock, "staff", _key(shop, "staff", key, order_id))

        return await self._done(operation, action, OK)

    async def ship(self, key: str, order_id: str) -> Reply:
        operation = self._auditor.begin("ship", "staff", key, order_id=order_id)
        return await self._done(operation, lambda shop: shop.orders.ship(order_id, "staff"), OK)

    async def restock(self, key: str, lines: tuple[tuple[str, int], ...]) -> Reply:
        operation = self._auditor.begin("restock", "staff", key)
        goods = [Line(sku, quantity) for sku, quantity in lines]

        async def action(shop: Shop) -> Any:
            return await shop.inventory.receive(goods, "staff", key=_key(shop, "staff", key, repr(lines)))

        return await self._done(operation, action, OK)

    async def shelf(self, sku: str) -> tuple[int, int] | None:
        """What lies on the shelf, and the version it was counted at; None when the shop does not answer."""
        try:
            stock = await self._process().call(lambda shop: shop.inventory.get(sku))
        except (NotConnected, ConnectionDied, Problem, *UNREACHABLE):
            return None
        return stock.on_hand, stock.seq

    async def count(self, key: str, sku: str, on_hand: int, at_seq: int) -> Reply:
        operation = self._auditor.begin("count", "staff", key)

        async def action(shop: Shop) -> Any:
            of_staff = _key(shop, "staff", key, f"{sku} {on_hand} {at_seq}")
            return await shop.inventory.count(Counted(sku, on_hand, at_seq), "count", "staff", of_staff)

        return await self._done(operation, action, OK)

    async def notify_of_payment(self, payment_id: str) -> None:
        """The provider's webhook; it is sent again until the shop takes it."""
        for _ in range(ATTEMPTS_MAX):
            try:
                await self._process().call(lambda shop: shop.settlement.settled_by_provider(payment_id))
                return
            except (NotConnected, ConnectionDied, Problem, *UNREACHABLE):
                await self._pause()

    async def _done(self, operation: AuditedOperation, action: Callable[[Shop], Awaitable[Any]], word: str) -> Reply:
        if await self._ask(operation, action) is None:
            return _told(operation)
        self._auditor.succeeded(operation)
        return Reply(word, order_id=operation.order_id)

    async def _ask(self, operation: AuditedOperation, action: Callable[[Shop], Awaitable[Result]]) -> Result | None:
        """The answer; None when the auditor already knows how it ended: refused, failed or unknown."""
        may_have_happened = False
        for _ in range(ATTEMPTS_MAX):
            operation.attempts += 1
            try:
                return await self._process().call(action)
            except NotConnected:
                pass
            except (ConnectionDied, Unavailable, *UNREACHABLE):
                may_have_happened = True
            except Problem as refusal:
                if refusal.code not in BUSY:
                    self._auditor.refused(operation, refusal.code, tuple(refusal.extra.get("shortages", ())))
                    return None
                may_have_happened = True
            except Exception as error:  # noqa: BLE001 - the HTTP layer would answer 500: always a bug
                self._auditor.broke(operation, error)
                return None
            await self._pause()
        if may_have_happened:
            self._auditor.unknown(operation)
        else:
            self._auditor.failed(operation)
        return None

    def _process(self) -> Process[Shop]:
        return self._random.choice(self._processes)

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.expovariate(1.0 / RETRY_MEAN_SECONDS))


def _key(shop: Shop, user: str, key: str, fingerprint: str) -> IdempotencyKey:
    expires_at = shop.clock.now() + timedelta(seconds=shop.config.idempotency_ttl_seconds)
    return IdempotencyKey(f"{user}:{key}", fingerprint, expires_at)


def _told(operation: AuditedOperation) -> Reply:
    """What the shopper understands of a request that did not succeed."""
    if not operation.code:
        return Reply(TIMEOUT)
    left: tuple[Mapping[str, Any], ...] = operation.shortages
    shortages = tuple((shortage["sku"], shortage["available"]) for shortage in left)
    return Reply(BY_CODE.get(operation.code, REFUSED), shortages=shortages)
