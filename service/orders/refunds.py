"""Giving money back, in part or whole, and the goods onto the shelf when asked.

The refund is first promised in one posting (with the restock), then the provider is asked; a promise left open by a
crash is fulfilled later. The provider knows each refund by its id, so it pays it once.
"""

from collections.abc import Sequence
from datetime import timedelta

from service.errors import Unavailable
from service.idempotency import IdempotencyKey, IdempotencyRecord
from service.inventory.ledger import Ledger
from service.inventory.models import Line, StateMoved, merge
from service.orders import postings
from service.orders.models import REFUNDABLE, Order, Refund, RefundTooLarge
from service.orders.repository import OrderRepository
from service.orders.usecases import OrderResult, Orders, recorded, replayed_order, wrong_status
from service.payments.models import Gateway
from service.runtime import Runtime

FULFILLED_PER_RUN_MAX = 1_000
ATTEMPTS_MAX = 8


class Refunds:
    def __init__(
        self,
        orders: Orders,
        repository: OrderRepository,
        ledger: Ledger,
        gateway: Gateway,
        runtime: Runtime,
    ) -> None:
        self._orders, self._repository, self._ledger, self._gateway = orders, repository, ledger, gateway
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config

    async def refund(
        self, order_id: str, lines: Sequence[Line], restock: bool, actor: str, key: IdempotencyKey | None = None
    ) -> OrderResult:
        """Refunds `lines`, or all that is left when there are none. Raises WrongStatus, RefundTooLarge, KeyReused."""
        if key is not None and (answer := await self._repeated(key)):
            return answer
        for _ in range(ATTEMPTS_MAX):
            order = await self._orders.get(order_id)
            refund = self._plan(order, merge(lines), restock, actor)
            try:
                outcome = await self._ledger.post(postings.refunded(order, refund, key))
            except StateMoved:  # another refund came first: what is left has changed
                continue
            if isinstance(outcome, IdempotencyRecord):
                return await self._replay(outcome)
            await self._fulfil(order, refund)
            return OrderResult(await self._orders.get(order_id))
        raise Unavailable("The order is changing too quickly", retry_after_seconds=1)

    async def _repeated(self, key: IdempotencyKey) -> OrderResult | None:
        record = await recorded(self._repository, key)
        return None if record is None else await self._replay(record)

    async def _replay(self, record: IdempotencyRecord) -> OrderResult:
        order = await replayed_order(self._repository, record)
        return OrderResult(order.as_refunded(record.outcome["refundId"]), replayed=True)

    def _plan(self, order: Order, lines: Sequence[Line], restock: bool, actor: str) -> Refund:
        if order.status not in REFUNDABLE:
            raise wrong_status(order)
        left = order.refundable()
        wanted = {line.sku: line.quantity for line in lines} or left
        excess = [sku for sku, quantity in wanted.items() if quantity > left.get(sku, 0)]
        if excess:
            raise RefundTooLarge(errors=[{"path": "items", "message": f"{sku}: more than is left"} for sku in excess])
        if restock:
            _check_restock(order, wanted)
        amount = order.total - order.refunded if wanted == left else _share(order, wanted)
        given = tuple(Line(sku, quantity) for sku, quantity in wanted.items())
        return Refund(self._ids.new(), amount, restock, given, self._clock.now(), actor)

    async def _fulfil(self, order: Order, refund: Refund) -> bool:
        assert order.payment is not None, "only paid orders are refunded"
        done = refund.amount == 0 or await self._gateway.refund(order.payment.id, refund.id, refund.amount)
        if done:
            await self._repository.finish_refund(order.id, refund.id)
        return done

    async def reconcile(self) -> int:
        """Fulfils refunds that were promised and not confirmed. Returns how many are now done."""
        cutoff = self._clock.now() - timedelta(seconds=self._config.payment_unknown_after_seconds)
        orders = await self._repository.open_refunds(cutoff, FULFILLED_PER_RUN_MAX)
        promised = [(order, refund) for order in orders for refund in order.refunds if not refund.done]
        return sum([await self._fulfil(order, refund) for order, refund in promised])


def _check_restock(order: Order, wanted: dict[str, int]) -> None:
    """What comes back by a return goes on the shelf with it, and not a second time with its money."""
    left = order.returnable()
    message = "comes back by a return: refund it without `restock`"
    errors = [{"path": "items", "message": f"{sku}: {message}"} for sku, n in wanted.items() if n > left.get(sku, 0)]
    if errors:
        raise RefundTooLarge(f"{errors[0]['message']}", errors=errors)


def _share(order: Order, wanted: dict[str, int]) -> int:
    """A discount is given back in proportion, rounded down; the last refund takes what is left, to the penny."""
    prices = {line.sku: line.unit_price for line in order.lines}
    gross = sum(prices[sku] * quantity for sku, quantity in wanted.items())
    return gross * order.total // order.subtotal if order.subtotal else 0
