"""Cart, checkout and orders for people. Every form works without a script; scripts spare the reload."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from sanic import Blueprint, Request

from service.cart.models import Owner, PricedCart
from service.cart.usecases import Carts
from service.catalog.offers import Offers
from service.config import Config
from service.orders.buyers import Buyers, token_of
from service.orders.models import Order, OrderNotFound
from service.orders.usecases import Orders
from service.pages.api import Api, see_other
from service.pages.own_path import own_path
from service.pages.render import Pages, link
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Form, PageQuery, Reply, operation
from service.web.security.guest import Guests

PAGE, SEE_OTHER = {200: None}, {303: None}
CHECKOUT = "POST /api/orders"
QUANTITY_MAX = 1_000_000
Sku = Annotated[str, msgspec.Meta(max_length=64)]


class CartQuery(PageQuery):
    """`removed` and `quantity`: a line that was just taken out, so that it can be put back."""

    removed: Sku = ""
    quantity: str = ""


class AddForm(Form):
    sku: Sku
    quantity: str = "1"
    back: str = "/cart"
    put_back: str = ""


class LineForm(Form):
    quantity: str = ""
    remove: str = ""


class CheckoutForm(Form):
    idempotency_key: str = ""
    expected_total: str = ""
    email: str = ""


class PayForm(Form):
    idempotency_key: str = ""
    payment_method: str = ""
    token: str = ""


class OrderQuery(PageQuery):
    """`token`: from the mail that a guest got."""

    token: Annotated[str, msgspec.Meta(max_length=100)] = ""


class HistoryQuery(PageQuery):
    cursor: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


@dataclass(frozen=True, slots=True)
class Buying:
    pages: Pages
    api: Api
    carts: Carts
    guests: Guests
    orders: Orders
    offers: Offers
    buyers: Buyers
    config: Config

    async def cart(self, call: Call[Any]) -> PricedCart:
        if call.caller is not None:
            return await self.carts.view(Owner.user(call.caller.user_id))
        guest_id = self.guests.read(call.request)
        return self.carts.none() if guest_id is None else await self.carts.view(Owner.visitor(guest_id))

    async def cart_page(self, call: Call[Any], status: int = 200, **values: Any) -> Reply:
        expects_total = self.api.takes(call.request, CHECKOUT, "expectedTotal")
        values = {"removed": None, "removed_quantity": 0, "key": "", "email": "", **values}
        return self.pages.page(
            call.request, "cart.html", status, cart=await self.cart(call), expects_total=expects_total, **values
        )

    async def order(self, call: Call[Any], order_id: str) -> Order:
        """The caller's own, or a guest's; staff see everybody's."""
        return await self.buyers.visible(call, order_id)

    def order_page(self, request: Request, order: Order, status: int = 200, **values: Any) -> Reply:
        caller, token = request.ctx.principal, token_of(request)
        own = caller is None or caller.user_id == order.user_id or token != ""
        return self.pages.page(request, "order.html", status, order=order, own=own, token=token, **values)


def routes(buying: Buying) -> Blueprint:
    blueprint = Blueprint("buying")
    _cart(blueprint, buying)
    _checkout(blueprint, buying)
    _orders(blueprint, buying)
    _paying(blueprint, buying)
    return blueprint


def whole(text: str) -> int | None:
    """A quantity as people type it, or None."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 8 else None


def _cart(blueprint: Blueprint, buying: Buying) -> None:
    @operation(
        blueprint, "GET", "/cart", "The cart's page", takes=CartQuery, returns=PAGE, access=Access.PUBLIC, limit="read"
    )
    async def cart(call: Call[CartQuery]) -> Reply:
        quantity = whole(call.taken.quantity) or 0
        offers = await buying.offers.of([call.taken.removed]) if call.taken.removed and quantity else {}
        return await buying.cart_page(
            call, removed=offers.get(call.taken.removed), removed_quantity=min(quantity, QUANTITY_MAX)
        )

    @operation(
        blueprint,
        "POST",
        "/cart/items",
        "Put into the cart by form",
        takes=AddForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        guest=True,
    )
    async def add(call: Call[AddForm]) -> Reply:
        taken = call.taken
        lines = (await buying.cart(call)).lines
        held = 0 if taken.put_back else next((line.quantity for line in lines if line.sku == taken.sku), 0)
        given = {"quantity": min(QUANTITY_MAX, held + (whole(taken.quantity) or 1))}
        reply = await buying.api.call(call.request, "PUT /api/cart/items/<sku:str>", given, sku=taken.sku)
        return see_other(own_path(taken.back, "/cart"), reply, said="" if taken.put_back else "added")

    @operation(
        blueprint,
        "POST",
        "/cart/items/<sku:str>",
        "Change a line of the cart by form",
        takes=LineForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        guest=True,
    )
    async def change(call: Call[LineForm], sku: str) -> Reply:
        quantity = 0 if call.taken.remove else whole(call.taken.quantity)
        if quantity is None:  # an emptied field is no wish to lose the line
            return await buying.cart_page(call, 422, error="Enter a whole number, or press Remove.")
        lines = (await buying.cart(call)).lines
        held = next((line.quantity for line in lines if line.sku == sku), 0)
        given = {"quantity": min(quantity, QUANTITY_MAX)}
        reply = await buying.api.call(call.request, "PUT /api/cart/items/<sku:str>", given, sku=sku)
        return see_other("/cart", reply) if quantity else see_other("/cart", reply, removed=sku, quantity=held)


def _checkout(blueprint: Blueprint, buying: Buying) -> None:
    @operation(
        blueprint,
        "POST",
        "/checkout",
        "Check out by form",
        takes=CheckoutForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        guest=True,
        limit="checkout",
    )
    async def checkout(call: Call[CheckoutForm]) -> Reply:
        taken, total = call.taken, whole(call.taken.expected_total)
        if call.caller is None and not taken.email.strip():
            return see_other("/login", next="/cart")

        async def again(error: str, status: int) -> Reply:
            return await buying.cart_page(call, status, key=taken.idempotency_key, error=error, email=taken.email)

        call.request.ctx.again = again
        given: dict[str, Any] = {"fromCart": True} | ({} if total is None else {"expectedTotal": total})
        given |= {"email": taken.email} if call.caller is None else {}
        reply = await buying.api.call(call.request, CHECKOUT, given, key=taken.idempotency_key)
        return see_other(f"/orders/{reply.body.order.id}", reply)


def _orders(blueprint: Blueprint, buying: Buying) -> None:
    @operation(
        blueprint,
        "GET",
        "/orders",
        "The order history's page",
        takes=HistoryQuery,
        returns=PAGE,
        access=Access.CUSTOMER,
        limit="read",
    )
    async def orders(call: Call[HistoryQuery]) -> Reply:
        user = call.user
        at = cursor.decode(call.taken.cursor, cursor.TimePosition) if call.taken.cursor else None
        before = None if at is None else (at.at, at.id)
        page = await buying.orders.newest(user.user_id, None, before, buying.config.page_size)
        after = page.next_before and cursor.encode(cursor.TimePosition(*page.next_before))
        next_url = after and link("/orders", {}, cursor=after)
        return buying.pages.page(call.request, "orders.html", orders=page.items, next_url=next_url)

    @operation(
        blueprint,
        "GET",
        "/orders/<order_id:str>",
        "An order's page: pay it before the hold runs out",
        takes=OrderQuery,
        returns=PAGE,
        access=Access.CUSTOMER,
        guests_too=True,
        limit="read",
        errors=(OrderNotFound,),
    )
    async def order(call: Call[OrderQuery], order_id: str) -> Reply:
        call.request.ctx.order_token = call.taken.token
        return buying.order_page(call.request, await buying.order(call, order_id))


def _paying(blueprint: Blueprint, buying: Buying) -> None:
    def again(call: Call[PayForm], order_id: str) -> None:
        """After a refusal the order is shown as it is now: it may be paid, or cancelled."""

        async def shown(error: str, status: int) -> Reply:
            return buying.order_page(call.request, await buying.order(call, order_id), status, error=error)

        call.request.ctx.again, call.request.ctx.order_token = shown, call.taken.token

    @operation(
        blueprint,
        "POST",
        "/orders/<order_id:str>/pay",
        "Pay by form",
        takes=PayForm,
        returns=SEE_OTHER,
        access=Access.CUSTOMER,
        guests_too=True,
        limit="checkout",
        errors=(OrderNotFound,),
    )
    async def pay(call: Call[PayForm], order_id: str) -> Reply:
        again(call, order_id)
        given = {"paymentMethod": call.taken.payment_method}
        name, key = "POST /api/orders/<order_id:str>/pay", call.taken.idempotency_key
        await buying.api.call(call.request, name, given, key=key, order_id=order_id)
        return see_other(f"/orders/{order_id}", token=call.taken.token)

    @operation(
        blueprint,
        "POST",
        "/orders/<order_id:str>/cancel",
        "Cancel by form",
        takes=PayForm,
        returns=SEE_OTHER,
        access=Access.CUSTOMER,
        guests_too=True,
        errors=(OrderNotFound,),
    )
    async def cancel(call: Call[PayForm], order_id: str) -> Reply:
        again(call, order_id)
        name, key = "POST /api/orders/<order_id:str>/cancel", call.taken.idempotency_key
        await buying.api.call(call.request, name, key=key, order_id=order_id)
        return see_other(f"/orders/{order_id}", token=call.taken.token)
