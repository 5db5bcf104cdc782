"""The shop for people: list, product, cart, checkout, orders. Reading works without JavaScript; buying uses the API."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from sanic import Blueprint

from service.catalog.models import Filters, ProductNotFound, Sort
from service.catalog.positions import cursor_of, place_of
from service.catalog.search.usecases import Position, Search
from service.catalog.usecases import Catalog, Listed
from service.config import Config
from service.orders.models import OrderNotFound
from service.orders.usecases import Orders
from service.pages.render import Pages, link
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, Wire, operation

PAGE = {200: None}
SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "price_asc": "Price, low to high",
    "price_desc": "Price, high to low",
    "rating": "Rating",
    "popular": "Most bought",
}
Text = Annotated[str, msgspec.Meta(max_length=200)]
Pence = Annotated[str, msgspec.Meta(max_length=12, pattern=r"^\d*(\.\d{1,2})?(?![\s\S])")]


class ListQuery(Wire):
    """What the search form sends: an empty field is no filter."""

    q: Text = ""
    category: Text = ""
    brand: Text = ""
    min_price: Pence = ""
    max_price: Pence = ""
    sort: Annotated[str, msgspec.Meta(max_length=16)] = "relevance"
    cursor: Annotated[str, msgspec.Meta(max_length=4_000)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24


class HistoryQuery(Wire):
    cursor: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


@dataclass(frozen=True, slots=True)
class Storefront:
    catalog: Catalog
    search: Search
    orders: Orders
    pages: Pages
    config: Config

    async def listed(self, asked: ListQuery) -> tuple[Listed, str | None, str | None]:
        """The page of products, the cursor of the next one, and the query as it was understood."""
        if asked.q.strip():
            position = cursor.decode(asked.cursor, Position) if asked.cursor else None
            found = await self.search.find(asked.q, position, asked.limit)
            page = await self.catalog.with_stock(found.items)
            return page, None if found.next is None else cursor.encode(found.next), found.corrected
        sort = Sort(asked.sort) if asked.sort in SORTS else Sort.RELEVANCE
        filters = Filters(None, asked.brand or None, None, _minor(asked.min_price), _minor(asked.max_price))
        after = place_of(asked.cursor or None, sort)
        page = await self.catalog.listed(asked.category or None, filters, sort, after, asked.limit)
        return page, None if page.next is None else cursor_of(sort, page.next), None


def _minor(pounds: str) -> int | None:
    return round(float(pounds) * 100) if pounds.strip(".") else None


def routes(shop: Storefront) -> Blueprint:
    blueprint = Blueprint("storefront")
    _browsing(blueprint, shop)
    _buying(blueprint, shop)
    return blueprint


def _browsing(blueprint: Blueprint, shop: Storefront) -> None:
    @operation(
        blueprint, "GET", "/", "The storefront", takes=ListQuery, returns=PAGE, access=Access.PUBLIC, limit="read"
    )
    async def home(call: Call[ListQuery]) -> Reply:
        asked = call.taken
        page, after, corrected = await shop.listed(asked)
        query = {name: value for name, value in msgspec.to_builtins(asked).items() if name != "cursor"}
        return shop.pages.page(
            call.request,
            "list.html",
            page=page,
            asked=asked,
            corrected=corrected,
            categories=await shop.catalog.categories(),
            brands=await shop.catalog.brands(),
            sorts=SORTS,
            next_url=after and link("/", query, cursor=after),
        )

    @operation(
        blueprint,
        "GET",
        "/p/<slug:str>",
        "A product's page",
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
        errors=(ProductNotFound,),
    )
    async def product(call: Call[Nothing], slug: str) -> Reply:
        found = await shop.catalog.on_sale(slug)
        page = await shop.catalog.with_stock([found])
        return shop.pages.page(call.request, "product.html", product=found, stock=page.stock)


def _buying(blueprint: Blueprint, shop: Storefront) -> None:
    @operation(blueprint, "GET", "/cart", "The cart's page", returns=PAGE, access=Access.PUBLIC, limit="read")
    async def cart(call: Call[Nothing]) -> Reply:
        return shop.pages.page(call.request, "cart.html", hold_seconds=shop.config.reservation_ttl_seconds)

    @operation(blueprint, "GET", "/login", "Sign in or register", returns=PAGE, access=Access.PUBLIC, limit="read")
    async def login(call: Call[Nothing]) -> Reply:
        return shop.pages.page(call.request, "login.html")

    @operation(
        blueprint,
        "GET",
        "/orders",
        "The order history's page",
        takes=HistoryQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def orders(call: Call[HistoryQuery]) -> Reply:
        if call.caller is None:
            return shop.pages.page(call.request, "login.html")
        at = cursor.decode(call.taken.cursor, cursor.TimePosition) if call.taken.cursor else None
        before = None if at is None else (at.at, at.id)
        page = await shop.orders.newest(call.caller.user_id, None, before, shop.config.page_size)
        after = page.next_before and cursor.encode(cursor.TimePosition(*page.next_before))
        return shop.pages.page(
            call.request, "orders.html", orders=page.items, next_url=after and link("/orders", {}, cursor=after)
        )

    @operation(
        blueprint,
        "GET",
        "/orders/<order_id:str>",
        "An order's page: pay it before the hold runs out",
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
        errors=(OrderNotFound,),
    )
    async def order(call: Call[Nothing], order_id: str) -> Reply:
        if call.caller is None:
            return shop.pages.page(call.request, "login.html")
        found = await shop.orders.own(call.caller.user_id, order_id)
        return shop.pages.page(call.request, "order.html", order=found)
