"""Carts and wishlists on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from service.cart.models import PricedCart, PricedLine
from service.cart.wishlists import WishedItem
from service.web.http.operation import Wire


class QuantityBody(Wire):
    """0 removes the line."""

    quantity: Annotated[int, msgspec.Meta(ge=0, le=1_000_000, examples=[2])]


class CartItem(Wire):
    """`state` says whether the line can be bought now: in full, in part (`short`), not at all (`sold_out`), or never
    again (`archived`). `previousUnitPrice` is set where the price has changed since the line was put in."""

    sku: str
    product_id: str
    slug: str
    name: str
    image: str
    quantity: int
    unit_price: int
    previous_unit_price: int | None
    line_total: int
    available: int
    state: Literal["available", "short", "sold_out", "archived"]


class CartReply(Wire):
    """`version` grows with every change; send it as `If-Match: "version"` to refuse overwriting somebody else's."""

    items: list[CartItem]
    subtotal: int
    currency: str
    version: int


class WishBody(Wire):
    """`notify`: tell me when it is back in stock."""

    notify: bool = True


class WishView(Wire):
    sku: str
    name: str
    slug: str
    unit_price: int
    available: int
    archived: bool
    notify: bool
    added_at: datetime


class WishReply(Wire):
    item: WishView


class WishesQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=300)] | None = None


class WishesReply(Wire):
    items: list[WishView]
    next_cursor: str | None


def cart_view(cart: PricedCart) -> CartReply:
    return CartReply(
        items=[_item_view(line) for line in cart.lines],
        subtotal=cart.subtotal,
        currency=cart.currency,
        version=cart.version,
    )


def _item_view(line: PricedLine) -> CartItem:
    return CartItem(
        sku=line.sku,
        product_id=line.product_id,
        slug=line.slug,
        name=line.name,
        image=line.image,
        quantity=line.quantity,
        unit_price=line.unit_price,
        previous_unit_price=line.previous_unit_price,
        line_total=line.line_total,
        available=line.available,
        state=line.state.value,
    )


def wish_view(item: WishedItem) -> WishView:
    """A SKU that has left the catalogue for good is shown by its SKU, archived."""
    offer = item.offer
    return WishView(
        sku=item.wish.sku,
        name=offer.name if offer else item.wish.sku,
        slug=offer.slug if offer else "",
        unit_price=offer.unit_price if offer else 0,
        available=item.available if offer and offer.active else 0,
        archived=offer is None or not offer.active,
        notify=item.wish.notify,
        added_at=item.wish.added_at,
    )
