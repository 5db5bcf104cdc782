"""Each step of an order as one posting: what it moves, what it expects, what it writes. Pure."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from service.cart.usecases import Emptied
from service.errors import Problem, remember
from service.events import (
    Event,
    MailRequested,
    OrderCancelled,
    OrderDelivered,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
)
from service.idempotency import IdempotencyClaim, IdempotencyKey
from service.inventory.models import (
    Action,
    Below,
    Change,
    Confirm,
    Expect,
    Expire,
    HoldLimits,
    HoldStatus,
    Lapsed,
    Line,
    MovementKind,
    NoStock,
    Posting,
    Reference,
    Release,
    Reserve,
    Write,
)
from service.orders.models import (
    REFUNDABLE,
    SETTLED,
    Coupon,
    CouponChanged,
    CouponUsedUp,
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    before,
)
from service.orders.repository import (
    COLLECTION,
    COUPON_USERS,
    COUPONS,
    coupon_user_id,
    order_document,
    payment_document,
    refund_document,
    return_document,
    status_update,
)
from service.orders.return_models import Return, ReturnStatus
from service.payments.models import PaymentDeclined

GUEST_ORDER = "guest_order"  # the mail that a guest gets
Guards = tuple[Expect | Below, ...]
COUPON_HELD = frozenset({True, None})  # an order of before this was noted holds what it used


def _claim(
    key: IdempotencyKey | None, outcome: dict[str, Any], refusals: bool = True, kept: bool = True
) -> IdempotencyClaim | None:
    return None if key is None else key.claim(outcome, refusals, kept)


def placed(
    order: Order,
    key: IdempotencyKey | None,
    coupon: Coupon | None = None,
    cart: Emptied | None = None,
    limits: HoldLimits | None = None,
    also_held_by: str | None = None,
) -> Posting:
    """The order, its holds and its key appear together; its coupon is used and its cart emptied with them."""
    return Posting(
        Reserve(
            order.id,
            order.user_id,
            tuple(Line(line.sku, line.quantity) for line in order.lines),
            order.reservation.expires_at,
            limits,
            order.coupon,
            also_held_by,
        ),
        actor=order.user_id,
        reason="checkout",
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id}),
        expects=(*_coupon_guards(order, coupon), *(() if cart is None else (cart.expect,))),
        writes=(
            Write(COLLECTION, order.id, document=order_document(order)),
            *_coupon_uses(order, 1),
            *(() if cart is None else (cart.write,)),
        ),
        facts=(OrderPlaced(order.id, order.user_id), *_confirmation(order)),
    )


def _confirmation(order: Order) -> tuple[MailRequested, ...]:
    """A guest is told by mail: its link is the way back to the order."""
    if order.email is None:
        return ()
    told = {"number": order.number, "order_id": order.id}
    return (MailRequested(f"{GUEST_ORDER}:{order.id}", order.email, GUEST_ORDER, told),)


def claimed_by_account(order: Order, user_id: str) -> Posting:
    """A guest's settled order becomes an account's; a use of its coupon goes along."""
    moves = order.coupon is not None and order.coupon_held
    counted = (
        ()
        if order.coupon is None or not moves
        else (
            Write(
                COUPON_USERS, coupon_user_id(order.coupon, order.user_id), update={"$inc": {"used": -1}}, upsert=True
            ),
            Write(COUPON_USERS, coupon_user_id(order.coupon, user_id), update={"$inc": {"used": 1}}, upsert=True),
        )
    )
    update = {"$set": {"userId": user_id}, "$unset": {"email": ""}, "$inc": {"version": 1}}
    return Posting(
        NoStock(),
        actor=user_id,
        reason="claimed",
        order_id=order.id,
        expects=(
            Expect(COLLECTION, order.id, "userId", frozenset({order.user_id})),
            Expect(COLLECTION, order.id, "version", frozenset({order.version})),
        ),
        writes=(Write(COLLECTION, order.id, update=update), *counted),
    )


def _coupon_guards(order: Order, coupon: Coupon | None) -> Guards:
    if coupon is None:
        return ()
    guards: Guards = (Expect(COUPONS, coupon.code, "version", frozenset({coupon.version}), CouponChanged),)
    if coupon.uses_max is not None:
        guards += (Below(COUPONS, coupon.code, "used", coupon.uses_max, CouponUsedUp),)
    if coupon.uses_per_user_max is not None:
        user = coupon_user_id(coupon.code, order.user_id)
        guards += (Below(COUPON_USERS, user, "used", coupon.uses_per_user_max, CouponUsedUp),)
    return guards


def _coupon_uses(order: Order, step: int) -> tuple[Write, ...]:
    """One use more, or one given back."""
    return () if order.coupon is None else _counted(order.coupon, order.user_id, step)


def _counted(coupon: str, user_id: str, step: int) -> tuple[Write, ...]:
    counted = {"$inc": {"used": step}}
    return (
        Write(COUPONS, coupon, update=counted),
        Write(COUPON_USERS, coupon_user_id(coupon, user_id), update=counted, upsert=True),
    )


def _coupon_as_read(order: Order) -> Guards:
    """A use is counted once and given back once: both look at what the order says of it, in the posting."""
    if order.coupon is None:
        return ()
    return (Expect(COLLECTION, order.id, "couponHeld", COUPON_HELD if order.coupon_held else frozenset({False})),)


def claimed(order: Order, attempt: Payment, coupon: Coupon | None = None) -> Posting:
    """For one attempt to pay it: nobody else can pay or cancel the order until that has ended. `coupon` is one that it
    had given back: it is used again before any money is asked for, or the claim is refused."""
    update: dict[str, Any] = {"$set": {"payment": payment_document(attempt)}, "$inc": {"version": 1}}
    if coupon is not None:
        update["$set"]["couponHeld"] = True
    return Posting(
        NoStock(),
        actor=order.user_id,
        reason="payment",
        order_id=order.id,
        claim=_claim(attempt.key, {}, kept=False),  # is it known already? this step settles nothing
        expects=(*_unclaimed(order.id), *_coupon_as_read(order), *_coupon_guards(order, coupon)),
        writes=(
            Write(COLLECTION, order.id, update=update),
            *(() if coupon is None else _coupon_uses(order, 1)),
        ),
    )


def _unclaimed(order_id: str) -> Guards:
    return (
        Expect(COLLECTION, order_id, "status", frozenset({OrderStatus.PENDING.value})),
        Expect(COLLECTION, order_id, "payment.status", SETTLED),
    )


def paid(order: Order, payment_id: str, at: datetime, key: IdempotencyKey | None) -> Posting:
    """The hold is sold and the order paid. A refusal is not remembered: the money has to go back first."""
    update = status_update(
        OrderStatus.PAID,
        order.user_id,
        at,
        **{"payment.status": PaymentStatus.PAID.value, "reservation.status": HoldStatus.CONFIRMED.value},
    )
    fact = OrderPaid(order.id, order.user_id)
    claim = _claim(key, {"orderId": order.id}, refusals=False)
    return _settled(order, payment_id, Confirm(order.id), update, fact, claim)


def declined(order: Order, payment_id: str, at: datetime, key: IdempotencyKey | None) -> Posting:
    """The stock is freed and the order cancelled; a repetition is told the same."""
    update = _cancelled(order, order.user_id, at, "payment_declined", PaymentStatus.DECLINED)
    fact = OrderCancelled(order.id, order.user_id, "payment_declined")
    claim = _claim(key, remember(PaymentDeclined()))
    return _settled(order, payment_id, Release(order.id), update, fact, claim, _coupon_uses(order, -1))


def unsold(order: Order, payment_id: str, refusal: Problem, at: datetime, key: IdempotencyKey | None) -> Posting:
    """Paid, but the stock is gone: the order is cancelled and its money marked to go back."""
    update = _cancelled(order, order.user_id, at, "reservation_expired", PaymentStatus.RETURNING)
    fact = OrderCancelled(order.id, order.user_id, "reservation_expired")
    claim = _claim(key, remember(refusal))
    return _settled(order, payment_id, Release(order.id), update, fact, claim, _coupon_uses(order, -1))


def _settled(
    order: Order,
    payment_id: str,
    action: Action,
    update: dict[str, Any],
    fact: Event,
    claim: IdempotencyClaim | None,
    more: tuple[Write, ...] = (),
) -> Posting:
    return Posting(
        action,
        actor=order.user_id,
        reason="payment",
        order_id=order.id,
        claim=claim,
        expects=(
            Expect(COLLECTION, order.id, "status", frozenset({OrderStatus.PENDING.value})),
            Expect(COLLECTION, order.id, "payment.id", frozenset({payment_id})),
        ),
        writes=(Write(COLLECTION, order.id, update=update), *more),
        facts=(fact,),
        resolves=len(order.lines),
    )


def cancelled(order: Order, actor: str, reason: str, at: datetime, key: IdempotencyKey | None) -> Posting:
    """Pending → cancelled, the stock freed and the coupon given back, unless a payment is under way."""
    return Posting(
        Release(order.id),
        actor=actor,
        reason=reason,
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id}, refusals=False),
        expects=(*_unclaimed(order.id), *_coupon_as_read(order)),
        writes=(
            Write(COLLECTION, order.id, update=_cancelled(order, actor, at, reason)),
            *(_coupon_uses(order, -1) if order.coupon_held else ()),
        ),
        facts=(OrderCancelled(order.id, order.user_id, reason),),
        resolves=len(order.lines),
    )


def _cancelled(
    order: Order, actor: str, at: datetime, reason: str, payment: PaymentStatus | None = None
) -> dict[str, Any]:
    lapsed = reason == "reservation_expired" or order.with_expiry_applied(at).reservation.status is HoldStatus.EXPIRED
    hold = HoldStatus.EXPIRED if lapsed else HoldStatus.RELEASED
    fields: dict[str, Any] = {"cancelReason": reason, "reservation.status": hold.value}
    if payment is not None:
        fields["payment.status"] = payment.value
    if order.coupon is not None:
        fields["couponHeld"] = False
    return status_update(OrderStatus.CANCELLED, actor, at, **fields)


def expired(order_id: str) -> Posting:
    """The hold is freed; the order stays pending and can still be paid if stock allows. It needs no writing: whoever
    reads it sees by the time that its hold has ended."""
    return Posting(Expire(order_id), actor="system", reason="expired", order_id=order_id)


def lapsed_with_coupon(hold: Lapsed, coupon: str) -> Posting:
    """As `expired`, and the use of its coupon is given back, once. Raises StateMoved while a payment is under way,
    which keeps the coupon until it has ended."""
    return replace(
        expired(hold.order_id),
        expects=(*_unclaimed(hold.order_id), Expect(COLLECTION, hold.order_id, "couponHeld", COUPON_HELD)),
        writes=(
            Write(COLLECTION, hold.order_id, update={"$set": {"couponHeld": False}}),
            *_counted(coupon, hold.user_id, -1),
        ),
    )


def moved(order: Order, status: OrderStatus, actor: str, at: datetime, tracking_number: str | None = None) -> Posting:
    """A status change that moves no stock and no money: shipped, delivered."""
    assert status in {OrderStatus.SHIPPED, OrderStatus.DELIVERED}
    told = {} if tracking_number is None else {"trackingNumber": tracking_number}
    fact = OrderShipped if status is OrderStatus.SHIPPED else OrderDelivered
    return Posting(
        NoStock(),
        actor=actor,
        order_id=order.id,
        expects=(Expect(COLLECTION, order.id, "status", frozenset(source.value for source in before(status))),),
        writes=(Write(COLLECTION, order.id, update=status_update(status, actor, at, **told)),),
        facts=(fact(order.id, order.user_id),),
    )


def return_requested(order: Order, asked: Return, key: IdempotencyKey | None) -> Posting:
    """The order's version is the guard: of two requests for the same units the second one sees the first."""
    update = {"$push": {"returns": return_document(asked)}, "$inc": {"version": 1}}
    return _returned(order, asked, update, NoStock(), key)


def return_moved(order: Order, after: Return, key: IdempotencyKey | None) -> Posting:
    """One step of a return. Closing it puts on the shelf what inspection found fit to be sold."""
    place = next(number for number, one in enumerate(order.returns) if one.id == after.id)
    update = {"$set": {f"returns.{place}": return_document(after)}, "$inc": {"version": 1}}
    back = tuple(Line(line.sku, line.restocked) for line in after.lines if line.restocked)
    closing = after.status is ReturnStatus.CLOSED and back
    return _returned(order, after, update, Change(MovementKind.RESTOCK, back) if closing else NoStock(), key)


def _returned(
    order: Order, after: Return, update: dict[str, Any], action: Action, key: IdempotencyKey | None
) -> Posting:
    return Posting(
        action,
        actor=after.history[-1].actor,
        reason="returned",
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id, "returnId": after.id}, refusals=False),
        expects=(Expect(COLLECTION, order.id, "version", frozenset({order.version})),),
        writes=(Write(COLLECTION, order.id, update=update),),
        reference=Reference("return", after.id),
    )


def refunded(order: Order, refund: Refund, key: IdempotencyKey | None) -> Posting:
    """The refund is promised (the provider is asked afterwards, once) and what comes back is on the shelf again."""
    update: dict[str, Any] = {"$push": {"refunds": refund_document(refund)}, "$inc": {"version": 1}}
    if order.refundable() == {line.sku: line.quantity for line in refund.lines}:
        update = status_update(OrderStatus.REFUNDED, refund.actor, refund.at)
        update["$push"]["refunds"] = refund_document(refund)
    return Posting(
        Change(MovementKind.RESTOCK, refund.lines) if refund.restocked else NoStock(),
        actor=refund.actor,
        reason="refund",
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id, "refundId": refund.id}, refusals=False),
        expects=(
            Expect(COLLECTION, order.id, "status", frozenset(status.value for status in REFUNDABLE)),
            Expect(COLLECTION, order.id, "version", frozenset({order.version})),
        ),
        writes=(Write(COLLECTION, order.id, update=update),),
        facts=(OrderRefunded(order.id, order.user_id, refund.amount),),
    )
