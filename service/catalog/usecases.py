"""What can be done with the catalogue. A product, its offers, its empty stock and the fact are one transaction."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from service.catalog.models import (
    Category,
    CategoryCycle,
    CategoryLimit,
    CategoryNode,
    CategoryNotFound,
    Filters,
    NewProduct,
    NewVariant,
    Product,
    ProductNotFound,
    ProductStatus,
    SkuTaken,
    SlugTaken,
    Sort,
    Variant,
    VersionConflict,
    check_slug,
    check_variants,
    edited,
    follows_name,
    repriced,
    slugify,
    tree_of,
)
from service.catalog.offers import Offer, Offers
from service.catalog.popularity import Popularity
from service.catalog.product_reads import ProductReads
from service.catalog.repository import CatalogRepository, Place
from service.catalog.search.vocabulary import Vocabulary
from service.events import ProductChanged
from service.infra.mongo.client import Session
from service.inventory.models import Stock
from service.inventory.usecases import Inventory
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime

SLUG_MARK_DIGITS = 4
SKU_DIGITS = 8
SLUG_ATTEMPTS_MAX = 5
UPGRADED_TOGETHER_MAX = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of products, the stock of every SKU on it, and the place to go on from."""

    items: tuple[Product, ...]
    stock: Mapping[str, Stock]
    next: Place | None = None


class CatalogStores(NamedTuple):
    """Where the catalogue is kept and read: products, reads of them that are shared, the words searched, what sells."""

    repository: CatalogRepository
    products: ProductReads
    vocabulary: Vocabulary
    popularity: Popularity


class Catalog:
    def __init__(
        self,
        stored: CatalogStores,
        offers: Offers,
        inventory: Inventory,
        work: UnitOfWork,
        runtime: Runtime,
    ) -> None:
        self._repository, self._products, self._vocabulary, self._popularity = stored
        self._offers, self._inventory = offers, inventory
        self._transactions, self._outbox = work.transactions, work.outbox
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config

    # Reading.

    async def get(self, id_or_slug: str) -> Product:
        """By id, by slug, or by a slug it once had; archived ones too."""
        product = await self._products.named(id_or_slug)
        if product is None:
            raise ProductNotFound()
        return product

    async def by_sku(self, sku: str) -> Product:
        """Archived or not. Raises ProductNotFound."""
        offer = (await self._offers.of([sku])).get(sku)
        if offer is None:
            raise ProductNotFound(f"No product has the SKU {sku}")
        return await self.get(offer.product_id)

    async def on_sale(self, id_or_slug: str) -> Product:
        """As `get`, but an archived product is answered as if it did not exist."""
        product = await self.get(id_or_slug)
        if not product.active:
            raise ProductNotFound()
        return product

    async def rate(self, product_id: str, counted: int, stars: int, session: Session) -> None:
        """One review more (`counted` 1) or less (-1). Raises ProductNotFound."""
        product = await self._repository.find(product_id, session)
        if product is None:
            raise ProductNotFound()
        await self._repository.rate(replace(product, rating=product.rating.changed(counted, stars)), session)

    async def listed(
        self, category: str | None, filters: Filters, sort: Sort, after: Place | None, limit: int
    ) -> Listed:
        """Products of a category (and those below it) that pass the filters, in a sort order."""
        if category is not None:
            below = await self._repository.below(category)
            filters = replace(filters, categories=tuple(sorted(each.id for each in below)))
        found = await self._repository.page(filters, sort, after, limit + 1)
        items = tuple(product for product, _ in found[:limit])
        page = await self.with_stock(items)
        return replace(page, next=found[limit - 1][1]) if len(found) > limit else page

    async def with_stock(self, products: Sequence[Product]) -> Listed:
        """The products and the stock of all their SKUs, in one query."""
        stock = await self._inventory.availability([sku for product in products for sku in product.skus])
        return Listed(tuple(products), stock)

    async def brands(self) -> list[str]:
        return await self._repository.brands()

    # Editing.

    async def create(self, new: NewProduct) -> Product:
        """Raises SkuTaken, or SlugTaken for a slug that was asked for; one made from the name is made unique."""
        return (await self.create_all([new]))[0]

    async def create_all(self, news: Sequence[NewProduct]) -> list[Product]:
        """All of them or none: a delivery from another shop, in batches of a few hundred."""
        await self._prepare({new.category for new in news}, {new.brand for new in news}, map(_told, news))
        for attempt in range(SLUG_ATTEMPTS_MAX):
            products = await self._new_products(news)
            try:
                await self._transactions.run(self._creation(products))
            except SlugTaken:
                if attempt == SLUG_ATTEMPTS_MAX - 1 or any(new.slug for new in news):
                    raise
                continue
            return products
        raise AssertionError("the last attempt returns or raises")

    async def edit(self, id_or_slug: str, changes: Mapping[str, Any], version: int | None = None) -> Product:
        """Replaces the given fields. With `version` it must be the current one, else VersionConflict."""
        before = await self.get(id_or_slug)
        product_id = before.id
        after = self._changed(before, changes)
        await self._prepare({after.category}, {after.brand}, [_told(after)])
        if "slug" not in changes and after.name != before.name and follows_name(before.slug, before.name):
            changes = {**changes, "slug": await self._free_slug(after.name, besides=product_id)}
        return await self._change(product_id, lambda product: self._changed(product, changes), version)

    async def rehearse(self, new: NewProduct) -> None:
        """Raises what `create` would raise now."""
        (product,) = await self._new_products([new])
        if new.slug is not None and await self._repository.by_slug(new.slug) is not None:
            raise SlugTaken()
        await self._check_owners(product)

    async def rehearse_edit(self, product: Product, changes: Mapping[str, Any], version: int | None = None) -> bool:
        """Whether it would change anything. Raises what `edit` would raise now."""
        after = self._changed(product, changes)
        if after == product:
            return False
        if version is not None and version != product.version:
            raise VersionConflict(version=product.version)
        if after.slug != product.slug and (await self._free_slug(after.slug, besides=product.id)) != after.slug:
            raise SlugTaken()
        await self._check_owners(after)
        return True

    async def _check_owners(self, product: Product) -> None:
        owned = await self._offers.of(product.skus)
        foreign = sorted(sku for sku, offer in owned.items() if offer.product_id != product.id)
        if foreign:
            raise SkuTaken(f"{', '.join(foreign)} belong to another product", skus=foreign)

    async def by_id(self, after_id: str, limit: int) -> list[Product]:
        return await self._repository.by_id(after_id, limit)

    async def archive(self, id_or_slug: str) -> None:
        """Off the shelves; orders keep what they know of it, and its stock is kept. Archiving twice changes nothing."""
        product_id = (await self.get(id_or_slug)).id
        await self._change(product_id, lambda product: replace(product, status=ProductStatus.ARCHIVED))

    async def _prepare(self, categories: set[str], brands: set[str], texts: Iterable[str]) -> None:
        """What may be there before the product is: harmless if it never comes."""
        for category in sorted(categories):
            await self._repository.need_category(category)
        await self._repository.need_brands(brands - {""})
        await self._vocabulary.learn(texts)

    async def _change(
        self, product_id: str, change: Callable[[Product], Product], version: int | None = None
    ) -> Product:
        """Reads, changes and writes in one transaction: of two at once the later works on what the earlier left."""

        async def body(session: Session) -> Product:
            before = await self._repository.find(product_id, session)
            if before is None:
                raise ProductNotFound()
            if version is not None and version != before.version:
                raise VersionConflict(version=before.version)
            after = change(before)
            if after == before:
                return before
            after = replace(after, version=before.version + 1, updated_at=self._clock.now())
            await self._repository.replace(after, before.version, session)
            dropped = [(before, each) for each in before.sold if each.sku not in after.skus]
            await self._put_on_sale([after], dropped, session)
            return after

        return await self._transactions.run(body)

    def _creation(self, products: Sequence[Product]) -> Callable[[Session], Awaitable[None]]:
        async def body(session: Session) -> None:
            await self._repository.insert(products, session)
            await self._put_on_sale(products, (), session)

        return body

    async def _put_on_sale(
        self, products: Sequence[Product], dropped: Sequence[tuple[Product, Variant]], session: Session
    ) -> None:
        """Offers and stock for their SKUs, and the fact; offers of SKUs a product no longer has stay, inactive."""
        owners = {sku: product.id for product in products for sku in product.skus}
        taken = await self._offers.owners(owners, session)
        foreign = sorted(sku for sku, owner in taken.items() if owner != owners[sku])
        if foreign or len(owners) < sum(len(product.skus) for product in products):
            raise SkuTaken(f"{', '.join(foreign)} belong to another product", skus=foreign)
        offers = [_offer(product, each, product.active) for product in products for each in product.sold]
        offers += [_offer(product, each, active=False) for product, each in dropped]
        await self._offers.put(offers, session)
        await self._inventory.open({sku: owner for sku, owner in owners.items() if sku not in taken}, session)
        sold = {sku: product.active for product in products for sku in product.skus}
        moved = await self._inventory.set_on_sale(sold | {each.sku: False for _, each in dropped}, session)
        await self._outbox.add([*moved, *(ProductChanged(each.id, each.version) for each in products)], session)

    async def _free_slug(self, name: str, besides: str) -> str:
        slug = slugify(name)
        owner = await self._repository.by_slug(slug)
        return slug if owner is None or owner.id == besides else self._marked(slug)

    def _marked(self, slug: str) -> str:
        return f"{slug}-{self._ids.number('', SLUG_MARK_DIGITS).lower()}"

    async def _new_products(self, news: Sequence[NewProduct]) -> list[Product]:
        taken = await self._repository.taken_slugs(slugify(new.name) for new in news if new.slug is None)
        products = []
        for new in news:
            slug = new.slug or slugify(new.name)
            check_slug(slug)
            slug = self._marked(slug) if new.slug is None and slug in taken else slug
            taken.add(slug)
            products.append(self._new_product(new, slug))
        return products

    def _new_product(self, new: NewProduct, slug: str) -> Product:
        now = self._clock.now()
        variants = self._variants(new.variants)
        check_variants(variants, new.sku)
        product = Product(
            id=self._ids.new(),
            slug=slug,
            name=new.name,
            description=new.description,
            category=new.category,
            brand=new.brand,
            tags=tuple(dict.fromkeys(new.tags)),
            price=new.price,
            currency=self._config.currency,
            images=new.images,
            variants=variants,
            sku=None if variants else new.sku or self._new_sku(),
            created_at=now,
            updated_at=now,
            popularity=new.popularity,
            max_per_order=new.max_per_order,
            verified_only=new.verified_only,
        )
        return repriced(product)

    def _variants(self, given: Sequence[NewVariant]) -> tuple[Variant, ...]:
        return tuple(
            Variant(each.sku or self._new_sku(), each.name, each.price or 0, own_price=each.price is not None)
            for each in given
        )

    def _new_sku(self) -> str:
        return self._ids.number("SKU-", SKU_DIGITS)

    def _changed(self, product: Product, changes: Mapping[str, Any]) -> Product:
        given = dict(changes)
        slug = given.pop("slug", product.slug)
        check_slug(slug)
        if "variants" in given:
            given["variants"] = self._variants(given["variants"])
        after = edited(product, given)
        return after if slug == product.slug else after.renamed(slug)

    # Categories.

    async def categories(self) -> list[CategoryNode]:
        return tree_of(await self._repository.categories())

    async def put_category(self, category_id: str, name: str, parent_id: str | None) -> Category:
        """Makes or moves a category, with everything below it."""

        async def body(session: Session) -> Category:
            parent = await self._parent(category_id, parent_id, session)
            moved = Category(category_id, name, (*(parent.path if parent else ()), category_id))
            below = [each for each in await self._repository.below(category_id, session) if each.id != category_id]
            family = [moved, *(_moved_under(moved, each) for each in below)]
            if max(len(each.path) for each in family) > self._config.category_depth_max:
                raise CategoryLimit(f"Categories nest at most {self._config.category_depth_max} deep")
            await self._repository.put_categories(family, session)
            return moved

        return await self._transactions.run(body)

    async def _parent(self, category_id: str, parent_id: str | None, session: Session) -> Category | None:
        if parent_id is None:
            return None
        parent = await self._repository.category(parent_id, session)
        if parent is None:
            raise CategoryNotFound(f"There is no category {parent_id}")
        if category_id in parent.path:
            raise CategoryCycle()
        return parent

    # What buyers move.

    async def record_sales(self, units: Mapping[str, int]) -> None:
        """Units sold per product id since the last call. An estimate: a repeated call counts twice."""
        await self._popularity.sold(units)

    async def count_sales(self) -> int:
        """Makes products as popular as they sold since the last call. Returns how many sold."""
        return await self._popularity.count()

    async def upgrade(self) -> None:
        """Brings what an older version wrote in step: lowest prices, keys of search, and which stock has a live offer.
        Once done it changes nothing; safe to run anywhere, any number at once."""
        await self._repository.add_lowest_prices()
        while older := await self._repository.of_older_search(UPGRADED_TOGETHER_MAX):
            await self._vocabulary.learn(map(_told, older))
            await self._repository.index_anew(older)
        after = ""
        while gone := await self._offers.inactive(after, UPGRADED_TOGETHER_MAX):
            await self._transactions.run(partial(self._take_off_sale, gone))
            after = gone[-1]

    async def _take_off_sale(self, skus: Sequence[str], session: Session) -> None:
        await self._outbox.add(await self._inventory.set_on_sale(dict.fromkeys(skus, False), session), session)

    async def recount(self) -> int:
        """Counts the words of the catalogue anew and forgets words and brands that are gone. Returns how many words
        there are."""
        await self._repository.forget_brands()
        return await self._vocabulary.recount()


def _told(product: NewProduct | Product) -> str:
    """All words that search should know."""
    variants = (variant.name for variant in product.variants)
    return " ".join((product.name, *variants, product.description, product.brand, *product.tags, product.category))


def _moved_under(parent: Category, below: Category) -> Category:
    at = below.path.index(parent.id)
    return replace(below, path=(*parent.path, *below.path[at + 1 :]))


def _offer(product: Product, variant: Variant, active: bool) -> Offer:
    name = product.name if variant.sku == product.sku else f"{product.name} · {variant.name}"
    return Offer(
        sku=variant.sku,
        product_id=product.id,
        name=name,
        unit_price=variant.price,
        currency=product.currency,
        active=active,
        slug=product.slug,
        image=product.images[0].url if product.images else "",
        max_per_order=product.max_per_order,
        verified_only=product.verified_only,
    )
