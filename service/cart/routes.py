"""/api/cart: the caller's cart, or under a signed cookie the guest's; and the caller's wishlist."""

import re
from typing import Any

from sanic import Blueprint

from service.alerts.models import TooManySubscriptions
from service.cart.models import CartFull, CartMoved, NotSold, Owner, PricedCart, WishlistFull
from service.cart.schemas import (
    CartReply,
    QuantityBody,
    WishBody,
    WishesQuery,
    WishesReply,
    WishReply,
    cart_view,
    wish_view,
)
from service.cart.usecases import Carts
from service.cart.wishlists import Wishlists
from service.errors import Malformed
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.security.guest import Guests

CART = {200: CartReply}
NEW_GUEST = "guest"
VERSION = re.compile(r'"([0-9]{1,15})"(?![\s\S])')


def routes(carts: Carts, guests: Guests) -> Blueprint:
    blueprint = Blueprint("cart", url_prefix="/api/cart")

    def owner(call: Call[Any]) -> Owner | None:
        if call.caller is not None:
            return Owner.user(call.caller.user_id)
        guest_id = guests.read(call.request)
        return None if guest_id is None else Owner.visitor(guest_id)

    def reply(whose: Owner, cart: PricedCart) -> Reply:
        cookies = [guests.cookie(whose.id.removeprefix("g:"))] if whose.guest else []
        return Reply(200, cart_view(cart), cookies=cookies)

    @operation(
        blueprint,
        "GET",
        "/",
        "The cart at today's prices and availability",
        returns=CART,
        access=Access.PUBLIC,
        guest=True,
    )
    async def cart(call: Call[Nothing]) -> Reply:
        """Prices and stock are read fresh; `previousUnitPrice` says what a line cost when it was put in, `state`
        whether it can be bought now. Nothing is held until checkout."""
        whose = owner(call)
        if whose is None:
            return Reply(200, cart_view(carts.none()))
        return reply(whose, await carts.view(whose))

    @operation(
        blueprint,
        "PUT",
        "/items/<sku:str>",
        "Put a SKU into the cart, or change its quantity; nothing is held",
        takes=QuantityBody,
        returns=CART,
        access=Access.PUBLIC,
        errors=(NotSold, CartFull, CartMoved),
        guest=True,
        if_match=True,
    )
    async def put_item(call: Call[QuantityBody], sku: str) -> Reply:
        """The quantity is the new one, not one more; 0 takes the line out. A guest's first change sets a signed cookie
        that names the cart. With `If-Match` only the version that was read is changed."""
        whose = owner(call)
        if whose is None:
            await call.request.app.ctx.layers.also_limit(call.request, NEW_GUEST)
            whose = Owner.visitor(guests.new())
        return reply(whose, await carts.put(whose, sku, call.taken.quantity, _version(call)))

    @operation(
        blueprint,
        "DELETE",
        "/items/<sku:str>",
        "Take a SKU out of the cart",
        returns=CART,
        access=Access.PUBLIC,
        errors=(CartMoved,),
        guest=True,
        if_match=True,
    )
    async def remove_item(call: Call[Nothing], sku: str) -> Reply:
        """Takes the whole line out and answers with what is left; a line that is not there changes nothing."""
        whose = owner(call)
        if whose is None:
            return Reply(200, cart_view(carts.none()))
        return reply(whose, await carts.remove(whose, sku, _version(call)))

    @operation(
        blueprint,
        "DELETE",
        "/",
        "Empty the cart",
        returns={204: None},
        access=Access.PUBLIC,
        errors=(CartMoved,),
        guest=True,
        if_match=True,
    )
    async def clear(call: Call[Nothing]) -> Reply:
        """Takes all lines out. With `If-Match` only if nobody changed the cart meanwhile: 412 otherwise."""
        whose = owner(call)
        if whose is not None:
            await carts.clear(whose, _version(call))
        return Reply(204)

    @operation(
        blueprint,
        "POST",
        "/merge",
        "After login: the guest's cart joins the user's and is gone",
        returns=CART,
        access=Access.CUSTOMER,
        errors=(CartFull,),
    )
    async def merge(call: Call[Nothing]) -> Reply:
        """Quantities of a SKU in both carts add up. Doing it twice adds nothing twice; without a guest's cart it
        answers with the user's."""
        user, guest_id = Owner.user(call.user.user_id), guests.read(call.request)
        if guest_id is None:
            return reply(user, await carts.view(user))
        merged = reply(user, await carts.merge(Owner.visitor(guest_id), user))
        merged.cookies.append(guests.forget())
        return merged

    return blueprint


def wishlist_routes(wishlists: Wishlists) -> Blueprint:
    blueprint = Blueprint("wishlist", url_prefix="/api/cart/wishlist")

    @operation(
        blueprint,
        "GET",
        "/",
        "Your wishlist, newest first",
        takes=WishesQuery,
        returns={200: WishesReply},
        access=Access.CUSTOMER,
    )
    async def wishes(call: Call[WishesQuery]) -> Reply:
        """Each with today's price and stock; what is no longer sold stays, marked `archived`."""
        position = None if call.taken.cursor is None else cursor.decode(call.taken.cursor, cursor.TimePosition)
        before = None if position is None else (position.at, position.id)
        page = await wishlists.newest(call.user.user_id, before, call.taken.limit)
        after = None if page.next_before is None else cursor.encode(cursor.TimePosition(*page.next_before))
        return Reply(200, WishesReply(items=[wish_view(item) for item in page.items], next_cursor=after))

    @operation(
        blueprint,
        "PUT",
        "/<sku:str>",
        "Wish for a SKU, and be told when it is back in stock",
        takes=WishBody,
        returns={200: WishReply},
        access=Access.CUSTOMER,
        errors=(NotSold, WishlistFull, TooManySubscriptions),
    )
    async def wish(call: Call[WishBody], sku: str) -> Reply:
        """Wishing twice keeps one wish. With `notify` a mail follows when the SKU comes back."""
        item = await wishlists.put(call.user.user_id, sku, call.taken.notify)
        return Reply(200, WishReply(item=wish_view(item)))

    @operation(
        blueprint,
        "DELETE",
        "/<sku:str>",
        "Wish for it no more",
        returns={204: None},
        access=Access.CUSTOMER,
    )
    async def unwish(call: Call[Nothing], sku: str) -> Reply:
        """Takes the wish back and with it the notice; 204 also if it was not there."""
        await wishlists.remove(call.user.user_id, sku)
        return Reply(204)

    return blueprint


def _version(call: Call[Any]) -> int | None:
    """The cart's version that the change is meant for. `*` and no header mean any."""
    header = call.request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    match = VERSION.match(header.strip())
    if match is None:
        raise Malformed('If-Match must be the cart\'s version in quotes, such as "3"')
    return int(match[1])
