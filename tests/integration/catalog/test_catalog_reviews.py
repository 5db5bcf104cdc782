"""Reviews: written by customers, published by staff, counted once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import shops
from catalogue import Client, call, catalogue, made, ok

from service.bootstrap import Shop
from service.catalog.models import SignedAsStaff, check_signature
from service.inventory.models import Line
from service.orders.repository import OrderRepository


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop) as opened:
        yield opened


async def write(client: Client, product: dict[str, Any], customer: str, stars: int, text: str = "") -> dict[str, Any]:
    path, body = f"/{product['slug']}/reviews", {"rating": stars, "text": text}
    review: dict[str, Any] = await ok(client, "POST", path, body, **{"X-Customer": customer})
    return review


async def decide(client: Client, review: dict[str, Any], status: str) -> None:
    await ok(client, "PATCH", f"/reviews/{review['id']}", {"status": status})


async def rating(client: Client, product: dict[str, Any]) -> tuple[float, int]:
    read = (await ok(client, "GET", f"/{product['id']}"))["rating"]
    return read["average"], read["count"]


async def test_a_review_counts_once_it_is_published(client: Client) -> None:
    product = await made(client)
    review = await write(client, product, "c1", 4, "Holds tea")
    assert review["status"] == "pending"
    assert await rating(client, product) == (0.0, 0)
    assert (await ok(client, "GET", f"/{product['id']}/reviews"))["items"] == []
    await decide(client, review, "approved")
    assert await rating(client, product) == (4.0, 1)
    (published,) = (await ok(client, "GET", f"/{product['id']}/reviews"))["items"]
    assert (published["text"], published["rating"]) == ("Holds tea", 4)
    assert "userId" not in published


async def test_a_decision_made_by_two_staff_at_once_counts_once(client: Client) -> None:
    product = await made(client)
    review = await write(client, product, "c1", 4)
    await asyncio.gather(*(decide(client, review, "approved") for _ in range(5)))
    assert await rating(client, product) == (4.0, 1)


async def test_reviews_published_at_once_all_count(client: Client) -> None:
    product = await made(client)
    reviews = [await write(client, product, f"c{stars}", stars) for stars in (1, 2, 3, 4, 5)]
    await asyncio.gather(*(decide(client, review, "approved") for review in reviews))
    assert await rating(client, product) == (3.0, 5)


async def test_a_review_that_is_taken_back_no_longer_counts(client: Client) -> None:
    product = await made(client)
    kept, withdrawn = await write(client, product, "c1", 5), await write(client, product, "c2", 1)
    for review in (kept, withdrawn):
        await decide(client, review, "approved")
    await decide(client, withdrawn, "rejected")
    assert await rating(client, product) == (5.0, 1)
    assert len((await ok(client, "GET", f"/{product['id']}/reviews"))["items"]) == 1


async def test_a_customer_reviews_a_product_once(client: Client) -> None:
    product = await made(client)
    body = {"rating": 5}
    answers = await asyncio.gather(
        *(call(client, "POST", f"/{product['id']}/reviews", body, **{"X-Customer": "c1"}) for _ in range(4))
    )
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
    assert {problem["code"] for status, problem in answers if status == 409} == {"already_reviewed"}


async def test_staff_see_what_waits_oldest_first_page_by_page(client: Client) -> None:
    product = await made(client)
    reviews = [await write(client, product, f"c{number}", 3) for number in range(5)]
    await decide(client, reviews[1], "rejected")
    seen, after = [], ""
    while True:
        page = await ok(client, "GET", f"/reviews?limit=2{after}")
        seen += [each["id"] for each in page["items"]]
        if page["nextCursor"] is None:
            break
        after = f"&cursor={page['nextCursor']}"
    assert seen == [reviews[number]["id"] for number in (0, 2, 3, 4)]


async def test_the_pages_of_published_reviews_are_newest_first_and_complete(client: Client) -> None:
    product = await made(client)
    reviews = [await write(client, product, f"c{number}", 3) for number in range(5)]
    for review in reviews:
        await decide(client, review, "approved")
    first = await ok(client, "GET", f"/{product['id']}/reviews?limit=3")
    second = await ok(client, "GET", f"/{product['id']}/reviews?limit=3&cursor={first['nextCursor']}")
    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in reversed(reviews)]
    assert second["nextCursor"] is None


async def test_what_is_not_on_sale_cannot_be_reviewed(client: Client) -> None:
    product = await made(client)
    await ok(client, "DELETE", f"/{product['id']}")
    status, problem = await call(client, "POST", f"/{product['id']}/reviews", {"rating": 5}, **{"X-Customer": "c1"})
    assert (status, problem["code"]) == (404, "product_not_found")


@pytest.mark.parametrize("wrong", [{"rating": 0}, {"rating": 6}, {"rating": 4.5}, {}, {"rating": 5, "text": 1}])
async def test_a_review_that_cannot_be_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    product = await made(client)
    status, problem = await call(client, "POST", f"/{product['id']}/reviews", wrong, **{"X-Customer": "c1"})
    assert (status, problem["code"]) == (422, "invalid")


async def test_a_review_nobody_wrote_is_not_found(client: Client) -> None:
    status, problem = await call(client, "PATCH", "/reviews/nothing", {"status": "approved"})
    assert (status, problem["code"]) == (404, "review_not_found")


async def test_a_customer_sees_their_own_review_while_it_waits(client: Client) -> None:
    product = await made(client)
    review = await write(client, product, "c1", 5)
    path = f"/{product['id']}/reviews/mine"
    assert await ok(client, "GET", path, **{"X-Customer": "c1"}) == review
    status, problem = await call(client, "GET", path, **{"X-Customer": "c2"})
    assert (status, problem["code"]) == (404, "review_not_found")


async def test_who_has_not_bought_it_does_not_review_it(client: Client) -> None:
    product = await made(client)
    status, answer = await call(
        client, "POST", f"/{product['slug']}/reviews", {"rating": 1, "text": "Bad"}, **{"X-Customer": "nobody"}
    )
    assert (status, answer["code"]) == (403, "not_bought")


async def test_only_what_is_paid_for_counts_as_bought(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    await shops.stock(shop, A=5, B=5)
    buyers = OrderRepository(shop.stores.database, shop.stores.runner, shop.config)
    order = (await shop.orders.checkout("u1", [Line("A", 1)])).order
    assert not await buyers.has_bought("u1", "p-A")
    await shops.pay(shop, order)
    assert await buyers.has_bought("u1", "p-A")
    assert not await buyers.has_bought("u1", "p-B")
    assert not await buyers.has_bought("u2", "p-A")


@pytest.mark.parametrize(
    "author",
    [
        "Holdfast Support",
        "holdfast",
        "The STAFF",
        "Ａｄｍｉｎ",
        "S u p p o r t",
        "Support-Team",
        "Jo (official)",
        "Ádmin",
    ],
)
async def test_a_review_is_not_signed_in_the_shops_name(client: Client, author: str) -> None:
    product = await made(client)
    path, body = f"/{product['slug']}/reviews", {"rating": 5, "text": "Buy more", "author": author}
    status, answer = await call(client, "POST", path, body, **{"X-Customer": "c1"})
    assert (status, answer["code"]) == (422, "signed_as_staff")


@pytest.mark.parametrize("author", ["A customer", "Jo Stafford", "Adminia Shopland", "茶", "Ada L."])
def test_names_that_only_look_a_little_like_it_are_people(author: str) -> None:
    try:
        check_signature(author)
    except SignedAsStaff as refusal:
        raise AssertionError(author) from refusal
