"""/api/products"""

from functools import partial
from typing import Any

from sanic import Blueprint

from service.catalog import file_routes, review_routes
from service.catalog.models import (
    CategoryCycle,
    CategoryLimit,
    CategoryNode,
    CategoryNotFound,
    Product,
    ProductNotFound,
    SkuTaken,
    SlugTaken,
    Sort,
    VersionConflict,
)
from service.catalog.positions import cursor_of, place_of
from service.catalog.reviews import Reviews
from service.catalog.schemas import (
    BrandsReply,
    CategoriesReply,
    CategoryBody,
    CategoryView,
    EditProductBody,
    NewProductBody,
    ProductsQuery,
    ProductsReply,
    ProductView,
    SearchQuery,
    SearchReply,
    SuggestQuery,
    SuggestReply,
    category_view,
    product_view,
    suggestion_view,
)
from service.catalog.search.suggestions import Suggestions
from service.catalog.search.usecases import Position, Search
from service.catalog.usecases import Catalog
from service.config import Config
from service.errors import Invalid
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.http.ready import ReadyReplies

EDITED = (SkuTaken, SlugTaken)


def routes(
    catalog: Catalog,
    search: Search,
    suggestions: Suggestions,
    reviews: Reviews,
    ready: ReadyReplies,
    config: Config,
) -> Blueprint:
    """What everyone may read is answered from the cache, and each change made here ends what it held at once; changes
    made elsewhere reach it through the outbox."""
    blueprint = Blueprint("products", url_prefix="/api/products")
    _reading(blueprint, catalog, ready)
    _searching(blueprint, catalog, search, suggestions, ready)
    _editing(blueprint, catalog, ready, config)
    _categories(blueprint, catalog, ready)
    review_routes.add(blueprint, reviews, ready)
    file_routes.add(blueprint, catalog, ready, config)
    return blueprint


def _reading(blueprint: Blueprint, catalog: Catalog, ready: ReadyReplies) -> None:
    @operation(
        blueprint,
        "GET",
        "/",
        "Products of a category, brand, tag or price range, in the order asked for",
        takes=ProductsQuery,
        returns={200: ProductsReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def products(call: Call[ProductsQuery]) -> Reply:
        """Filters combine. A category includes everything below it; prices are in minor units, both ends included.
        Carries an `ETag`."""
        return await ready.reply(call, partial(_listed, catalog, call.taken))

    @operation(
        blueprint,
        "GET",
        "/by-sku/<sku:str>",
        "The product a SKU belongs to",
        returns={200: ProductView},
        access=Access.PUBLIC,
        limit="read",
        errors=(ProductNotFound,),
    )
    async def by_sku(call: Call[Nothing], sku: str) -> Reply:
        """Its own SKU or one of its variants', exactly as it was given. Archived products are found by staff only."""
        found = await catalog.by_sku(sku)
        if not found.active and (call.caller is None or call.caller.access < Access.STAFF):
            raise ProductNotFound()
        return Reply(200, await _with_stock(catalog, found))

    @operation(
        blueprint,
        "GET",
        "/<id_or_slug:str>",
        "One product, by id, by slug, or by a slug it once had",
        returns={200: ProductView, 304: None},
        access=Access.PUBLIC,
        limit="read",
        errors=(ProductNotFound,),
    )
    async def product(call: Call[Nothing], id_or_slug: str) -> Reply:
        """An address that a product once had still finds it; archived products are answered with 404. Carries an
        `ETag`."""
        if call.caller is not None and call.caller.access >= Access.STAFF:  # they see what is archived, too
            return ready.fresh(await _with_stock(catalog, await catalog.get(id_or_slug)))

        async def view() -> ProductView:
            return await _with_stock(catalog, await catalog.on_sale(id_or_slug))

        return await ready.reply(call, view)


def _searching(
    blueprint: Blueprint, catalog: Catalog, search: Search, suggestions: Suggestions, ready: ReadyReplies
) -> None:
    @operation(
        blueprint,
        "GET",
        "/search",
        "Products for some words, the best first; typos are forgiven",
        takes=SearchQuery,
        returns={200: SearchReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def search_products(call: Call[SearchQuery]) -> Reply:
        """Finds words of names, brands, categories and descriptions; `corrected` says what was searched for when a word
        looked like a typo. `"in quotes"` keeps words together, `-word` leaves out."""
        return await ready.reply(call, partial(_found, catalog, search, ready, call.taken))

    @operation(
        blueprint,
        "GET",
        "/suggest",
        "Completes what is being typed",
        takes=SuggestQuery,
        returns={200: SuggestReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def suggest(call: Call[SuggestQuery]) -> Reply:
        """Product names and words for an input field, few and fast. Made to be asked with every keystroke."""

        async def view() -> SuggestReply:
            found = await suggestions.complete(call.taken.q)
            return SuggestReply(items=[suggestion_view(each) for each in found])

        return await ready.reply(call, view)


def _editing(blueprint: Blueprint, catalog: Catalog, ready: ReadyReplies, config: Config) -> None:
    @operation(
        blueprint,
        "POST",
        "/",
        "Put a product on sale, with empty stock for each of its SKUs",
        takes=NewProductBody,
        returns={201: ProductView},
        access=Access.STAFF,
        scope="catalog:write",
        errors=EDITED,
        gives={"id_or_slug": "/id", "sku": "/sku"},
    )
    async def create(call: Call[NewProductBody]) -> Reply:
        """A product has one `sku` of its own or `variants` with one each. The slug is made from the name unless given.
        Stock begins at 0: receive goods next."""
        _check_currency(call.taken.currency, config)
        made = await catalog.create(call.taken.product())
        await ready.forget()
        return Reply(201, await _with_stock(catalog, made), {"Location": f"/api/products/{made.id}"})

    @operation(
        blueprint,
        "PATCH",
        "/<id_or_slug:str>",
        "Change a product",
        takes=EditProductBody,
        returns={200: ProductView},
        access=Access.STAFF,
        scope="catalog:write",
        errors=(ProductNotFound, VersionConflict, *EDITED),
    )
    async def edit(call: Call[EditProductBody], id_or_slug: str) -> Reply:
        """Only the fields that are sent change. Send the `version` that was read to refuse overwriting somebody else's
        change: 409 `version_conflict`."""
        _check_currency(call.taken.currency, config)
        changed = await catalog.edit(id_or_slug, call.taken.changes(), call.taken.version)
        await ready.forget()
        return Reply(200, await _with_stock(catalog, changed))

    @operation(
        blueprint,
        "DELETE",
        "/<id_or_slug:str>",
        "Archive a product: off the shelves, but never forgotten",
        returns={204: None},
        access=Access.STAFF,
        scope="catalog:write",
        errors=(ProductNotFound,),
    )
    async def archive(call: Call[Nothing], id_or_slug: str) -> Reply:
        """It can no longer be found or bought; orders that hold it keep their lines, and its stock stays counted."""
        await catalog.archive(id_or_slug)
        await ready.forget()
        return Reply(204)


def _categories(blueprint: Blueprint, catalog: Catalog, ready: ReadyReplies) -> None:
    @operation(
        blueprint,
        "GET",
        "/categories",
        "The tree of categories",
        returns={200: CategoriesReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def categories(call: Call[Nothing]) -> Reply:
        """The whole tree, each node with its children. Carries an `ETag`."""

        async def view() -> CategoriesReply:
            return CategoriesReply(items=[category_view(root) for root in await catalog.categories()])

        return await ready.reply(call, view)

    @operation(
        blueprint,
        "PUT",
        "/categories/<category_id:str>",
        "Make, rename or move a category, with everything below it",
        takes=CategoryBody,
        returns={200: CategoryView},
        access=Access.STAFF,
        scope="catalog:write",
        errors=(CategoryNotFound, CategoryCycle, CategoryLimit),
    )
    async def put_category(call: Call[CategoryBody], category_id: str) -> Reply:
        """Products keep their category's id, so moving it moves them along."""
        category = await catalog.put_category(category_id, call.taken.name, call.taken.parent)
        await ready.forget()
        return Reply(200, category_view(CategoryNode(category)))

    @operation(
        blueprint,
        "GET",
        "/brands",
        "The brands on sale",
        returns={200: BrandsReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def brands(call: Call[Nothing]) -> Reply:
        """Every brand that has at least one product on sale, in alphabetical order."""

        async def view() -> BrandsReply:
            return BrandsReply(items=await catalog.brands())

        return await ready.reply(call, view)


async def _listed(catalog: Catalog, asked: ProductsQuery) -> ProductsReply:
    sort = Sort(asked.sort)
    page = await catalog.listed(asked.category, asked.filters(), sort, place_of(asked.cursor, sort), asked.limit)
    after = None if page.next is None else cursor_of(sort, page.next)
    return ProductsReply(items=[product_view(product, page.stock) for product in page.items], next_cursor=after)


async def _found(catalog: Catalog, search: Search, ready: ReadyReplies, asked: SearchQuery) -> SearchReply:
    position = None if asked.cursor is None else cursor.decode(asked.cursor, Position)
    found = await search.find(asked.q, position, asked.limit, ready.generation)
    page = await catalog.with_stock(found.items)
    items = [product_view(product, page.stock) for product in page.items]
    after = None if found.next is None else cursor.encode(found.next)
    return SearchReply(items=items, next_cursor=after, corrected_query=found.corrected)


async def _with_stock(catalog: Catalog, product: Product) -> ProductView:
    page = await catalog.with_stock([product])
    return product_view(product, page.stock)


def _check_currency(given: Any, config: Config) -> None:
    if isinstance(given, str) and given != config.currency:
        raise Invalid(errors=[{"path": "currency", "message": f"This shop sells in {config.currency}"}])
