"""Paying: the one place where money and stock meet.

The provider is asked outside any lock or transaction. The order is first claimed for one attempt, then the provider
is asked, then one posting moves stock and status together. What a crash or a lost answer leaves open is settled
later from the provider's own word (`reconcile`); so money is never taken twice and never kept without stock.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta

from msgspec.structs import replace

from service.errors import Problem
from service.idempotency import IdempotencyKey, IdempotencyRecord
from service.inventory.ledger import Ledger
from service.inventory.models import HoldResolved, Posting, ReservationExpired, StateMoved
from service.orders import postings
from service.orders.models import (
    OPEN_PAYMENTS,
    IdempotencyInProgress,
    Order,
    OrderStatus,
    Payment,
    PaymentInProgress,
    PaymentStatus,
)
from service.orders.repository import OrderRepository
from service.orders.usecases import OrderResult, Orders, repeated, replayed_order, wrong_status
from service.payments.models import (
    Charge,
    ChargeOutcome,
    Gateway,
    PaymentDeclined,
    PaymentSession,
    PaymentUnknown,
    check_method,
)
from service.runtime import Runtime

log = logging.getLogger(__name__)
RECONCILED_PER_RUN_MAX = 1_000


class Settlement:
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

    async def pay(self, order: Order, method: str, key: IdempotencyKey | None = None) -> OrderResult:
        """Paid and stock deducted, or the refusal raised: PaymentDeclined (order cancelled, stock freed),
        ReservationExpired (money returned), CouponUsedUp (nothing charged), PaymentUnknown (settled later; asking
        again is safe), WrongStatus, PaymentInProgress, IdempotencyInProgress, KeyReused, CardNumber."""
        check_method(method)
        payment = order.payment
        if order.status is OrderStatus.PENDING and payment is not None:
            if payment.status is PaymentStatus.UNKNOWN:
                return await self._pay_again(order, payment, key)
            if payment.status is PaymentStatus.REQUIRES_ACTION:
                return await self._go_on(order, payment, key)
        attempt = Payment(self._ids.new(), PaymentStatus.PROCESSING, method, self._clock.now(), key)
        coupon = await self._orders.coupon_to_use_again(order)
        try:
            claimed = await self._ledger.post(postings.claimed(order, attempt, coupon))
        except StateMoved:
            now = await self._orders.get(order.id)
            if now.gave_coupon_back_since(order):
                return await self.pay(now, method, key)
            return self._not_started(now, key)
        if isinstance(claimed, IdempotencyRecord):
            return _repetition(await replayed_order(self._repository, claimed))
        started, outcome = replace(order, payment=attempt), await self._charge(order, attempt)
        if outcome is ChargeOutcome.REQUIRES_ACTION:
            return await self._wait_for_customer(started, attempt, key)
        return OrderResult(await self._settle(started, outcome, key))

    async def _wait_for_customer(self, order: Order, attempt: Payment, key: IdempotencyKey | None) -> OrderResult:
        """The attempt stays open until the customer has acted, or the hold ends."""
        waits = PaymentStatus.REQUIRES_ACTION
        await self._repository.mark_payment(order.id, attempt.id, PaymentStatus.PROCESSING, waits)
        return await self._go_on(replace(order, payment=replace(attempt, status=waits)), attempt, key)

    async def _go_on(self, order: Order, payment: Payment, key: IdempotencyKey | None) -> OrderResult:
        """Answers with the same session while it waits, and settles it once the customer has acted."""
        if key is not None and (known := await repeated(self._repository, key)):
            return _repetition(known)
        session = await self._session(payment.id)
        if session.outcome is ChargeOutcome.REQUIRES_ACTION:
            return OrderResult(await self._orders.get(order.id), client_secret=session.client_secret)
        return OrderResult(await self._settle(order, session.outcome, key or payment.key))

    async def _session(self, payment_id: str) -> PaymentSession:
        try:
            return await asyncio.wait_for(self._gateway.session(payment_id), self._config.payment_timeout_seconds)
        except TimeoutError:
            return PaymentSession(ChargeOutcome.UNKNOWN)

    async def cancel(self, order: Order, actor: str, key: IdempotencyKey | None = None) -> OrderResult:
        """As `Orders.cancel`, which refuses while a payment is open; one that waits is closed first."""
        if order.status is OrderStatus.PENDING and order.payment_status is PaymentStatus.REQUIRES_ACTION:
            order = await self.give_up(order)
            if order.status is OrderStatus.CANCELLED:
                return OrderResult(order)
        return await self._orders.cancel(order, actor, key)

    async def give_up(self, order: Order) -> Order:
        """Closes a payment that waits for its customer: it can never be paid any more, and the order is cancelled.
        If it was paid at the last moment, the order is sold. Raises PaymentUnknown, ReservationExpired."""
        assert order.payment is not None
        with contextlib.suppress(PaymentDeclined):
            await self._settle(order, await self._ask_again(order), order.payment.key)
        return await self._orders.get(order.id)

    async def _pay_again(self, order: Order, payment: Payment, key: IdempotencyKey | None) -> OrderResult:
        """The last attempt's outcome is not known: it is asked for, nothing is charged."""
        if key is not None and (known := await repeated(self._repository, key)):
            return _repetition(known)
        return OrderResult(await self._settle(order, await self._ask_again(order), key or payment.key))

    def _not_started(self, order: Order, key: IdempotencyKey | None) -> OrderResult:
        """Somebody else's attempt is open or has ended, or this repeats the request that makes or made it."""
        repeats = key is not None and order.payment is not None and order.payment.key == key
        if order.status is OrderStatus.PENDING:
            raise (IdempotencyInProgress if repeats else PaymentInProgress)(retry_after_seconds=1)
        if repeats and order.status is not OrderStatus.CANCELLED:
            return _repetition(order)
        if repeats or order.cancel_reason == "reservation_expired":
            raise _why_cancelled(order)
        raise wrong_status(order)

    async def _charge(self, order: Order, payment: Payment) -> ChargeOutcome:
        if order.total == 0:
            return ChargeOutcome.PAID
        charge = Charge(payment.id, order.total, order.currency, payment.method, order.id)
        try:
            return await asyncio.wait_for(self._gateway.charge(charge), self._config.payment_timeout_seconds)
        except TimeoutError:
            return ChargeOutcome.UNKNOWN

    async def _ask_again(self, order: Order) -> ChargeOutcome:
        assert order.payment is not None
        if order.total == 0:
            return ChargeOutcome.PAID
        try:
            return await asyncio.wait_for(self._gateway.settle(order.payment.id), self._config.payment_timeout_seconds)
        except TimeoutError:
            return ChargeOutcome.UNKNOWN

    async def _settle(self, order: Order, outcome: ChargeOutcome, key: IdempotencyKey | None) -> Order:
        assert order.payment is not None
        match outcome:
            case ChargeOutcome.PAID:
                return await self._sell(order, order.payment, key)
            case ChargeOutcome.DECLINED:
                await self._post(postings.declined(order, order.payment.id, self._clock.now(), key))
                raise PaymentDeclined()
            case _:  # a session that waits stays one
                await self._repository.mark_payment(
                    order.id, order.payment.id, PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN
                )
                raise PaymentUnknown(retry_after_seconds=5)

    async def _sell(self, order: Order, payment: Payment, key: IdempotencyKey | None) -> Order:
        try:
            await self._post(postings.paid(order, payment.id, self._clock.now(), key))
        except (ReservationExpired, HoldResolved) as gone:
            refusal = ReservationExpired(**gone.extra)
            if await self._post(postings.unsold(order, payment.id, refusal, self._clock.now(), key)):
                await self._return_money(order, payment)
                raise refusal from gone
        return (await self._orders.get(order.id)).as_paid()

    async def _post(self, posting: Posting) -> bool:
        """Posts a settlement; whether it stands. If someone else settled the same attempt first, theirs does: their
        refusal is raised, and when they sold it (stock may have come back since ours was refused) nothing is left to
        do."""
        try:
            outcome = await self._ledger.post(posting)
        except StateMoved:
            assert posting.order_id is not None
            order = await self._orders.get(posting.order_id)
            if order.status is OrderStatus.CANCELLED:
                raise _why_cancelled(order) from None
            return False
        if isinstance(outcome, IdempotencyRecord):  # a webhook was faster under the same key, perhaps with a refusal
            await replayed_order(self._repository, outcome)
            return False
        return True

    async def _return_money(self, order: Order, payment: Payment) -> bool:
        returned = order.total == 0 or await self._gateway.refund(payment.id, f"{payment.id}-return", order.total)
        if returned:
            await self._repository.mark_payment(order.id, payment.id, PaymentStatus.RETURNING, PaymentStatus.RETURNED)
        return returned

    async def settled_by_provider(self, payment_id: str) -> None:
        """A webhook says the attempt has ended: ask the provider itself and settle. Unknown attempts are ignored."""
        order = await self._repository.of_payment(payment_id)
        if order is not None and order.payment is not None and order.payment.status in OPEN_PAYMENTS:
            await self._reconcile_one(order)

    async def reconcile(self) -> int:
        """Settles attempts left open longer than `payment_unknown_after_seconds`. Returns how many were closed."""
        cutoff = self._clock.now() - timedelta(seconds=self._config.payment_unknown_after_seconds)
        found = await self._repository.open_payments(cutoff, RECONCILED_PER_RUN_MAX)
        return sum([await self._reconcile_one(order) for order in found])

    async def _reconcile_one(self, order: Order) -> bool:
        assert order.payment is not None
        if order.payment.status is PaymentStatus.RETURNING:
            return await self._return_money(order, order.payment)
        try:
            outcome = await self._final_word(order, order.payment)
            if outcome is ChargeOutcome.REQUIRES_ACTION:
                return False
            await self._settle(order, outcome, order.payment.key)
        except PaymentUnknown:
            return False
        except Problem as refusal:
            log.info("payment %s settled: %s", order.payment.id, refusal.code)
        return True

    async def _final_word(self, order: Order, payment: Payment) -> ChargeOutcome:
        """A session that waits for its customer is closed when the hold has ended, and not before."""
        waits = payment.status is PaymentStatus.REQUIRES_ACTION and self._clock.now() < order.reservation.expires_at
        return (await self._session(payment.id)).outcome if waits else await self._ask_again(order)


def _repetition(order: Order) -> OrderResult:
    return OrderResult(order.as_paid(), replayed=True)


def _why_cancelled(order: Order) -> Problem:
    match order.cancel_reason:
        case "payment_declined":
            return PaymentDeclined()
        case "reservation_expired":
            return ReservationExpired()
    return wrong_status(order)
