"""The catalogue on the wire. Money is an integer in minor units beside its currency."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.catalog.models import (
    SLUG_LENGTH_MAX,
    SLUG_PATTERN,
    CategoryNode,
    Filters,
    Image,
    NewProduct,
    NewVariant,
    Product,
    ProductStatus,
    Review,
    Suggestion,
)
from service.inventory.models import Stock
from service.inventory.schemas import Sku
from service.web.http.operation import HIDDEN_SENTENCE, SHOWN, SHOWN_NOT_BLANK, SPACES, Wire

PRICE_MAX = 1_000_000_000
VARIANTS_MAX = 100

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
NOT_BLANK = rf"[^{SPACES}]"
URL_PATTERN = rf"^(https?://|/)[^{SPACES}\"'<>]*(?![\s\S])"
READABLE = {"sentence": HIDDEN_SENTENCE}
Name = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=200, pattern=SHOWN_NOT_BLANK, examples=["Red enamel mug"], extra=READABLE),
]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=NOT_BLANK, examples=["mugs"])]
Tag = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=SHOWN_NOT_BLANK, examples=["mugs"], extra=READABLE)
]
Brand = Annotated[str, msgspec.Meta(max_length=64, pattern=SHOWN, examples=["Regency"], extra=READABLE)]
Author = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=SHOWN, extra=READABLE)]
Description = Annotated[str, msgspec.Meta(max_length=10_000)]
Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX, description="In minor units", examples=[1299])]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?![\s\S])", examples=["GBP"])]
Slug = Annotated[str, msgspec.Meta(pattern=SLUG_PATTERN, max_length=SLUG_LENGTH_MAX, examples=["red-enamel-mug"])]
MaxPerOrder = Annotated[
    int, msgspec.Meta(ge=1, le=1_000_000, description="Units of each of its SKUs in one order", examples=[2])
]
Tags = Annotated[list[Tag], msgspec.Meta(max_length=20)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000, pattern=URL_PATTERN)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
Words = Annotated[str, msgspec.Meta(max_length=200, examples=["red mug"])]
Stars = Annotated[int, msgspec.Meta(ge=1, le=5)]
SortName = Literal["relevance", "newest", "price_asc", "price_desc", "rating", "popular"]


class ProductsQuery(Wire):
    """`category` takes in everything below it; prices are in minor units, both ends included."""

    category: Label | None = None
    brand: Label | None = None
    tag: Label | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    sort: SortName = "relevance"
    limit: Limit = 24
    cursor: Cursor | None = None

    def filters(self) -> Filters:
        return Filters(None, self.brand, self.tag, self.min_price, self.max_price)


class SearchQuery(Wire):
    """Words in any order and number; "quoted phrases" and -excluded words are understood."""

    q: Words = ""
    limit: Limit = 24
    cursor: Cursor | None = None


class SuggestQuery(Wire):
    q: Words = ""


class PageQuery(Wire):
    limit: Limit = 24
    cursor: Cursor | None = None


class ImageBody(Wire):
    url: Url
    alt: Annotated[str, msgspec.Meta(max_length=200)] = ""


Images = Annotated[list[Url | ImageBody], msgspec.Meta(max_length=20)]


class VariantBody(Wire):
    """A missing SKU is made, a missing price is the product's."""

    name: Name
    sku: Sku | None = None
    price: Price | None = None


Variants = Annotated[list[VariantBody], msgspec.Meta(max_length=VARIANTS_MAX)]


class NewProductBody(Wire):
    """With `variants` it has no `sku` of its own. A category that is not there yet is made."""

    name: Name
    price: Price
    category: Label
    description: Description = ""
    brand: Brand = ""
    tags: Tags = msgspec.field(default_factory=list)
    currency: Currency | None = None
    images: Images = msgspec.field(default_factory=list)
    variants: Variants = msgspec.field(default_factory=list)
    sku: Sku | None = None
    slug: Slug | None = None
    max_per_order: MaxPerOrder | None = None
    verified_only: bool = False

    def product(self) -> NewProduct:
        return NewProduct(
            name=self.name,
            price=self.price,
            category=self.category,
            description=self.description,
            brand=self.brand,
            tags=tuple(self.tags),
            images=_images(self.images),
            variants=_variants(self.variants),
            sku=self.sku,
            slug=self.slug,
            max_per_order=self.max_per_order,
            verified_only=self.verified_only,
        )


class EditProductBody(Wire):
    """What is left out stays. `version` makes it fail if someone else was faster; `status: active` brings an archived
    product back; `variants` are replaced as a whole."""

    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    category: Label | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    brand: Brand | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    images: Images | UnsetType = UNSET
    variants: Variants | UnsetType = UNSET
    sku: Sku | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    max_per_order: MaxPerOrder | UnsetType | None = UNSET
    verified_only: bool | UnsetType = UNSET
    status: Literal["active", "archived"] | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        given = {field: getattr(self, field) for field in EDITABLE}
        return {
            field: SHAPED[field](value) if field in SHAPED else value
            for field, value in given.items()
            if value is not UNSET
        }


EDITABLE = tuple(field for field in EditProductBody.__struct_fields__ if field not in {"version", "currency"})


class ImageView(Wire):
    url: str
    alt: str


class RatingView(Wire):
    """Of published reviews; 0 while there are none."""

    average: float
    count: int


class AvailabilityView(Wire):
    in_stock: bool
    available: int


class VariantView(Wire):
    sku: str
    name: str
    price: int
    own_price: bool
    availability: AvailabilityView


class ProductView(Wire):
    """`sku` is null when it is sold in `variants`; `availability` is of all of them together. `priceFrom`
    is the lowest price it can be had for, by which lists are filtered and sorted; variants without `ownPrice` follow
    `price`."""

    id: str
    slug: str
    name: str
    description: str
    category: str
    brand: str
    tags: list[str]
    price: int
    price_from: int
    currency: str
    images: list[ImageView]
    rating: RatingView
    variants: list[VariantView]
    sku: str | None
    availability: AvailabilityView
    status: Literal["active", "archived"]
    version: int
    max_per_order: int | None
    verified_only: bool
    created_at: datetime
    updated_at: datetime


class ProductsReply(Wire):
    items: list[ProductView]
    next_cursor: str | None


class SearchReply(Wire):
    """`correctedQuery` is what was searched for when a word had to be taken for a typo."""

    items: list[ProductView]
    next_cursor: str | None
    corrected_query: str | None


class SuggestionView(Wire):
    """A query to search for, or, with a slug, a product to go to."""

    kind: Literal["query", "product"]
    text: str
    slug: str | None


class SuggestReply(Wire):
    items: list[SuggestionView]


class CategoryView(Wire):
    """`path` leads from the root to this one."""

    id: str
    name: str
    parent: str | None
    path: list[str]
    children: "list[CategoryView]"


class CategoriesReply(Wire):
    """The roots, each with its children."""

    items: list[CategoryView]


class BrandsReply(Wire):
    items: list[str]


class CategoryBody(Wire):
    name: Name
    parent: Label | None = None


class ReviewBody(Wire):
    rating: Stars
    text: Annotated[str, msgspec.Meta(max_length=5_000)] = ""
    author: Author = "A customer"


class ModerationBody(Wire):
    status: Literal["approved", "rejected"]


class ReviewView(Wire):
    id: str
    product_id: str
    author: str
    rating: int
    text: str
    status: Literal["pending", "approved", "rejected"]
    created_at: datetime


class ReviewsReply(Wire):
    items: list[ReviewView]
    next_cursor: str | None


def product_view(product: Product, stock: Mapping[str, Stock]) -> ProductView:
    levels = {sku: max(0, stock[sku].sellable) if sku in stock else 0 for sku in product.skus}
    return ProductView(
        id=product.id,
        slug=product.slug,
        name=product.name,
        description=product.description,
        category=product.category,
        brand=product.brand,
        tags=list(product.tags),
        price=product.price,
        price_from=product.price_from,
        currency=product.currency,
        images=[ImageView(url=image.url, alt=image.alt) for image in product.images],
        rating=RatingView(average=product.rating.average, count=product.rating.count),
        variants=[
            VariantView(
                sku=v.sku, name=v.name, price=v.price, own_price=v.own_price, availability=_availability(levels[v.sku])
            )
            for v in product.variants
        ],
        sku=product.sku,
        availability=_availability(sum(levels.values())),
        status=product.status.value,
        version=product.version,
        max_per_order=product.max_per_order,
        verified_only=product.verified_only,
        created_at=product.created_at,
        updated_at=product.updated_at,
    )


def suggestion_view(suggestion: Suggestion) -> SuggestionView:
    kind: Literal["query", "product"] = "query" if suggestion.slug is None else "product"
    return SuggestionView(kind=kind, text=suggestion.text, slug=suggestion.slug)


def category_view(node: CategoryNode) -> CategoryView:
    category = node.category
    return CategoryView(
        id=category.id,
        name=category.name,
        parent=category.parent,
        path=list(category.path),
        children=[category_view(child) for child in node.children],
    )


def review_view(review: Review) -> ReviewView:
    return ReviewView(
        id=review.id,
        product_id=review.product_id,
        author=review.author,
        rating=review.stars,
        text=review.text,
        status=review.status.value,
        created_at=review.created_at,
    )


def _availability(available: int) -> AvailabilityView:
    return AvailabilityView(in_stock=available > 0, available=available)


def _images(given: list[str | ImageBody]) -> tuple[Image, ...]:
    return tuple(Image(each) if isinstance(each, str) else Image(each.url, each.alt) for each in given)


def _variants(given: list[VariantBody]) -> tuple[NewVariant, ...]:
    return tuple(NewVariant(each.name, each.sku, each.price) for each in given)


def _tags(given: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given))


SHAPED: dict[str, Callable[[Any], Any]] = {
    "tags": _tags,
    "images": _images,
    "variants": _variants,
    "status": ProductStatus,
}
