"""Placing, cancelling, sending and finding orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.catalog.offers import Offer, Offers
from service.clock import Clock
from service.config import Config
from service.errors import Problem, revive
from service.ids import Ids
from service.inventory.ledger import Ledger
from service.inventory.models import HoldStatus, KeyReused, Line, Replayed, StateMoved, merge
from service.orders import postings
from service.orders.models import (
    Order,
    OrderLine,
    OrderNotFound,
    OrderStatus,
    OrderTooLarge,
    PaymentInProgress,
    ReservationState,
    StatusChange,
    UnknownItems,
    WrongStatus,
    before,
)
from service.orders.postings import Key
from service.orders.repository import OrderRepository

TOTAL_MAX = 10**12  # minor units


@dataclass(frozen=True, slots=True)
class Answer:
    """An order, and whether this repeats an earlier answer."""

    order: Order
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class OrderPage:
    items: tuple[Order, ...]
    next_before: tuple[datetime, str] | None


class Orders:
    def __init__(
        self, repository: OrderRepository, ledger: Ledger, offers: Offers, clock: Clock, ids: Ids, config: Config
    ) -> None:
        self._repository, self._ledger, self._offers = repository, ledger, offers
        self._clock, self._ids, self._config = clock, ids, config

    async def checkout(self, user_id: str, lines: Sequence[Line], key: Key | None = None) -> Answer:
        """Places the order and holds its stock, all lines or none, at the catalogue's prices.

        Raises UnknownItems, OrderTooLarge, InsufficientStock, KeyReused; Unavailable when the store did not answer."""
        try:
            order = self._new_order(user_id, await self._priced(merge(lines)))
        except UnknownItems:  # a repetition is answered as before, whatever has left the catalogue meanwhile
            if key is not None and (order_before := await repeated(self._repository, key)):
                return Answer(order_before.as_placed(), replayed=True)
            raise
        outcome = await self._ledger.post(postings.placed(order, key))
        if isinstance(outcome, Replayed):
            return Answer((await replayed_order(self._repository, outcome)).as_placed(), replayed=True)
        return Answer(order)

    async def _priced(self, lines: tuple[Line, ...]) -> tuple[OrderLine, ...]:
        offers = await self._offers.of(line.sku for line in lines)
        unknown = [line.sku for line in lines if line.sku not in offers or not offers[line.sku].active]
        if unknown:
            raise UnknownItems(errors=[{"path": "items", "message": f"{sku} is not sold here"} for sku in unknown])
        return tuple(_line(line, offers[line.sku]) for line in lines)

    def _new_order(self, user_id: str, lines: tuple[OrderLine, ...]) -> Order:
        if len(lines) > self._config.order_lines_max:
            raise OrderTooLarge(f"An order has at most {self._config.order_lines_max} lines")
        total = sum(line.line_total for line in lines)
        if total > TOTAL_MAX:
            raise OrderTooLarge(f"An order comes to at most {TOTAL_MAX} minor units")
        now = self._clock.now()
        return Order(
            id=self._ids.new(),
            number=self._ids.number("HF-"),
            user_id=user_id,
            status=OrderStatus.PENDING,
            lines=lines,
            subtotal=total,
            discount=0,
            total=total,
            currency=self._config.currency,
            created_at=now,
            reservation=ReservationState(
                HoldStatus.ACTIVE, now + timedelta(seconds=self._config.reservation_ttl_seconds)
            ),
            history=(StatusChange(OrderStatus.PENDING, now, user_id),),
        )

    async def cancel(self, order: Order, actor: str, key: Key | None = None) -> Answer:
        """Pending → cancelled, stock freed. Raises WrongStatus, or PaymentInProgress while a payment is open."""
        posting = postings.cancelled(order, actor, "cancelled", self._clock.now(), key)
        try:
            outcome = await self._ledger.post(posting)
        except StateMoved:
            raise await self._why_not_cancelled(order.id) from None
        return Answer(await self.get(order.id), isinstance(outcome, Replayed))

    async def _why_not_cancelled(self, order_id: str) -> Problem:
        order = await self.get(order_id)
        if order.status is OrderStatus.PENDING:
            return PaymentInProgress(retry_after_seconds=1)
        return wrong_status(order)

    async def ship(self, order_id: str, actor: str) -> Order:
        return await self._move(order_id, OrderStatus.SHIPPED, actor)

    async def deliver(self, order_id: str, actor: str) -> Order:
        return await self._move(order_id, OrderStatus.DELIVERED, actor)

    async def _move(self, order_id: str, status: OrderStatus, actor: str) -> Order:
        moved = await self._repository.move(order_id, status, sorted(before(status)), actor, self._clock.now())
        order = await self.get(order_id)
        if not moved:
            raise wrong_status(order)
        return order

    async def get(self, order_id: str) -> Order:
        order = await self._repository.find(order_id)
        if order is None:
            raise OrderNotFound()
        return order

    async def own(self, user_id: str, order_id: str) -> Order:
        """Another user's order is answered as if it did not exist."""
        order = await self.get(order_id)
        if order.user_id != user_id:
            raise OrderNotFound()
        return order

    async def newest(
        self, user_id: str | None, status: OrderStatus | None, after: tuple[datetime, str] | None, limit: int
    ) -> OrderPage:
        """Newest first, of one user, of one status, of both, or of all."""
        found = await self._repository.newest(user_id, status, after, limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        return OrderPage(tuple(found[:limit]), None if last is None else (last.created_at, last.id))


async def repeated(repository: OrderRepository, key: Key) -> Order | None:
    """The order an idempotency key already stands for, if any. Raises its refusal, or KeyReused."""
    record = await repository.recorded(key.id)
    if record is None:
        return None
    if record["fingerprint"] != key.fingerprint:
        raise KeyReused()
    return await replayed_order(repository, Replayed(record["outcome"]))


async def replayed_order(repository: OrderRepository, replay: Replayed) -> Order:
    """The order an idempotency key stands for. Raises the refusal if it stands for one."""
    if "refused" in replay.outcome:
        raise revive(replay.outcome)
    if "orderId" not in replay.outcome:
        raise KeyReused()
    order = await repository.find(replay.outcome["orderId"])
    assert order is not None, "an idempotency record without its order"
    return order


def wrong_status(order: Order) -> Problem:
    return WrongStatus(f"The order is {order.status}", orderStatus=order.status.value)


def _line(line: Line, offer: Offer) -> OrderLine:
    return OrderLine(line.sku, offer.product_id, offer.name, line.quantity, offer.unit_price)
