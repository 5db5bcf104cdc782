"""Orders on the wire."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.inventory.models import Line
from service.orders.models import Coupon, Order
from service.web.http.operation import Wire

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?![\s\S])"
Sku = Annotated[str, msgspec.Meta(pattern=SKU_PATTERN, examples=["85123A"])]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=1_000_000, examples=[2])]
LINES_MAX = 1_000


class Item(Wire):
    sku: Sku
    quantity: Quantity


Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=LINES_MAX)]


CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,31}(?![\s\S])"
CouponCode = Annotated[str, msgspec.Meta(pattern=CODE_PATTERN, examples=["SPRING-10"])]


AddressField = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z][A-Za-z0-9_]*(?![\s\S])")]
AddressText = Annotated[str, msgspec.Meta(max_length=300)]
Address = Annotated[
    dict[AddressField, AddressText],
    msgspec.Meta(max_length=30, examples=[{"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London"}]),
]


class CheckoutBody(Wire):
    """Either `items`, or `fromCart: true`. Prices are the catalogue's: none can be sent. `shippingAddress` has the
    fields the frontend chooses, and is kept as it is. With `expectedTotal`, in minor units, the order is refused if
    it comes to another total than the shopper saw. `email` is for guests: it is where the confirmation goes."""

    items: Annotated[Items | None, msgspec.Meta(examples=[[{"sku": "85123A", "quantity": 2}]])] = None
    from_cart: bool = False
    coupon_code: CouponCode | None = None
    expected_total: Annotated[int, msgspec.Meta(ge=0, le=10**12, examples=[2_598])] | None = None
    shipping_address: Address | None = None
    email: Annotated[str, msgspec.Meta(max_length=320, examples=["ada@example.com"])] | None = None

    def __post_init__(self) -> None:
        if (self.items is not None) == self.from_cart:
            raise ValueError("Give either `items` or `fromCart: true`")

    def lines(self) -> list[Line]:
        return [Line(item.sku, item.quantity) for item in self.items or ()]


class PayBody(Wire):
    payment_method: Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=["pm_card_visa"])]


class ShipBody(Wire):
    tracking_number: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=100, examples=["JD0002 4120 0031"])] | None
    ) = None


class RefundBody(Wire):
    """Without `items`, all that is left is refunded."""

    items: Items | None = None
    restock: bool = False


class OrdersQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled", "refunded"] | None = None
    number: Annotated[str, msgspec.Meta(max_length=32, examples=["HF-7K3M9QXA2B"])] | None = None


PaymentState = Literal["processing", "unknown", "requires_action", "paid", "declined", "returning", "returned"]


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
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled", "refunded"]
    at: datetime
    actor: str


class RefundedItem(Wire):
    sku: str
    quantity: int


class RefundView(Wire):
    id: str
    amount: int
    restocked: bool
    lines: list[RefundedItem] = msgspec.field(name="items")
    at: datetime


class ReturnLineView(Wire):
    sku: str
    quantity: int
    restocked: int
    damaged: int
    written_off: int


class ReturnEntry(Wire):
    status: Literal["requested", "received", "inspected", "closed", "refused", "cancelled"]
    at: datetime
    actor: str


class ReturnView(Wire):
    """Goods that come back. What inspection says of each unit is in `restocked`, `damaged` and `writtenOff`; what is
    restocked goes on the shelf when the return is closed."""

    id: str
    status: Literal["requested", "received", "inspected", "closed", "refused", "cancelled"]
    lines: list[ReturnLineView] = msgspec.field(name="items")
    reason: str
    history: list[ReturnEntry]


class OrderView(Wire):
    """Its attributes are an Order's, by name."""

    id: str
    number: str
    user_id: str
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled", "refunded"]
    lines: list[OrderItem] = msgspec.field(name="items")
    subtotal: int
    discount: int
    total: int
    refunded: int
    currency: str
    coupon: str | None
    shipping_address: dict[str, str] | None
    tracking_number: str | None
    email: str | None
    created_at: datetime
    reservation: ReservationView
    cancel_reason: str | None
    payment_status: PaymentState | None
    history: list[StatusEntry]
    refunds: list[RefundView]
    returns: list[ReturnView]


class OrderReply(Wire):
    order: OrderView


class PaymentActionView(Wire):
    """What the customer still has to do, such as 3-D Secure: the provider's script goes on with `clientSecret`."""

    status: Literal["requires_action"]
    client_secret: str


class PayReply(Wire):
    """With `payment` nothing is paid yet."""

    order: OrderView
    payment: PaymentActionView | UnsetType = UNSET


class AuthenticationBody(Wire):
    """`agrees`: what the customer says on the page of the bank."""

    client_secret: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    agrees: bool = True


class PlacedReply(Wire):
    """`orderToken`: of a guest's order, what opens it again as `X-Order-Token`. Only its guest is told."""

    order: OrderView
    order_token: str | None


class OrdersReply(Wire):
    items: list[OrderView]
    next_cursor: str | None


def order_view(order: Order) -> OrderView:
    return msgspec.convert(order, OrderView, from_attributes=True)


UsesMax = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000, examples=[100])]
Amount = Annotated[int, msgspec.Meta(ge=0, le=10**12, description="In minor units", examples=[2_000])]
When = Annotated[datetime, msgspec.Meta(tz=True)]


class CouponBody(Wire):
    """`value` is in percent, or in minor units. A limit that is not given does not apply."""

    code: CouponCode
    kind: Literal["percentage", "fixed"]
    value: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000, examples=[10])]
    minimum_subtotal: Amount = 0
    starts_at: When | None = None
    ends_at: When | None = None
    uses_max: UsesMax | None = None
    uses_per_user_max: UsesMax | None = None

    def __post_init__(self) -> None:
        if self.kind == "percentage" and self.value > 100:
            raise ValueError("A percentage is at most 100")


class CouponChanges(Wire):
    """What is not named stays as it is. `version` refuses the change if somebody else made one meanwhile."""

    active: bool | UnsetType = UNSET
    starts_at: When | UnsetType | None = UNSET
    ends_at: When | UnsetType | None = UNSET
    uses_max: UsesMax | UnsetType | None = UNSET
    uses_per_user_max: UsesMax | UnsetType | None = UNSET
    version: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET

    def changes(self) -> dict[str, object]:
        named = {name: getattr(self, name) for name in self.__struct_fields__ if name != "version"}
        return {name: value for name, value in named.items() if value is not UNSET}


class CouponView(Wire):
    code: str
    kind: Literal["percentage", "fixed"]
    value: int
    minimum_subtotal: int
    starts_at: datetime | None
    ends_at: datetime | None
    uses_max: int | None
    uses_per_user_max: int | None
    active: bool
    used: int
    version: int


class CouponReply(Wire):
    coupon: CouponView


class CouponsQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class CouponsReply(Wire):
    items: list[CouponView]
    next_cursor: str | None


class EventReply(Wire):
    """`repeated`: this event was heard before and changed nothing."""

    received: bool
    repeated: bool


def coupon_view(coupon: Coupon) -> CouponView:
    return CouponView(
        code=coupon.code,
        kind=coupon.kind.value,
        value=coupon.value,
        minimum_subtotal=coupon.minimum_subtotal,
        starts_at=coupon.starts_at,
        ends_at=coupon.ends_at,
        uses_max=coupon.uses_max,
        uses_per_user_max=coupon.uses_per_user_max,
        active=coupon.active,
        used=coupon.used,
        version=coupon.version,
    )


# What the document shows of an order: one order through its life, its figures and its states in step.
PLACED = datetime(2026, 5, 1, 12, tzinfo=UTC)
BUYER, STAFF = "01a205479d0e3b9c11d5a0c4f2b7", "01a2053f0b6e4d2c8a9b7c6d5e4f"
QUANTITY, UNIT_PRICE = 2, 1299
LIVES = {
    "pending": ("pending",),
    "paid": ("pending", "paid"),
    "cancelled": ("pending", "cancelled"),
    "shipped": ("pending", "paid", "shipped"),
    "delivered": ("pending", "paid", "shipped", "delivered"),
    "refunded": ("pending", "paid", "refunded"),
}
HOLDS = {"pending": "active", "cancelled": "released"}


def order_example(status: str) -> dict[str, Any]:
    """Fields of an order's answer that belong together; the document fills in the rest from the schema."""
    total = QUANTITY * UNIT_PRICE
    refunded = total if status == "refunded" else 0
    return {
        "status": status,
        "items": [{"quantity": QUANTITY, "unitPrice": UNIT_PRICE, "lineTotal": total}],
        "subtotal": total,
        "discount": 0,
        "total": total,
        "refunded": refunded,
        "coupon": None,
        "createdAt": _at(0),
        "reservation": {"status": HOLDS.get(status, "confirmed"), "expiresAt": _at(15)},
        "email": None,
        "cancelReason": "cancelled" if status == "cancelled" else None,
        "paymentStatus": None if status in HOLDS else "returned" if refunded else "paid",
        "history": [
            {"status": each, "at": _at(minute), "actor": BUYER if minute < 2 else STAFF}
            for minute, each in enumerate(LIVES[status])
        ],
        "refunds": [{"amount": refunded, "restocked": True, "items": [{"quantity": QUANTITY}], "at": _at(2)}]
        if refunded
        else [],
        "returns": [],
    }


def _at(minutes: int) -> str:
    return (PLACED + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
