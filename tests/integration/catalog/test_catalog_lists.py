"""Product lists over HTTP: filters, sort orders, and pages that stay right while the catalogue changes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from catalogue import Client, call, catalogue, made, ok

from service.bootstrap import Shop
from service.catalog.models import NewProduct
from service.web.http import cursor

SORTS = ("relevance", "newest", "price_asc", "price_desc", "rating", "popular")


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop) as opened:
        yield opened


def goods(number: int) -> NewProduct:
    """Ties everywhere: five prices, three popularities, two brands, and every third one a gift."""
    return NewProduct(
        name=f"Thing {number}",
        price=100 * (number % 5),
        category=("mugs", "plates")[number % 2],
        brand=("Regency", "Suki")[number % 2],
        tags=("gift",) if number % 3 == 0 else (),
        popularity=number % 3,
    )


async def stocked(shop: Shop, count: int = 60) -> list[str]:
    return [product.id for product in await shop.catalog.create_all([goods(number) for number in range(count)])]


async def pages(client: Client, query: str) -> list[dict[str, Any]]:
    """The items of every page."""
    found: list[dict[str, Any]] = []
    after = ""
    for _ in range(200):
        page = await ok(client, "GET", f"?{query}{after}")
        found += page["items"]
        if page["nextCursor"] is None:
            return found
        after = f"&cursor={page['nextCursor']}"
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("sort", SORTS)
async def test_the_pages_of_a_list_hold_every_product_exactly_once(
    client: Client, shop: Shop, sort: str, limit: int
) -> None:
    ids = await stocked(shop)
    found = [each["id"] for each in await pages(client, f"sort={sort}&limit={limit}")]
    assert len(found) == len(ids)
    assert set(found) == set(ids)


@pytest.mark.parametrize("narrowed", ["", "category=mugs&", "brand=Suki&", "tag=gift&", "minPrice=100&maxPrice=300&"])
async def test_each_sort_order_is_that_order_under_each_filter(client: Client, shop: Shop, narrowed: str) -> None:
    ids = await stocked(shop, 30)
    await rate(shop, ids[4], 5)
    await rate(shop, ids[9], 3)
    found = {sort: await pages(client, f"{narrowed}sort={sort}&limit=4") for sort in SORTS}
    assert [p["price"] for p in found["price_asc"]] == sorted(p["price"] for p in found["price_asc"])
    assert [p["price"] for p in found["price_desc"]] == sorted((p["price"] for p in found["price_desc"]), reverse=True)
    assert [p["createdAt"] for p in found["newest"]] == sorted((p["createdAt"] for p in found["newest"]), reverse=True)
    averages = [p["rating"]["average"] for p in found["rating"]]
    assert averages == sorted(averages, reverse=True)
    sold = {product_id: number % 3 for number, product_id in enumerate(ids)}
    assert [sold[p["id"]] for p in found["popular"]] == sorted((sold[p["id"]] for p in found["popular"]), reverse=True)
    assert len({frozenset(p["id"] for p in page) for page in found.values()}) == 1


async def rate(shop: Shop, product_id: str, stars: int) -> None:
    from service.catalog.models import ReviewStatus

    review = await shop.reviews.submit(product_id, "u1", "A customer", stars, "")
    await shop.reviews.moderate(review.id, ReviewStatus.APPROVED)


async def test_filters_narrow_together(client: Client, shop: Shop) -> None:
    await stocked(shop)
    found = await pages(client, "category=mugs&brand=Regency&tag=gift&minPrice=100&maxPrice=300&limit=5")
    assert found
    for product in found:
        assert product["category"] == "mugs"
        assert "gift" in product["tags"]
        assert 100 <= product["price"] <= 300
    assert await pages(client, "category=mugs&brand=Suki") == []


async def test_products_made_and_archived_while_paging_neither_repeat_nor_hide_others(
    client: Client, shop: Shop
) -> None:
    ids = await stocked(shop)
    page = await ok(client, "GET", "?sort=price_asc&limit=10")
    seen = [each["id"] for each in page["items"]]
    archived = set()
    while page["nextCursor"]:
        await made(client, price=0)
        await made(client, price=100_000)
        victim = seen[-1]
        archived.add(victim)
        await ok(client, "DELETE", f"/{victim}")
        page = await ok(client, "GET", f"?sort=price_asc&limit=10&cursor={page['nextCursor']}")
        seen += [each["id"] for each in page["items"]]
    assert len(seen) == len(set(seen))
    assert set(ids) <= set(seen)
    assert archived


async def test_the_last_page_says_so_even_when_it_is_full(client: Client, shop: Shop) -> None:
    await stocked(shop, 20)
    page = await ok(client, "GET", "?limit=20")
    assert (len(page["items"]), page["nextCursor"]) == (20, None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "sort=cheapest",
        "minPrice=-1",
        "minPrice=1.5",
        "unknown=1",
        "cursor=",
        "cursor=x",
    ],
)
async def test_a_list_that_cannot_be_is_refused(client: Client, query: str) -> None:
    status, problem = await call(client, "GET", f"?{query}")
    assert (status, problem["code"]) == (422, "invalid")


FORGED = [
    None,
    [],
    ["price_asc"],
    ["price_asc", None],
    ["price_asc", [1]],
    ["price_asc", ["x", "y"]],
    ["price_asc", [1, 2]],
    ["price_asc", [2**80, "x"]],
    ["price_asc", [{"$gt": 0}, "x"]],
    ["price_asc", [1, {"$gt": ""}]],
    ["newest", ["2026-01-01T00:00:00Z", "x"]],
]


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_cursor_is_refused(client: Client, forged: Any) -> None:
    status, problem = await call(client, "GET", f"?sort=price_asc&cursor={cursor.encode(forged)}")
    assert (status, problem["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "forged",
    [*FORGED, {"asked": ["mug"]}, {"asked": ["mug"], "words": ["mug"], "edge": [5, 1, ""], "ranked": [0, 0, ""]}],
)
async def test_a_forged_search_cursor_is_refused(client: Client, forged: Any) -> None:
    for words in ("mug", '"mug"'):
        async with client.get("/api/products/search", params={"q": words, "cursor": cursor.encode(forged)}) as answer:
            assert answer.status == 422, await answer.text()


async def test_the_longest_search_has_a_cursor_that_is_accepted(client: Client) -> None:
    words = " ".join(f"wonderfully{number}" for number in range(14))[:200]
    for _ in range(3):
        await made(client, name=words)
    page = await ok(client, "GET", f"/search?q={words}&limit=1")
    assert len((await ok(client, "GET", f"/search?q={words}&limit=1&cursor={page['nextCursor']}"))["items"]) == 1


async def test_brands_are_listed_once_each_and_forgotten_when_nothing_is_left(client: Client, shop: Shop) -> None:
    await stocked(shop, 4)
    gone = await made(client, brand="Gone")
    await made(client, brand="")
    assert await ok(client, "GET", "/brands") == {"items": ["Gone", "Regency", "Suki"]}
    await ok(client, "DELETE", f"/{gone['id']}")
    await shop.catalog.recount()
    assert await ok(client, "GET", "/brands") == {"items": ["Regency", "Suki"]}
