"""Each step of an order as one posting: what it moves, what it expects, what it writes. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.errors import Problem, remember
from service.events import Event, OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded
from service.inventory.models import (
    Action,
    Change,
    Claim,
    Confirm,
    Expect,
    Expire,
    HoldStatus,
    Line,
    MovementKind,
    NoStock,
    Posting,
    Release,
    Reserve,
    Write,
)
from service.orders.models import REFUNDABLE, SETTLED, Order, OrderStatus, PaymentStatus, Refund
from service.orders.repository import COLLECTION, order_document, refund_document, status_update
from service.payments.models import PaymentDeclined


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key: `id` names caller and key, `fingerprint` what was asked."""

    id: str
    fingerprint: str
    expires_at: datetime


def _claim(key: Key | None, outcome: dict[str, Any], refusals: bool = True) -> Claim | None:
    return None if key is None else Claim(key.id, key.fingerprint, outcome, key.expires_at, refusals)


def placed(order: Order, key: Key | None) -> Posting:
    """The order, its holds and its key appear together."""
    return Posting(
        Reserve(
            order.id,
            order.user_id,
            tuple(Line(line.sku, line.quantity) for line in order.lines),
            order.reservation.expires_at,
        ),
        actor=order.user_id,
        reason="checkout",
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id}),
        writes=(Write(COLLECTION, order.id, document=order_document(order)),),
        facts=(OrderPlaced(order.id, order.user_id),),
    )


def paid(order: Order, payment_id: str, at: datetime, key: Key | None) -> Posting:
    """The hold is sold and the order paid. A refusal is not remembered: the money has to go back first."""
    return _settled(
        order,
        payment_id,
        Confirm(order.id),
        status_update(
            OrderStatus.PAID,
            order.user_id,
            at,
            **{"payment.status": PaymentStatus.PAID.value, "reservation.status": HoldStatus.CONFIRMED.value},
        ),
        OrderPaid(order.id, order.user_id),
        _claim(key, {"orderId": order.id}, refusals=False),
    )


def declined(order: Order, payment_id: str, at: datetime, key: Key | None) -> Posting:
    """The stock is freed and the order cancelled; a repetition is told the same."""
    update = _cancelled(order.user_id, at, "payment_declined", PaymentStatus.DECLINED)
    fact = OrderCancelled(order.id, order.user_id, "payment_declined")
    return _settled(order, payment_id, Release(order.id), update, fact, _claim(key, remember(PaymentDeclined())))


def unsold(order: Order, payment_id: str, refusal: Problem, at: datetime, key: Key | None) -> Posting:
    """Paid, but the stock is gone: the order is cancelled and its money marked to go back."""
    update = _cancelled(order.user_id, at, "reservation_expired", PaymentStatus.RETURNING)
    fact = OrderCancelled(order.id, order.user_id, "reservation_expired")
    return _settled(order, payment_id, Release(order.id), update, fact, _claim(key, remember(refusal)))


def _settled(
    order: Order, payment_id: str, action: Action, update: dict[str, Any], fact: Event, claim: Claim | None
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
        writes=(Write(COLLECTION, order.id, update=update),),
        facts=(fact,),
    )


def cancelled(order: Order, actor: str, reason: str, at: datetime, key: Key | None) -> Posting:
    """Pending → cancelled and the stock freed, unless a payment is under way."""
    return Posting(
        Release(order.id),
        actor=actor,
        reason=reason,
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id}),
        expects=(
            Expect(COLLECTION, order.id, "status", frozenset({OrderStatus.PENDING.value})),
            Expect(COLLECTION, order.id, "payment.status", SETTLED),
        ),
        writes=(Write(COLLECTION, order.id, update=_cancelled(actor, at, reason)),),
        facts=(OrderCancelled(order.id, order.user_id, reason),),
    )


def _cancelled(actor: str, at: datetime, reason: str, payment: PaymentStatus | None = None) -> dict[str, Any]:
    fields = {"cancelReason": reason, "reservation.status": HoldStatus.RELEASED.value}
    if reason == "reservation_expired":
        fields["reservation.status"] = HoldStatus.EXPIRED.value
    if payment is not None:
        fields["payment.status"] = payment.value
    return status_update(OrderStatus.CANCELLED, actor, at, **fields)


def expired(order_id: str) -> Posting:
    """The hold is freed; the order stays pending and can still be paid if stock allows."""
    return Posting(
        Expire(order_id),
        actor="system",
        reason="expired",
        order_id=order_id,
        writes=(Write(COLLECTION, order_id, update={"$set": {"reservation.status": HoldStatus.EXPIRED.value}}),),
    )


def refunded(order: Order, refund: Refund, key: Key | None) -> Posting:
    """The refund is promised (the provider is asked afterwards, once) and what comes back is on the shelf again."""
    lines = tuple(Line(sku, quantity) for sku, quantity in refund.lines)
    update: dict[str, Any] = {"$push": {"refunds": refund_document(refund)}, "$inc": {"version": 1}}
    if order.refunded + refund.amount == order.total:
        update = status_update(OrderStatus.REFUNDED, refund.actor, refund.at)
        update["$push"]["refunds"] = refund_document(refund)
    return Posting(
        Change(MovementKind.RESTOCK, lines) if refund.restocked else NoStock(),
        actor=refund.actor,
        reason="refund",
        order_id=order.id,
        claim=_claim(key, {"orderId": order.id, "refundId": refund.id}),
        expects=(
            Expect(COLLECTION, order.id, "status", frozenset(status.value for status in REFUNDABLE)),
            Expect(COLLECTION, order.id, "version", frozenset({order.version})),
        ),
        writes=(Write(COLLECTION, order.id, update=update),),
        facts=(OrderRefunded(order.id, order.user_id, refund.amount),),
    )
