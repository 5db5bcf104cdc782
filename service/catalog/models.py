"""What the shop sells, and the pure rules of it: products and their variants, categories, reviews, slugs, rank."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.catalog.terms import stem, stems_of, words_of
from service.errors import Conflict, Forbidden, Invalid, NotFound

SLUG_LENGTH_MAX = 80
SLUG_MARK_LENGTH = 8
RESERVED_SLUGS = frozenset({"brands", "by-sku", "categories", "export", "import", "reviews", "search", "suggest"})
RESERVED_SKUS = frozenset(
    {
        "alerts",
        "availability",
        "dead-letters",
        "import",
        "jobs",
        "low-stock",
        "movements",
        "reasons",
        "receive",
        "stream",
    }
)  # words of the API at the place where it takes a SKU
SLUG_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*(?![\s\S])"
POINTS_PER_DOUBLED_SALES = 10
POINTS_PER_STAR = 10
POINTS_OF_BREVITY = 300
SHOPS_OWN = frozenset(
    {
        "admin",
        "administrator",
        "holdfast",
        "moderator",
        "official",
        "service",
        "shop",
        "staff",
        "store",
        "support",
        "team",
    }
)
USUAL_STARS, USUAL_REVIEWS = 3, 5  # a rating counts as if so many reviews of so many stars stood beside it


class ProductNotFound(NotFound):
    code, title = "product_not_found", "There is no such product"


class CategoryNotFound(NotFound):
    code, title = "category_not_found", "There is no such category"


class ReviewNotFound(NotFound):
    code, title = "review_not_found", "There is no such review"


class SkuTaken(Conflict):
    """`skus` lists those that belong to another product."""

    code, title = "sku_taken", "A SKU belongs to another product"


class SlugTaken(Conflict):
    code, title = "slug_taken", "The slug belongs to another product"


class VersionConflict(Conflict):
    """`version` is the current one."""

    code, title = "version_conflict", "The product has changed since you read it"


class AlreadyReviewed(Conflict):
    code, title = "already_reviewed", "You have reviewed this product"


class NotBought(Forbidden):
    code, title = "not_bought", "Only who has bought it can review it"


class SignedAsStaff(Invalid):
    code, title = "signed_as_staff", "A review is not signed in the shop's name"


class CategoryCycle(Conflict):
    code, title = "category_cycle", "A category cannot stand below itself"


class CategoryLimit(Conflict):
    code, title = "category_limit", "The tree of categories cannot grow further"


class ProductStatus(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"


class ReviewStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


def check_signature(author: str) -> None:
    """Raises SignedAsStaff for a name that speaks for the shop, also l e t t e r by letter or in full-width ones."""
    words = words_of(author)
    spelt = "".join(word for word in words if len(word) == 1)
    if SHOPS_OWN & {*map(stem, words), *words, spelt}:
        message = "Sign with a name of your own: this one speaks for the shop"
        raise SignedAsStaff(errors=[{"path": "author", "message": message}])


class Sort(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE_ASC = "price_asc"
    PRICE_DESC = "price_desc"
    RATING = "rating"
    POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """`price` in minor units. One without a price of its own follows its product's."""

    sku: str
    name: str
    price: int
    own_price: bool = True


@dataclass(frozen=True, slots=True)
class Rating:
    """Of the approved reviews only. `total` is the sum of their stars."""

    count: int = 0
    total: int = 0

    @property
    def average(self) -> float:
        return round(self.total / self.count, 2) if self.count else 0.0

    def changed(self, count: int, stars: int) -> "Rating":
        return Rating(self.count + count, self.total + count * stars)


@dataclass(frozen=True, slots=True)
class Product:
    """`price` in minor units of `currency`; `sku` is None when it is sold in variants, each with its own.
    `max_per_order` is of each SKU, None what the shop allows of any; `verified_only` keeps it for verified accounts."""

    id: str
    slug: str
    name: str
    description: str
    category: str
    brand: str
    tags: tuple[str, ...]
    price: int
    currency: str
    images: tuple[Image, ...]
    variants: tuple[Variant, ...]
    sku: str | None
    created_at: datetime
    updated_at: datetime
    rating: Rating = Rating()
    popularity: int = 0
    status: ProductStatus = ProductStatus.ACTIVE
    version: int = 1
    old_slugs: tuple[str, ...] = ()
    max_per_order: int | None = None
    verified_only: bool = False

    def __post_init__(self) -> None:
        assert (self.sku is None) == bool(self.variants), "either one SKU of its own, or variants"

    @property
    def active(self) -> bool:
        return self.status is ProductStatus.ACTIVE

    @property
    def standing(self) -> int:
        return standing_of(self.popularity, self.rating)

    @property
    def sold(self) -> tuple[Variant, ...]:
        """Everything that can be put in a cart: its variants, or itself as the only one."""
        return self.variants or (Variant(str(self.sku), self.name, self.price),)

    @property
    def price_from(self) -> int:
        """The lowest price it can be had for: what lists show, filter and sort by."""
        return min(variant.price for variant in self.sold)

    @property
    def skus(self) -> tuple[str, ...]:
        return tuple(variant.sku for variant in self.sold)

    def renamed(self, slug: str) -> "Product":
        """Under a new slug; every one it ever had keeps leading to it."""
        old = tuple(each for each in (*self.old_slugs, self.slug) if each != slug)
        return replace(self, slug=slug, old_slugs=tuple(dict.fromkeys(old)))


@dataclass(frozen=True, slots=True)
class NewVariant:
    """As staff give it: a missing SKU is made, a missing price is the product's."""

    name: str
    sku: str | None = None
    price: int | None = None


@dataclass(frozen=True, slots=True)
class NewProduct:
    """`popularity`, in units sold, is known of goods that come from another shop."""

    name: str
    price: int
    category: str
    description: str = ""
    brand: str = ""
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    variants: tuple[NewVariant, ...] = ()
    sku: str | None = None
    slug: str | None = None
    popularity: int = 0
    max_per_order: int | None = None
    verified_only: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """`categories` are a category and everything below it; prices in minor units, both ends included."""

    categories: tuple[str, ...] | None = None
    brand: str | None = None
    tag: str | None = None
    min_price: int | None = None
    max_price: int | None = None

    def __post_init__(self) -> None:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise Invalid(errors=[{"path": "maxPrice", "message": "The highest price is below the lowest"}])


@dataclass(frozen=True, slots=True)
class Category:
    """`path` leads from the root to this one."""

    id: str
    name: str
    path: tuple[str, ...]

    @property
    def parent(self) -> str | None:
        return self.path[-2] if len(self.path) > 1 else None


@dataclass(slots=True)
class CategoryNode:
    category: Category
    children: "list[CategoryNode]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Review:
    id: str
    product_id: str
    user_id: str
    author: str
    stars: int
    text: str
    status: ReviewStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A completed query, or a product to go to."""

    text: str
    slug: str | None = None


def slugify(name: str) -> str:
    """The name as a part of a URL; never one of the API's own words."""
    plain = [word for word in words_of(name) if word.isascii()]
    slug = "-".join(plain)[: SLUG_LENGTH_MAX - SLUG_MARK_LENGTH].strip("-")
    return slug if slug and slug not in RESERVED_SLUGS else f"{slug}-product".strip("-")


def check_slug(slug: str) -> None:
    if slug in RESERVED_SLUGS:
        raise Invalid(errors=[{"path": "slug", "message": "This word is the API's own"}])


def check_skus(skus: Iterable[str | None], path: str) -> None:
    """Refuses what the API would take for one of its own words: the stock of such a SKU could never be reached."""
    reserved = sorted({sku for sku in skus if sku is not None} & RESERVED_SKUS)
    if reserved:
        raise Invalid(errors=[{"path": path, "message": f"{sku} is the API's own word"} for sku in reserved])


def follows_name(slug: str, name: str) -> bool:
    """Whether a slug was made from the name, perhaps with a mark that made it unique."""
    return re.fullmatch(re.escape(slugify(name)) + r"(-[0-9a-z]{4})?", slug) is not None


def standing_of(popularity: int, rating: Rating) -> int:
    """What a product is worth in a list that nobody asked an order of: how much it sells and how well it is liked."""
    stars = (rating.total + USUAL_STARS * USUAL_REVIEWS) / (rating.count + USUAL_REVIEWS)
    liked = round(POINTS_PER_STAR * (stars - USUAL_STARS))
    return round(POINTS_PER_DOUBLED_SALES * math.log2(1 + popularity)) + liked


def rank_of(name: str, standing: int) -> int:
    """What it is worth in a search, before its words are weighed: a short name says more with the same words."""
    return standing + round(POINTS_OF_BREVITY / (len(stems_of(name)) + 1))


def check_variants(variants: Sequence[Variant], sku: str | None) -> None:
    """Refuses a SKU of its own beside variants, one SKU twice, and the API's own words."""
    check_skus([sku], "sku")
    check_skus((variant.sku for variant in variants), "variants")
    if variants and sku is not None:
        raise Invalid(errors=[{"path": "sku", "message": "A product with variants has no SKU of its own"}])
    if len({variant.sku for variant in variants}) < len(variants):
        raise Invalid(errors=[{"path": "variants", "message": "Two variants have the same SKU"}])


def tree_of(categories: Sequence[Category]) -> list[CategoryNode]:
    """The roots, each with its children, by name."""
    nodes = {each.id: CategoryNode(each) for each in sorted(categories, key=lambda each: (each.name, each.id))}
    roots: list[CategoryNode] = []
    for node in nodes.values():
        parent = nodes.get(node.category.parent or "")
        (parent.children if parent else roots).append(node)
    return roots


def edited(product: Product, changes: dict[str, Any]) -> Product:
    """The product with some fields replaced. Its SKU gives way to variants, and variants to a SKU."""
    if changes.get("variants"):
        changes = {"sku": None, **changes}
    after = {**{"variants": product.variants, "sku": product.sku}, **changes}
    check_variants(after["variants"], after["sku"])
    if not after["variants"] and after["sku"] is None:
        raise Invalid(errors=[{"path": "variants", "message": "Without variants the product needs a sku"}])
    return repriced(replace(product, **changes))


def repriced(product: Product) -> Product:
    """Variants without a price of their own cost what the product does."""
    variants = tuple(each if each.own_price else replace(each, price=product.price) for each in product.variants)
    return replace(product, variants=variants)
