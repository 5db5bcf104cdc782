"""The catalogue's indexes, each with the query it serves. All of the product lists' are partial: what is archived is
in none of them."""

from datetime import UTC, datetime
from typing import Any

from service.catalog.repository import ACTIVE
from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SORT_FIELDS = (
    ("standing", -1, "the best first"),
    ("createdAt", -1, "newest first"),
    ("price", 1, "by price, either way"),
    ("rating.average", -1, "best rated first"),
    ("popularity", -1, "best selling first"),
)
NARROWED_BY: tuple[tuple[str, Any, str], ...] = (
    ("category", "home", "a category's products"),
    ("brand", "Regency", "a brand's products"),
    ("tags", "gift", "products with a tag"),
)


def _list(narrowed: tuple[str, Any, str] | None, field: str, direction: int, order: str) -> Index:
    field_, value, what = narrowed or ("", None, "all products")
    first = ((field_, 1),) if narrowed else ()
    sort = ((field, direction), ("_id", direction))
    condition = {field_: value} if narrowed else {}
    return Index(
        "products",
        (*first, *sort),
        serves=f"{what}, {order}",
        probe=Probe({**ACTIVE, **condition}, sort=sort, limit=25),
        partial=ACTIVE,
        lists=("tags",),
    )


LISTS = tuple(
    _list(narrowed, field, direction, order)
    for narrowed in (None, *NARROWED_BY)
    for field, direction, order in SORT_FIELDS
)

WALK = (("search.rank", -1), ("_id", -1))

INDEXES = (
    *LISTS,
    Index(
        "products",
        (("search.keys", 1), *WALK),
        serves="search: the best products that have a word, or two words together, in their name",
        probe=Probe({**ACTIVE, "search.keys": "heart"}, sort=WALK, limit=100),
        partial=ACTIVE,
        lists=("search.keys",),
    ),
    Index(
        "products",
        (("name", "text"), ("description", "text")),
        serves='search with "quoted phrases" and -excluded words, by weighted text score',
        probe=Probe({**ACTIVE, "$text": {"$search": '"red heart"'}}),
        partial=ACTIVE,
        weights={"name": 10, "description": 1},
        examined_per_returned_max=1_000_000,
        why_not_one="each document with one of the words is read for the phrase; plain words go by the term index",
    ),
    Index(
        "products",
        (("slug", 1),),
        serves="a product by its slug; no two have one slug",
        probe=Probe({"slug": "white-hanging-heart-t-light-holder"}, limit=1),
        unique=True,
    ),
    Index(
        "products",
        (("oldSlugs", 1),),
        serves="a product by a slug it once had",
        probe=Probe({"oldSlugs": "a-former-slug"}, limit=1),
        sparse=True,
        lists=("oldSlugs",),
    ),
    Index(
        "categories",
        (("path", 1),),
        serves="a category and everything below it",
        probe=Probe({"path": "home"}),
    ),
    Index(
        "reviews",
        (("productId", 1), ("createdAt", -1), ("_id", -1)),
        serves="a product's published reviews, newest first",
        probe=Probe({"productId": "p1", "status": "approved"}, sort=(("createdAt", -1), ("_id", -1)), limit=25),
        partial={"status": "approved"},
    ),
    Index(
        "reviews",
        (("createdAt", 1), ("_id", 1)),
        serves="reviews waiting for moderation, oldest first",
        probe=Probe({"status": "pending"}, sort=(("createdAt", 1), ("_id", 1)), limit=25),
        partial={"status": "pending"},
    ),
    Index(
        "reviews",
        (("userId", 1), ("productId", 1)),
        serves="a customer's own review of a product, of which there is one at most; all reviews of a customer",
        probe=Probe({"productId": "p1", "userId": "u1"}, limit=1),
        unique=True,
    ),
    Index(
        "search_terms",
        (("prefixes", 1), ("count", -1)),
        serves="suggestions: the most common words with a beginning",
        probe=Probe({"prefixes": "he"}, sort=(("count", -1),), limit=8),
        lists=("prefixes",),
    ),
    Index(
        "search_terms",
        (("deletions", 1), ("count", -1)),
        serves="typos: the most common words one edit away",
        probe=Probe({"deletions": {"$in": ["hert", "hrt", "her", "het", "ert"]}}, sort=(("count", -1),), limit=50),
        lists=("deletions",),
        examined_per_returned_max=3,
        why_not_one="a word can share several of its shortened forms with the mistyped one",
    ),
)
