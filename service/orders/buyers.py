"""Who buys by a request, and whose orders it may see: an account's, everybody's for staff, or a guest's.

A guest is known by the signed cookie of the cart, and an order of one by its token as well."""

from typing import Any, NamedTuple

from sanic import Request

from service.cart.models import Owner
from service.email_address import parse_address
from service.errors import Invalid, Unauthenticated
from service.orders.guest_links import GuestLinks
from service.orders.models import Order, OrderNotFound
from service.orders.usecases import Orders
from service.web.http.access import Access
from service.web.http.operation import ORDER_TOKEN, Call
from service.web.security.guest import Guests

NEW_GUEST = "guest"
WHO = "Log in first, or order as a guest by sending `email`"
WHOSE = "Log in first, or send the token of the order"


class Buyer(NamedTuple):
    """`key_owner`: under whose name an idempotency key is kept. `guest_id` is set for a guest."""

    user_id: str
    key_owner: str = ""
    email: str | None = None
    guest_id: str = ""


class Buyers:
    def __init__(self, orders: Orders, guests: Guests, links: GuestLinks) -> None:
        self._orders, self._guests, self._links = orders, guests, links

    async def of(self, call: Call[Any], email: str | None) -> Buyer:
        """Raises Unauthenticated, BadAddress; Invalid for an account that sends an address."""
        if call.caller is not None:
            if email is not None:
                message = "You are logged in: the order goes to your account"
                raise Invalid(errors=[{"path": "email", "message": message}])
            return Buyer(call.caller.user_id)
        if email is None:
            raise Unauthenticated(WHO)
        address = parse_address(email)
        known = self._guests.read(call.request)
        if known is None:
            await call.request.app.ctx.layers.also_limit(call.request, NEW_GUEST)
        guest_id = known or self._guests.new()
        user_id = Owner.visitor(guest_id).id
        # Without a cookie the address is all that a repetition, after a lost answer, can be known by.
        return Buyer(user_id, user_id if known else self._links.mark(address), address, guest_id)

    def cookies(self, buyer: Buyer, order: Order) -> list[dict[str, Any]]:
        return [self._guests.cookie(buyer.guest_id)] if self._is_of(buyer, order) else []

    def token(self, buyer: Buyer, order: Order) -> str | None:
        """For the guest who placed the order: not for who repeats somebody else's request."""
        return self._links.token(order.id) if self._is_of(buyer, order) else None

    def _is_of(self, buyer: Buyer, order: Order) -> bool:
        return buyer.guest_id != "" and order.user_id == buyer.user_id

    async def visible(self, call: Call[Any], order_id: str) -> Order:
        """Raises OrderNotFound, Unauthenticated."""
        if call.caller is not None and call.caller.access >= Access.STAFF:
            return await self._orders.get(order_id)
        return await self.own(call, order_id)

    async def own(self, call: Call[Any], order_id: str) -> Order:
        """The caller's, or one whose token was shown. Raises OrderNotFound, Unauthenticated."""
        token, guest_id = token_of(call.request), self._guests.read(call.request)
        if call.caller is None and not token and guest_id is None:
            raise Unauthenticated(WHOSE)
        order = await self._orders.get(order_id)
        users = {call.caller.user_id} if call.caller else {Owner.visitor(guest_id).id} if guest_id else set()
        if order.user_id not in users and not self._links.opens(order, token):
            raise OrderNotFound()
        return order


def token_of(request: Request) -> str:
    """From the header, or from a page's link or form, which cannot send one."""
    shown: str = getattr(request.ctx, "order_token", "")
    return shown or request.headers.get(ORDER_TOKEN, "")
