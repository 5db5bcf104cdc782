"""Orders on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from service.inventory.models import Line
from service.orders.models import Order
from service.web.operation import Wire

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?![\s\S])"
Sku = Annotated[str, msgspec.Meta(pattern=SKU_PATTERN, examples=["85123A"])]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=1_000_000, examples=[2])]
LINES_MAX = 1_000


class Item(Wire):
    sku: Sku
    quantity: Quantity


Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=LINES_MAX)]


class CheckoutBody(Wire):
    """Either `items`, or `fromCart: true`."""

    items: Items | None = None
    from_cart: bool = False

    def lines(self) -> list[Line]:
        return [Line(item.sku, item.quantity) for item in self.items or ()]


class PayBody(Wire):
    payment_method: Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=["pm_card_visa"])]


class RefundBody(Wire):
    """Without `items`, all that is left is refunded."""

    items: Items | None = None
    restock: bool = False


class OrdersQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled", "refunded"] | None = None


class OrderItem(Wire):
    sku: str
    product_id: str
    name: str
    quantity: int
    unit_price: int
    line_total: int


class ReservationView(Wire):
    status: Literal["active", "confirmed", "released", "expired"]
    expires_at: datetime


class StatusEntry(Wire):
    status: str
    at: datetime
    actor: str


class RefundView(Wire):
    id: str
    amount: int
    restocked: bool
    items: list[Item]
    at: datetime


class OrderView(Wire):
    id: str
    number: str
    user_id: str
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled", "refunded"]
    items: list[OrderItem]
    subtotal: int
    discount: int
    total: int
    refunded: int
    currency: str
    created_at: datetime
    reservation: ReservationView
    cancel_reason: str | None
    payment_status: str | None
    history: list[StatusEntry]
    refunds: list[RefundView]


class OrderReply(Wire):
    order: OrderView


class OrdersReply(Wire):
    items: list[OrderView]
    next_cursor: str | None


def order_view(order: Order) -> OrderView:
    return OrderView(
        id=order.id,
        number=order.number,
        user_id=order.user_id,
        status=order.status.value,
        items=[
            OrderItem(
                sku=line.sku,
                product_id=line.product_id,
                name=line.name,
                quantity=line.quantity,
                unit_price=line.unit_price,
                line_total=line.line_total,
            )
            for line in order.lines
        ],
        subtotal=order.subtotal,
        discount=order.discount,
        total=order.total,
        refunded=order.refunded,
        currency=order.currency,
        created_at=order.created_at,
        reservation=ReservationView(status=order.reservation.status.value, expires_at=order.reservation.expires_at),
        cancel_reason=order.cancel_reason,
        payment_status=None if order.payment is None else order.payment.status.value,
        history=[StatusEntry(status=change.status.value, at=change.at, actor=change.actor) for change in order.history],
        refunds=[
            RefundView(
                id=refund.id,
                amount=refund.amount,
                restocked=refund.restocked,
                items=[Item(sku=sku, quantity=quantity) for sku, quantity in refund.lines],
                at=refund.at,
            )
            for refund in order.refunds
        ],
    )
