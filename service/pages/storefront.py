"""The shop for people to look at: the list, with search and filters, and a product's page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from sanic import Blueprint

from service import money
from service.catalog.models import Filters, Product, ProductNotFound, Sort
from service.catalog.positions import cursor_of, place_of
from service.catalog.search.usecases import Position, Search
from service.catalog.usecases import Catalog, Listed
from service.config import Config
from service.pages.api import Api, see_other
from service.pages.render import Pages, link
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Form, PageQuery, Reply, operation

PAGE, SEE_OTHER = {200: None}, {303: None}
SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "price_asc": "Price, low to high",
    "price_desc": "Price, high to low",
    "rating": "Rating",
    "popular": "Most bought",
}
PAGE_MAX = 100
SEARCHES_MAX = 12  # a page of filtered results looks at so many pages of unfiltered ones at most
Text = Annotated[str, msgspec.Meta(max_length=200)]


class ListQuery(PageQuery):
    """What the search form sends: an empty field is no filter."""

    q: Text = ""
    category: Text = ""
    brand: Text = ""
    min_price: Text = ""
    max_price: Text = ""
    sort: Text = "relevance"
    cursor: Annotated[str, msgspec.Meta(max_length=4_000)] = ""
    limit: Text = ""


class NotifyForm(Form):
    sku: Annotated[str, msgspec.Meta(max_length=64)]


@dataclass(frozen=True, slots=True)
class Asked:
    """The query as it was understood; `faults` says, by field, what was not."""

    query: ListQuery
    lowest: int | None
    highest: int | None
    sort: Sort
    limit: int
    faults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of products; `corrected` is the search that was answered in place of the one that was asked."""

    page: Listed
    next: str | None
    corrected: str | None = None


@dataclass(frozen=True, slots=True)
class Storefront:
    catalog: Catalog
    search: Search
    api: Api
    pages: Pages
    config: Config

    def understood(self, query: ListQuery) -> Asked:
        faults: dict[str, str] = {}
        lowest = self._price("minPrice", query.min_price, faults)
        highest = self._price("maxPrice", query.max_price, faults)
        if lowest is not None and highest is not None and lowest > highest:
            lowest, highest = highest, lowest
        sort = Sort(query.sort) if query.sort in SORTS else Sort.RELEVANCE
        limit = int(query.limit) if query.limit.isascii() and query.limit.isdigit() and len(query.limit) < 4 else 0
        return Asked(query, lowest, highest, sort, min(limit or self.config.page_size, PAGE_MAX), faults)

    def _price(self, name: str, text: str, faults: dict[str, str]) -> int | None:
        if not text.strip():
            return None
        try:
            return money.parse(text, self.config.currency)
        except money.NotMoney as error:
            faults[name] = str(error)
            return None

    async def found(self, asked: Asked, categories: Sequence[Any]) -> Found:
        if asked.query.q.strip():
            return await self._searched(asked, categories)
        query = asked.query
        filters = Filters(None, query.brand or None, None, asked.lowest, asked.highest)
        after = place_of(query.cursor or None, asked.sort)
        page = await self.catalog.listed(query.category or None, filters, asked.sort, after, asked.limit)
        return Found(page, None if page.next is None else cursor_of(asked.sort, page.next))

    async def _searched(self, asked: Asked, categories: Sequence[Any]) -> Found:
        """A search goes on until the page is full of what the filters let through, or has looked far enough."""
        position = cursor.decode(asked.query.cursor, Position) if asked.query.cursor else None
        wanted = frozenset(_below(categories, asked.query.category))
        kept: list[Product] = []
        corrected = None
        for _ in range(SEARCHES_MAX):
            found = await self.search.find(asked.query.q, position, asked.limit - len(kept))
            corrected = corrected or found.corrected
            kept += [product for product in found.items if _passes(product, asked, wanted)]
            position = found.next
            if position is None or len(kept) == asked.limit:
                break
        page = await self.catalog.with_stock(kept)
        return Found(page, None if position is None else cursor.encode(position), corrected)


def _passes(product: Product, asked: Asked, categories: frozenset[str]) -> bool:
    query = asked.query
    return (
        (not query.category or product.category in categories)
        and (not query.brand or product.brand == query.brand)
        and (asked.lowest is None or product.price >= asked.lowest)
        and (asked.highest is None or product.price <= asked.highest)
    )


def _below(nodes: Sequence[Any], category: str) -> Iterator[str]:
    """The ids of a category and of all below it."""
    for node in nodes:
        if node.category.id == category:
            yield from _all(node)
        else:
            yield from _below(node.children, category)


def _all(node: Any) -> Iterator[str]:
    yield node.category.id
    for child in node.children:
        yield from _all(child)


def routes(shop: Storefront) -> Blueprint:
    blueprint = Blueprint("storefront")
    _browsing(blueprint, shop)
    _waiting(blueprint, shop)
    return blueprint


def _browsing(blueprint: Blueprint, shop: Storefront) -> None:
    @operation(
        blueprint, "GET", "/", "The storefront", takes=ListQuery, returns=PAGE, access=Access.PUBLIC, limit="read"
    )
    async def home(call: Call[ListQuery]) -> Reply:
        asked, categories = shop.understood(call.taken), await shop.catalog.categories()
        found = await shop.found(asked, categories)
        query = {name: value for name, value in msgspec.to_builtins(call.taken).items() if name != "cursor"}
        return shop.pages.page(
            call.request,
            "list.html",
            422 if asked.faults else 200,
            page=found.page,
            asked=call.taken,
            faults=asked.faults,
            corrected=found.corrected,
            categories=categories,
            brands=await shop.catalog.brands(),
            sorts=SORTS,
            next_url=found.next and link("/", query, cursor=found.next),
            everything_url=link("/", {"q": call.taken.q}),
        )

    @operation(
        blueprint,
        "GET",
        "/p/<slug:str>",
        "A product's page",
        takes=PageQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
        errors=(ProductNotFound,),
    )
    async def product(call: Call[PageQuery], slug: str) -> Reply:
        found = await shop.catalog.on_sale(slug)
        page = await shop.catalog.with_stock([found])
        return shop.pages.page(call.request, "product.html", product=found, stock=page.stock)


def _waiting(blueprint: Blueprint, shop: Storefront) -> None:
    @operation(
        blueprint,
        "POST",
        "/p/<slug:str>/notify-me",
        "Ask by form to be told when it is back",
        takes=NotifyForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        guest=True,
        errors=(ProductNotFound,),
    )
    async def notify_me(call: Call[NotifyForm], slug: str) -> Reply:
        found = await shop.catalog.on_sale(slug)
        if call.caller is None:
            return see_other("/login", next=f"/p/{found.slug}")
        name = "POST /api/inventory/<sku:str>/notify-me"
        await shop.api.call(call.request, name, sku=call.taken.sku)
        return see_other(f"/p/{found.slug}", said="noted")
