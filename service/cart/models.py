"""What a cart is. It holds no stock and no price: both are looked up on every read."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from service.errors import Conflict, Invalid, NotFound, PreconditionFailed


class NotSold(NotFound):
    code, title = "unknown_sku", "There is no such SKU on sale"


class CartFull(Conflict):
    code, title = "cart_full", "The cart has as many lines as it may"


class CartVersionMismatch(PreconditionFailed):
    code, title = "cart_moved", "The cart has changed since you read it"


class CartChangedDuringCheckout(Conflict):
    code, title = "cart_changed", "The cart was changed or bought meanwhile"


class EmptyCart(Invalid):
    code, title = "empty_cart", "The cart is empty"


class WishlistFull(Conflict):
    code, title = "wishlist_full", "The wishlist has as many items as it may"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose cart: a user's, kept for good, or a guest's, which expires."""

    id: str
    guest: bool

    @classmethod
    def user(cls, user_id: str) -> "Owner":
        return cls(f"u:{user_id}", False)

    @classmethod
    def visitor(cls, guest_id: str) -> "Owner":
        return cls(f"g:{guest_id}", True)


@dataclass(frozen=True, slots=True)
class CartLine:
    """`unit_price` is what the shopper saw when it was put in: a change since then is reported, never charged."""

    sku: str
    quantity: int
    unit_price: int
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Cart:
    """`version` grows with every change; a cart that was never written has version 0."""

    id: str
    lines: tuple[CartLine, ...] = ()
    version: int = 0

    def with_lines_of(self, other: "Cart", quantity_max: int) -> tuple[CartLine, ...]:
        """This cart's lines, then the other's; of a SKU in both the quantities add up, to the most that is allowed."""
        merged = {line.sku: line for line in self.lines}
        for line in other.lines:
            known = merged.get(line.sku)
            quantity = min(quantity_max, line.quantity + (known.quantity if known else 0))
            merged[line.sku] = replace(known or line, quantity=quantity)
        return tuple(merged.values())


class LineState(StrEnum):
    AVAILABLE = "available"
    SHORT = "short"
    SOLD_OUT = "sold_out"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line at today's price and availability. `previous_unit_price` is set where the price has changed."""

    sku: str
    product_id: str
    name: str
    slug: str
    image: str
    quantity: int
    unit_price: int
    available: int
    state: LineState
    previous_unit_price: int | None

    @property
    def line_total(self) -> int:
        return 0 if self.state is LineState.ARCHIVED else self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class PricedCart:
    lines: tuple[PricedLine, ...]
    currency: str
    version: int

    @property
    def subtotal(self) -> int:
        """Archived lines cannot be bought and cost nothing."""
        return sum(line.line_total for line in self.lines)


@dataclass(frozen=True, slots=True)
class Wish:
    sku: str
    notify: bool
    added_at: datetime
