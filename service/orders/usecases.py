"""Placing, cancelling, sending and finding orders."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from service.cart.models import Owner
from service.cart.usecases import Carts, Emptied
from service.catalog.offers import Offers
from service.errors import Forbidden, Invalid, Problem, revive
from service.idempotency import IdempotencyKey, IdempotencyRecord
from service.infra.batcher import Batcher
from service.inventory.allowance import TooMuchHeld
from service.inventory.ledger import Ledger
from service.inventory.models import HoldStatus, KeyReused, Line, Posting, StateMoved, merge
from service.orders import postings, pricing
from service.orders.coupons import Coupons
from service.orders.guest_links import GuestLinks
from service.orders.hold_limits import AccountHoldLimits
from service.orders.models import (
    OPEN_PAYMENTS,
    Coupon,
    NotClaimable,
    Order,
    OrderLine,
    OrderNotFound,
    OrderStatus,
    PaymentInProgress,
    ReservationState,
    StatusChange,
    TotalChanged,
    VerificationNeeded,
    WrongStatus,
)
from service.orders.repository import OrderRepository
from service.runtime import Runtime

REPEATABLE = (Invalid, Forbidden, TooMuchHeld, TotalChanged)


@dataclass(frozen=True, slots=True)
class OrderResult:
    """An order, and whether this repeats an earlier answer. `client_secret`: of a payment that waits for its
    customer."""

    order: Order
    replayed: bool = False
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class OrderPage:
    items: tuple[Order, ...]
    next_before: tuple[datetime, str] | None


class Terms(NamedTuple):
    """What decides whether an order is taken, and at which price."""

    offers: Offers
    limits: AccountHoldLimits
    coupons: Coupons


class Orders:
    def __init__(
        self,
        repository: OrderRepository,
        ledger: Ledger,
        terms: Terms,
        carts: Carts,
        runtime: Runtime,
    ) -> None:
        self._repository, self._ledger, self._carts = repository, ledger, carts
        self._offers, self._limits, self._coupons = terms
        self._guests = GuestLinks(runtime.config)
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config
        self._read: Batcher[str, Order | None] = Batcher(
            self._read_together,
            items_max=runtime.config.batch_postings_max,
            waiting_max=runtime.config.postings_waiting_max,
        )

    async def checkout(
        self,
        user_id: str,
        lines: Sequence[Line],
        key: IdempotencyKey | None = None,
        coupon_code: str | None = None,
        expected_total: int | None = None,
        shipping_address: Mapping[str, str] | None = None,
        email: str | None = None,
    ) -> OrderResult:
        """Places the order and holds its stock, all lines or none, at the catalogue's prices. `email` is a guest's.

        Raises UnknownItems, OrderTooLarge, VerificationNeeded, TotalChanged, TooMuchHeld, InsufficientStock, KeyReused,
        CouponNotValid, CouponUsedUp, CouponChanged; Unavailable when the store did not answer."""
        try:
            posting, order = await self._prepare(
                user_id, lines, key, coupon_code, expected_total, None, shipping_address, email
            )
        except REPEATABLE as refusal:  # a repetition is answered as before, whatever has left the catalogue meanwhile
            return await self._answered_before(key, refusal)
        return await self._place(posting, order)

    async def checkout_cart(
        self,
        user_id: str,
        key: IdempotencyKey | None = None,
        coupon_code: str | None = None,
        expected_total: int | None = None,
        shipping_address: Mapping[str, str] | None = None,
        email: str | None = None,
    ) -> OrderResult:
        """As `checkout`, of what is in the customer's cart, which is empty when the order is there.

        Raises EmptyCart and CartChangedDuringCheckout too."""
        try:
            cart = await self._carts.taken(Owner.user(user_id) if email is None else Owner(user_id, guest=True))
            posting, order = await self._prepare(
                user_id, cart.lines, key, coupon_code, expected_total, cart, shipping_address, email
            )
        except REPEATABLE as refusal:
            return await self._answered_before(key, refusal)
        return await self._place(posting, order)

    async def _answered_before(self, key: IdempotencyKey | None, refusal: Problem) -> OrderResult:
        """What the key already stands for. Raises the refusal if it is a new one."""
        if key is not None and (order := await repeated(self._repository, key)):
            return OrderResult(order.as_placed(), replayed=True)
        raise refusal

    async def _prepare(
        self,
        user_id: str,
        lines: Sequence[Line],
        key: IdempotencyKey | None,
        coupon_code: str | None,
        expected_total: int | None,
        cart: Emptied | None = None,
        shipping_address: Mapping[str, str] | None = None,
        email: str | None = None,
    ) -> tuple[Posting, Order]:
        wanted = merge(lines)
        offers, verified = await asyncio.gather(
            self._offers.of(line.sku for line in wanted), self._limits.is_verified(user_id)
        )
        priced = pricing.priced(wanted, offers)
        pricing.check_quantities(wanted, offers, self._limits.sku_units_max)
        pricing.check_account(wanted, offers, verified)
        coupon = None if coupon_code is None else await self._coupons.usable(coupon_code)
        order = replace(self._new_order(user_id, priced, coupon), shipping_address=shipping_address, email=email)
        pricing.check_total(expected_total, order.total, order.currency)
        address = None if email is None else self._guests.mark(email)
        return postings.placed(order, key, coupon, cart, self._limits.allowance(verified, offers), address), order

    async def _place(self, posting: Posting, order: Order) -> OrderResult:
        outcome = await self._ledger.post(posting)
        if isinstance(outcome, IdempotencyRecord):
            return OrderResult((await replayed_order(self._repository, outcome)).as_placed(), replayed=True)
        return OrderResult(order)

    def _new_order(self, user_id: str, lines: tuple[OrderLine, ...], coupon: Coupon | None) -> Order:
        subtotal = pricing.check_size(lines, self._config.order_lines_max)
        now = self._clock.now()
        discount = 0 if coupon is None else coupon.discount(subtotal, now)
        return Order(
            id=self._ids.new(),
            number=self._ids.number("HF-"),
            user_id=user_id,
            status=OrderStatus.PENDING,
            lines=lines,
            subtotal=subtotal,
            discount=discount,
            total=subtotal - discount,
            currency=self._config.currency,
            created_at=now,
            reservation=ReservationState(
                HoldStatus.ACTIVE, now + timedelta(seconds=self._config.reservation_ttl_seconds)
            ),
            coupon=None if coupon is None else coupon.code,
            history=(StatusChange(OrderStatus.PENDING, now, user_id),),
        )

    async def cancel(self, order: Order, actor: str, key: IdempotencyKey | None = None) -> OrderResult:
        """Pending → cancelled, stock freed. Raises WrongStatus, or PaymentInProgress while a payment is open."""
        try:
            outcome = await self._ledger.post(postings.cancelled(order, actor, "cancelled", self._clock.now(), key))
        except StateMoved:
            now = await self.get(order.id)
            if now.gave_coupon_back_since(order):
                return await self.cancel(now, actor, key)
            raise _why_not_cancelled(now) from None
        if isinstance(outcome, IdempotencyRecord):
            return OrderResult(await replayed_order(self._repository, outcome), replayed=True)
        return OrderResult(await self.get(order.id))

    async def coupon_to_use_again(self, order: Order) -> Coupon | None:
        """The coupon of an order whose hold ran out: it was given back, and is needed to pay after all."""
        return None if order.coupon is None or order.coupon_held else await self._coupons.get(order.coupon)

    async def cancel_abandoned(self) -> int:
        """Cancels orders whose hold ended `order_abandoned_after_seconds` ago and that nobody paid, oldest first.
        Safe to run anywhere, any number at once. Returns how many this run cancelled."""
        cutoff = self._clock.now() - timedelta(seconds=self._config.order_abandoned_after_seconds)
        deadline, cancelled = self._clock.monotonic() + self._config.abandoned_seconds_max, 0
        while self._clock.monotonic() < deadline:
            due = await self._repository.abandoned(cutoff, self._config.sweep_orders_max)
            cancelled += sum(await asyncio.gather(*(self._abandon(order) for order in due)))
            if len(due) < self._config.sweep_orders_max:
                break
        return cancelled

    async def _abandon(self, order: Order) -> bool:
        try:
            await self._ledger.post(postings.cancelled(order, "system", "abandoned", self._clock.now(), None))
        except StateMoved:  # paid or cancelled at the last moment
            return False
        return True

    async def forget_never_paid(self) -> int:
        """Deletes cancelled orders that nobody ever paid, once they are older than `unpaid_orders_kept_seconds`: they
        say what somebody wanted once, and nothing else points to them. Returns how many."""
        cutoff = self._clock.now() - timedelta(seconds=self._config.unpaid_orders_kept_seconds)
        deadline, deleted, after = self._clock.monotonic() + self._config.abandoned_seconds_max, 0, None
        while self._clock.monotonic() < deadline:
            due = await self._repository.never_paid(cutoff, after, self._config.sweep_orders_max)
            if not due:
                break
            deleted += await self._repository.delete_never_paid([order_id for _, order_id in due])
            after = due[-1]
        return deleted

    async def ship(self, order_id: str, actor: str, tracking_number: str | None = None) -> Order:
        return await self._move(order_id, OrderStatus.SHIPPED, actor, tracking_number)

    async def deliver(self, order_id: str, actor: str) -> Order:
        return await self._move(order_id, OrderStatus.DELIVERED, actor)

    async def _move(self, order_id: str, status: OrderStatus, actor: str, tracking_number: str | None = None) -> Order:
        order = await self.get(order_id)
        try:
            await self._ledger.post(postings.moved(order, status, actor, self._clock.now(), tracking_number))
        except StateMoved:
            raise wrong_status(await self.get(order_id)) from None
        return await self.get(order_id)

    async def get(self, order_id: str) -> Order:
        """As it is now. Orders that are asked for at once are read together."""
        order = await self._read(order_id)
        if order is None:
            raise OrderNotFound()
        return order

    async def _read_together(self, batch: Sequence[str]) -> Sequence[Order | None]:
        now = self._clock.now()
        found = {order.id: order.with_expiry_applied(now) for order in await self._repository.find_all(set(batch))}
        return [found.get(order_id) for order_id in batch]

    async def count_of(self, user_ids: Iterable[str]) -> int:
        """How many orders these customers have ever placed."""
        return await self._repository.count_of(user_ids)

    async def own(self, user_id: str, order_id: str) -> Order:
        """Another user's order is answered as if it did not exist."""
        order = await self.get(order_id)
        if order.user_id != user_id:
            raise OrderNotFound()
        return order

    async def claim(self, order_id: str, user_id: str) -> Order:
        """A guest's order becomes that of the account which has verified the same address.

        Raises OrderNotFound, also for an order of somebody else; VerificationNeeded; NotClaimable while it may still be
        paid."""
        order, account = await self.get(order_id), await self._limits.verified_address(user_id)
        if account is None:
            raise VerificationNeeded("Verify your e-mail address first")
        if order.email is None or self._guests.mark(order.email) != self._guests.mark(account):
            raise OrderNotFound()
        if order.status is OrderStatus.PENDING or order.payment_status in OPEN_PAYMENTS:
            raise NotClaimable()
        try:
            await self._ledger.post(postings.claimed_by_account(order, user_id))
        except StateMoved:
            raise NotClaimable("The order was changed at the same moment; look at it again") from None
        return await self.own(user_id, order_id)

    async def forget_guest(self, order_id: str) -> None:
        """The address that a guest gave, and where it was sent. Raises OrderNotFound, NotClaimable."""
        order = await self.get(order_id)
        if order.status is OrderStatus.PENDING:
            raise NotClaimable("The order can still be paid: cancel it first")
        await self._repository.forget_guest(order_id)

    async def newest(
        self,
        user_id: str | None,
        status: OrderStatus | None,
        after: tuple[datetime, str] | None,
        limit: int,
        number: str | None = None,
    ) -> OrderPage:
        """Newest first, of one user, of one status, of both, or of all; with `number`, that order if it is there."""
        found = await self._repository.newest(user_id, status, after, limit + 1, number)
        now = self._clock.now()
        orders = tuple(order.with_expiry_applied(now) for order in found[:limit])
        return OrderPage(orders, (orders[-1].created_at, orders[-1].id) if len(found) > limit else None)


async def recorded(repository: OrderRepository, key: IdempotencyKey) -> IdempotencyRecord | None:
    """What an idempotency key already stands for, if anything. Raises KeyReused."""
    record = await repository.recorded(key.id)
    if record is not None and record.fingerprint != key.fingerprint:
        raise KeyReused()
    return record


async def repeated(repository: OrderRepository, key: IdempotencyKey) -> Order | None:
    """The order an idempotency key already stands for, if any. Raises its refusal, or KeyReused."""
    record = await recorded(repository, key)
    return None if record is None else await replayed_order(repository, record)


async def replayed_order(repository: OrderRepository, record: IdempotencyRecord) -> Order:
    """The order an idempotency key stands for. Raises the refusal if it stands for one."""
    if "refused" in record.outcome:
        raise revive(record.outcome)
    if "orderId" not in record.outcome:
        raise KeyReused()
    order = await repository.find(record.outcome["orderId"])
    assert order is not None, "an idempotency record without its order"
    return order


def _why_not_cancelled(order: Order) -> Problem:
    if order.status is OrderStatus.PENDING:
        return PaymentInProgress(retry_after_seconds=1)
    return wrong_status(order)


def wrong_status(order: Order) -> Problem:
    return WrongStatus(f"The order is {order.status}", orderStatus=order.status.value)
