"""An order's rules: what a line costs, which status may follow which, what a coupon takes off."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from service.errors import Conflict, Forbidden, Invalid, NotFound
from service.idempotency import IdempotencyKey
from service.inventory.models import HoldStatus, Line
from service.orders.return_models import CAME_TO_NOTHING, Return


class OrderNotFound(NotFound):
    code, title = "order_not_found", "There is no such order"


class UnknownItems(Invalid):
    """`unavailable` has each: {"sku", "reason"}, archived or unknown."""

    code, title = "unknown_sku", "Some items are not sold here"


class OrderTooLarge(Invalid):
    """`limits` has each line above its maximum: {"sku", "maxPerOrder"}."""

    code, title = "order_too_large", "The order is larger than allowed"


class VerificationNeeded(Forbidden):
    """`skus` are those that only verified accounts may order."""

    code, title = "verification_needed", "This can be ordered with a verified e-mail address only"


class TotalChanged(Conflict):
    """`total` is what the order comes to now."""

    code, title = "total_changed", "The order comes to another total than you expect"


class NotClaimable(Conflict):
    code, title = "not_claimable", "An order can be claimed once it is paid or cancelled"


class WrongStatus(Conflict):
    """`orderStatus` is what the order is in."""

    code, title = "wrong_status", "The order's status does not allow this"


class PaymentInProgress(Conflict):
    code, title = "payment_in_progress", "A payment for this order is being made"


class IdempotencyInProgress(Conflict):
    code, title = "idempotency_in_progress", "The first request with this Idempotency-Key is still running"


class CouponNotValid(Invalid):
    code, title = "coupon_not_valid", "This coupon cannot be used here"


class UnknownCoupon(CouponNotValid):
    """Told like any other that cannot be used: nobody learns which codes there are."""


class CouponUsedUp(Conflict):
    code, title = "coupon_used_up", "This coupon has been used as often as it may be"


class CouponChanged(Conflict):
    code, title = "coupon_changed", "The coupon was changed while you were checking out"


class CouponExists(Conflict):
    code, title = "coupon_exists", "There is a coupon with this code"


class CouponNotFound(NotFound):
    code, title = "coupon_not_found", "There is no such coupon"


class RefundTooLarge(Invalid):
    code, title = "refund_too_large", "More would be refunded than was paid"


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELLED}),
    OrderStatus.PAID: frozenset({OrderStatus.SHIPPED, OrderStatus.REFUNDED}),
    OrderStatus.SHIPPED: frozenset({OrderStatus.DELIVERED, OrderStatus.REFUNDED}),
    OrderStatus.DELIVERED: frozenset({OrderStatus.REFUNDED}),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.REFUNDED: frozenset(),
}
REFUNDABLE = frozenset(status for status, after in TRANSITIONS.items() if OrderStatus.REFUNDED in after)


def before(status: OrderStatus) -> frozenset[OrderStatus]:
    """The statuses from which `status` may be entered."""
    return frozenset(source for source, targets in TRANSITIONS.items() if status in targets)


class PaymentStatus(StrEnum):
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    REQUIRES_ACTION = "requires_action"
    PAID = "paid"
    DECLINED = "declined"
    RETURNING = "returning"
    RETURNED = "returned"


OPEN_PAYMENTS = (
    *(PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_ACTION),
    PaymentStatus.RETURNING,
)
SETTLED = frozenset({None, PaymentStatus.DECLINED.value, PaymentStatus.RETURNED.value})


class OrderLine(Struct, frozen=True, rename="camel"):
    """Money in minor units; the price is the catalogue's at checkout."""

    sku: str
    product_id: str
    name: str
    quantity: int
    unit_price: int

    @property
    def line_total(self) -> int:
        return self.quantity * self.unit_price


class ReservationState(Struct, frozen=True, rename="camel"):
    status: HoldStatus
    expires_at: datetime


class Payment(Struct, frozen=True, rename="camel"):
    """The latest attempt. `key` is that of the request that makes it, answered also if another process settles it."""

    id: str
    status: PaymentStatus
    method: str
    started_at: datetime
    key: IdempotencyKey | None = None


class StatusChange(Struct, frozen=True):
    status: OrderStatus
    at: datetime
    actor: str


class Refund(Struct, frozen=True):
    """`lines` says what of the order was given back; `restocked` whether it went on the shelf again."""

    id: str
    amount: int
    restocked: bool
    lines: tuple[Line, ...]
    at: datetime
    actor: str
    done: bool = False


AS_STORED = {
    **{"id": "_id", "lines": "items"},
    **{"user_id": "userId", "created_at": "createdAt", "cancel_reason": "cancelReason", "coupon_held": "couponHeld"},
    **{"shipping_address": "shippingAddress", "tracking_number": "trackingNumber"},
}


class Order(Struct, frozen=True, rename=AS_STORED):
    """`shipping_address` has whatever fields the frontend sent: the shop reads none of them. `coupon_held`: whether a
    use of its coupon is counted for it. One that ran out unpaid has given it back. `email` is a guest's; an
    account's is with the account."""

    id: str
    number: str
    user_id: str
    status: OrderStatus
    lines: tuple[OrderLine, ...]
    subtotal: int
    discount: int
    total: int
    currency: str
    created_at: datetime
    reservation: ReservationState
    payment: Payment | None = None
    cancel_reason: str | None = None
    coupon: str | None = None
    coupon_held: bool = True
    shipping_address: Mapping[str, str] | None = None
    tracking_number: str | None = None
    email: str | None = None
    history: tuple[StatusChange, ...] = ()
    refunds: tuple[Refund, ...] = ()
    returns: tuple[Return, ...] = ()
    version: int = 0

    @property
    def payment_status(self) -> PaymentStatus | None:
        return None if self.payment is None else self.payment.status

    @property
    def refunded(self) -> int:
        return sum([refund.amount for refund in self.refunds]) if self.refunds else 0

    def refundable(self) -> dict[str, int]:
        """What has not been given back yet, by SKU."""
        left = {line.sku: line.quantity for line in self.lines}
        for refund in self.refunds:
            for line in refund.lines:
                left[line.sku] -= line.quantity
        return {sku: quantity for sku, quantity in left.items() if quantity}

    @property
    def was_shipped(self) -> bool:
        return any(change.status is OrderStatus.SHIPPED for change in self.history)

    def returnable(self) -> dict[str, int]:
        """What has been sent and neither came back, nor is to: by a return, or by a refund that put it on the shelf."""
        return {sku: quantity for sku, quantity in self._sent().items() if quantity > 0}

    @property
    def returned_too_much(self) -> bool:
        return any(quantity < 0 for quantity in self._sent().values())

    def _sent(self) -> dict[str, int]:
        left = {line.sku: line.quantity for line in self.lines}
        for one in self.returns:
            for line in () if one.status in CAME_TO_NOTHING else one.lines:
                left[line.sku] -= line.quantity
        for refund in self.refunds:
            for back in refund.lines if refund.restocked else ():
                left[back.sku] -= back.quantity
        return left

    def with_expiry_applied(self, now: datetime) -> "Order":
        """A hold ends with its time, whether or not it has been swept."""
        held = self.status is OrderStatus.PENDING and self.reservation.status is HoldStatus.ACTIVE
        if not held or now < self.reservation.expires_at:
            return self
        return replace(self, reservation=ReservationState(HoldStatus.EXPIRED, self.reservation.expires_at))

    def gave_coupon_back_since(self, before: "Order") -> bool:
        """Whether its hold was swept after `before` was read: what was to be done can be done from here."""
        return self.status is OrderStatus.PENDING and before.coupon_held and not self.coupon_held

    def as_placed(self) -> "Order":
        """As its checkout answered: what a repeated checkout is answered with."""
        return replace(
            self,
            status=OrderStatus.PENDING,
            reservation=ReservationState(HoldStatus.ACTIVE, self.reservation.expires_at),
            payment=None,
            cancel_reason=None,
            history=self.history[:1],
            refunds=(),
            returns=(),
            tracking_number=None,
            version=0,
        )

    def as_paid(self) -> "Order":
        """As its payment answered."""
        return replace(
            self, status=OrderStatus.PAID, history=self.history[:2], refunds=(), returns=(), tracking_number=None
        )

    def as_refunded(self, refund_id: str) -> "Order":
        """As that refund answered."""
        until = next(n for n, refund in enumerate(self.refunds, 1) if refund.id == refund_id)
        return replace(self, refunds=self.refunds[:until])


class CouponKind(StrEnum):
    PERCENTAGE = "percentage"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Coupon:
    """`value` is in percent, or in minor units. A limit that is None does not apply.

    `version` changes with every edit and never with a use: a checkout holds on to the version it priced with."""

    code: str
    kind: CouponKind
    value: int
    created_at: datetime
    minimum_subtotal: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    uses_max: int | None = None
    uses_per_user_max: int | None = None
    active: bool = True
    used: int = 0
    version: int = 0

    def check(self) -> None:
        """Refuses what could never take anything off. Raises Invalid."""
        errors = []
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            errors.append({"path": "endsAt", "message": "It ends before it starts"})
        if self.kind is CouponKind.PERCENTAGE and not 1 <= self.value <= 100:
            errors.append({"path": "value", "message": "A percentage is from 1 to 100"})
        if self.uses_max is not None and (self.uses_per_user_max or 0) > self.uses_max:
            errors.append({"path": "usesPerUserMax", "message": "One customer cannot use it more often than all can"})
        if errors:
            raise Invalid(errors=errors)

    def discount(self, subtotal: int, now: datetime) -> int:
        """What it takes off, in minor units: never more than there is. Raises CouponNotValid."""
        if not self.active or (self.starts_at and now < self.starts_at) or (self.ends_at and now >= self.ends_at):
            raise CouponNotValid(errors=[{"path": "couponCode", "message": "This coupon is not valid now"}])
        if subtotal < self.minimum_subtotal:
            message = f"This coupon needs a subtotal of {self.minimum_subtotal}"
            raise CouponNotValid(errors=[{"path": "couponCode", "message": message}])
        if self.kind is CouponKind.PERCENTAGE:
            return subtotal * self.value // 100
        return min(self.value, subtotal)
