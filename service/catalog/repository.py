"""Products and categories: all their queries but search's."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from service.catalog.models import (
    Category,
    Filters,
    Image,
    Product,
    ProductStatus,
    Rating,
    SlugTaken,
    Sort,
    Variant,
    rank_of,
)
from service.catalog.terms import code_key, name_keys, stems_of, text_keys
from service.infra.mongo.client import DUPLICATE_KEY, Database, Session

PRODUCTS, CATEGORIES, BRANDS = "products", "categories", "brands"
ASCENDING, DESCENDING = 1, -1
ACTIVE = {"status": ProductStatus.ACTIVE.value}
SORT_KEYS = {
    Sort.RELEVANCE: ("standing", DESCENDING),
    Sort.NEWEST: ("createdAt", DESCENDING),
    Sort.PRICE_ASC: ("price", ASCENDING),
    Sort.PRICE_DESC: ("price", DESCENDING),
    Sort.RATING: ("rating.average", DESCENDING),
    Sort.POPULAR: ("popularity", DESCENDING),
}
WITHOUT_SEARCH_KEYS = {"search.keys": 0, "search.name": 0}
SEARCH_FORM = 2  # grows when words are turned into keys by other rules
TEXT_STEMS_MAX = 100

Place = tuple[Any, str]
Placed = tuple[Product, Place]


class CatalogRepository:
    def __init__(self, database: Database) -> None:
        self._products, self._categories, self._brands = database[PRODUCTS], database[CATEGORIES], database[BRANDS]

    async def find(self, product_id: str, session: Session = None) -> Product | None:
        document = await self._products.find_one({"_id": product_id}, WITHOUT_SEARCH_KEYS, session=session)
        return None if document is None else to_product(document)

    async def by_slug(self, slug: str) -> Product | None:
        """Whose slug it is now, else whose it once was."""
        return (await self._by_slugs({slug})).get(slug)

    async def named(self, names: Set[str]) -> dict[str, Product]:
        """Of each name the product whose id it is, else whose slug it is now, else whose it once was."""
        by_id = {document["_id"]: to_product(document) for document in await self._with("_id", names)}
        return by_id | await self._by_slugs(names - by_id.keys())

    async def _by_slugs(self, slugs: Set[str]) -> dict[str, Product]:
        found: dict[str, Product] = {}
        if slugs:
            found = {document["slug"]: to_product(document) for document in await self._with("slug", slugs)}
        if left := slugs - found.keys():
            for document in await self._with("oldSlugs", left):
                found |= dict.fromkeys(left & set(document["oldSlugs"]), to_product(document))
        return found

    async def on_sale(self, ids: Iterable[str]) -> dict[str, Product]:
        """The active ones of these products."""
        found = await self._with("_id", set(ids))
        return {document["_id"]: to_product(document) for document in found if document["status"] == "active"}

    async def _with(self, field: str, values: Set[str]) -> list[Mapping[str, Any]]:
        documents: list[Mapping[str, Any]] = await self._products.find(
            {field: {"$in": sorted(values)}}, WITHOUT_SEARCH_KEYS
        ).to_list(None)
        return documents

    async def page(self, filters: Filters, sort: Sort, after: Place | None, limit: int) -> list[Placed]:
        """Active products in a sort order, each with its place (sort value, id), after the place of the last one seen.

        Two walks rather than one with an `$or`: first what ties with the last value, then what lies beyond it. Each is
        an index range of its own, so a page costs the same however many products tie.
        """
        field, direction = SORT_KEYS[sort]
        condition = _condition(filters)
        order = [(field, direction), ("_id", direction)]
        found: list[Mapping[str, Any]] = []
        for reach in _beyond(field, direction, after):
            query = {"$and": [condition, reach]} if reach else condition
            cursor = self._products.find(query, WITHOUT_SEARCH_KEYS).sort(order).limit(limit - len(found))
            found += await cursor.to_list(limit)
            if len(found) >= limit:
                break
        return [(to_product(document), (value_at(document, field), document["_id"])) for document in found]

    async def add_lowest_prices(self) -> None:
        """To products of an older version, whose `price` was not the lowest of their variants'."""
        lowest = {"$set": {"basePrice": "$price", "price": {"$min": "$variants.price"}}}
        await self._products.update_many({"basePrice": {"$exists": False}, "variants.0": {"$exists": True}}, [lowest])

    async def taken_slugs(self, slugs: Iterable[str]) -> set[str]:
        found = self._products.find({"slug": {"$in": sorted(slugs)}}, {"slug": 1})
        return {document["slug"] for document in await found.to_list(None)}

    async def insert(self, products: Sequence[Product], session: Session = None) -> None:
        """Raises SlugTaken if one has the slug of another product."""
        documents = [to_document(product) for product in products]
        try:
            await self._products.insert_many(documents, session=session)
        except BulkWriteError as error:
            if all(each["code"] == DUPLICATE_KEY for each in error.details["writeErrors"]):
                raise SlugTaken() from error
            raise

    async def replace(self, product: Product, version: int, session: Session) -> None:
        """Everything staff can edit; what buyers move is left as it stands. Meant for a transaction that has read
        `version`."""
        fields = to_document(product)
        for moving in ("_id", "createdAt", "rating", "popularity", "standing"):
            del fields[moving]
        try:
            result = await self._products.update_one(
                {"_id": product.id, "version": version}, {"$set": fields}, session=session
            )
        except DuplicateKeyError as error:
            raise SlugTaken(slug=product.slug) from error
        assert result.matched_count == 1, "the product changed inside the transaction that read it"

    async def rate(self, product: Product, session: Session) -> None:
        """Its rating, and what follows from it."""
        fields = {"rating": rating_document(product.rating), **_worth(product)}
        await self._products.update_one({"_id": product.id}, {"$set": fields}, session=session)

    async def add_popularity(self, sold: Sequence[Product], units: Mapping[str, int]) -> None:
        """`sold` as they are now. Counters add up whoever writes; what was worked out from an older count is mended by
        the next sale."""
        updates = [
            UpdateOne({"_id": each.id}, {"$inc": {"popularity": units[each.id]}, "$set": _worth(each)}) for each in sold
        ]
        if updates:
            await self._products.bulk_write(updates, ordered=False)

    # Brands.

    async def brands(self) -> list[str]:
        found = await self._brands.find().sort("_id", 1).to_list(None)
        return sorted((each["_id"] for each in found), key=str.casefold)

    async def need_brands(self, names: Iterable[str]) -> None:
        """Lists them, if they are not listed yet."""
        known = {each["_id"] for each in await self._brands.find({"_id": {"$in": sorted(names)}}).to_list(None)}
        for name in sorted(set(names) - known):
            await self._brands.update_one({"_id": name}, {"$setOnInsert": {"_id": name}}, upsert=True)

    async def forget_brands(self) -> None:
        """Those that no product on sale has."""
        for name in await self.brands():
            if await self._products.find_one({**ACTIVE, "brand": name}, {"_id": 1}) is None:
                await self._brands.delete_one({"_id": name})

    async def by_id(self, after_id: str, limit: int) -> list[Product]:
        """All of them, archived ones too."""
        found = self._products.find({"_id": {"$gt": after_id}}).sort("_id", 1).limit(limit)
        return [to_product(document) for document in await found.to_list(limit)]

    async def of_older_search(self, limit: int) -> list[Product]:
        """Products whose keys were made by other rules than today's."""
        found = self._products.find({"search.form": {"$ne": SEARCH_FORM}}, WITHOUT_SEARCH_KEYS).sort("_id", 1)
        return [to_product(document) for document in await found.limit(limit).to_list(limit)]

    async def index_anew(self, products: Sequence[Product]) -> None:
        """The keys of those that nobody has changed meanwhile: a change makes them anew itself."""
        writes = [
            UpdateOne({"_id": each.id, "version": each.version}, {"$set": {"search": search_fields(each)}})
            for each in products
        ]
        await self._products.bulk_write(writes, ordered=False)

    # Categories.

    async def categories(self) -> list[Category]:
        return [to_category(each) for each in await self._categories.find().sort("_id", 1).to_list(None)]

    async def category(self, category_id: str, session: Session = None) -> Category | None:
        document = await self._categories.find_one({"_id": category_id}, session=session)
        return None if document is None else to_category(document)

    async def below(self, category_id: str, session: Session = None) -> list[Category]:
        """The category and everything under it."""
        found = self._categories.find({"path": category_id}, session=session)
        return [to_category(each) for each in await found.to_list(None)]

    async def put_categories(self, categories: Sequence[Category], session: Session) -> None:
        writes = [UpdateOne({"_id": c.id}, {"$set": _category_fields(c)}, upsert=True) for c in categories]
        await self._categories.bulk_write(writes, ordered=False, session=session)

    async def need_category(self, category_id: str) -> None:
        """Makes it a root if it is not there yet."""
        root = _category_fields(Category(category_id, category_id, (category_id,)))
        await self._categories.update_one({"_id": category_id}, {"$setOnInsert": root}, upsert=True)


def _condition(filters: Filters) -> dict[str, Any]:
    condition: dict[str, Any] = dict(ACTIVE)
    if filters.categories is not None:
        condition["category"] = {"$in": list(filters.categories)}
    if filters.brand is not None:
        condition["brand"] = filters.brand
    if filters.tag is not None:
        condition["tags"] = filters.tag
    bounds = {"$gte": filters.min_price, "$lte": filters.max_price}
    if price := {operator: bound for operator, bound in bounds.items() if bound is not None}:
        condition["price"] = price
    return condition


def _beyond(field: str, direction: int, after: Place | None) -> list[dict[str, Any]]:
    if after is None:
        return [{}]
    value, last_id = after
    operator = "$gt" if direction == ASCENDING else "$lt"
    return [{field: value, "_id": {operator: last_id}}, {field: {operator: value}}]


def value_at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return value


def search_fields(product: Product) -> dict[str, Any]:
    """What search walks: the keys of every word (and pair of name words), the rank, the name's words in order."""
    named = stems_of(product.name)
    variants = [variant.name for variant in product.variants]
    told = " ".join((*variants, product.description, product.brand, *product.tags, product.category))
    codes = dict.fromkeys(filter(None, map(code_key, product.skus)))
    return {
        "form": SEARCH_FORM,
        "keys": [*name_keys(named), *text_keys(stems_of(told)[:TEXT_STEMS_MAX], named), *codes],
        "rank": rank_of(product.name, product.standing),
        "name": named,
    }


def _worth(product: Product) -> dict[str, Any]:
    return {"standing": product.standing, "search.rank": rank_of(product.name, product.standing)}


def rating_document(rating: Rating) -> dict[str, Any]:
    return {"average": rating.average, "count": rating.count, "total": rating.total}


def to_document(product: Product) -> dict[str, Any]:
    document = {
        "_id": product.id,
        "status": product.status.value,
        "search": search_fields(product),
        "slug": product.slug,
        "name": product.name,
        "description": product.description,
        "category": product.category,
        "brand": product.brand,
        "tags": list(product.tags),
        "price": product.price_from,
        "basePrice": product.price,
        "currency": product.currency,
        "images": [{"url": image.url, "alt": image.alt} for image in product.images],
        "variants": [
            {"sku": v.sku, "name": v.name, "price": v.price, "ownPrice": v.own_price} for v in product.variants
        ],
        "sku": product.sku,
        "rating": rating_document(product.rating),
        "popularity": product.popularity,
        "standing": product.standing,
        "version": product.version,
        "maxPerOrder": product.max_per_order,
        "verifiedOnly": product.verified_only,
        "createdAt": product.created_at,
        "updatedAt": product.updated_at,
    }
    return document | ({"oldSlugs": list(product.old_slugs)} if product.old_slugs else {})


def to_product(document: Mapping[str, Any]) -> Product:
    """Of a variant that an older version wrote, another price than the product's is its own."""
    price = document.get("basePrice", document["price"])
    return Product(
        id=document["_id"],
        slug=document["slug"],
        name=document["name"],
        description=document["description"],
        category=document["category"],
        brand=document["brand"],
        tags=tuple(document["tags"]),
        price=price,
        currency=document["currency"],
        images=tuple(Image(each["url"], each["alt"]) for each in document["images"]),
        variants=tuple(
            Variant(each["sku"], each["name"], each["price"], each.get("ownPrice", each["price"] != price))
            for each in document["variants"]
        ),
        sku=document["sku"],
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
        rating=Rating(document["rating"]["count"], document["rating"]["total"]),
        popularity=document["popularity"],
        status=ProductStatus(document["status"]),
        version=document["version"],
        old_slugs=tuple(document.get("oldSlugs", ())),
        max_per_order=document.get("maxPerOrder"),
        verified_only=document.get("verifiedOnly", False),
    )


def to_category(document: Mapping[str, Any]) -> Category:
    return Category(document["_id"], document["name"], tuple(document["path"]))


def _category_fields(category: Category) -> dict[str, Any]:
    return {"name": category.name, "path": list(category.path)}
