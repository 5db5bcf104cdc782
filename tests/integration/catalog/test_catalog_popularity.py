"""What sells and is liked comes first: from a paid order to the order of lists and searches."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import shops

from service import bootstrap
from service.bootstrap import Background, Shop
from service.catalog.models import Filters, NewProduct, Product, ReviewStatus, Sort
from service.inventory.models import Line


@pytest.fixture
async def background(shop: Shop) -> AsyncIterator[Background]:
    made = bootstrap.background(shop)
    yield made
    await made.relay.stop()


async def two_mugs(shop: Shop) -> tuple[Product, Product]:
    first, second = await shop.catalog.create_all(
        [NewProduct("Red mug", 500, "mugs"), NewProduct("Red cup", 500, "mugs")]
    )
    await shop.inventory.receive([Line(sku, 100) for product in (first, second) for sku in product.skus], "staff")
    return first, second


async def listed(shop: Shop, sort: Sort) -> list[str]:
    return [each.name for each in (await shop.catalog.listed(None, Filters(), sort, None, 24)).items]


async def test_a_paid_order_makes_its_products_popular(shop: Shop, background: Background) -> None:
    mug, _ = await two_mugs(shop)
    order = (await shop.orders.checkout("u1", [Line(str(mug.sku), 7)])).order
    await background.relay.relay()
    assert (await shop.catalog.get(mug.id)).popularity == 0
    await shops.pay(shop, order)
    await background.relay.relay()
    assert (await background.jobs.run_now("sales-count"))["result"] == {"products": 1}
    assert (await shop.catalog.get(mug.id)).popularity == 7
    for sort in (Sort.POPULAR, Sort.RELEVANCE):
        assert await listed(shop, sort) == ["Red mug", "Red cup"]
    assert [each.name for each in (await shop.search.find("red", None, 24)).items] == ["Red mug", "Red cup"]


async def test_a_facts_of_other_kinds_count_nothing(shop: Shop, background: Background) -> None:
    mug, _ = await two_mugs(shop)
    order = (await shop.orders.checkout("u1", [Line(str(mug.sku), 7)])).order
    await shop.orders.cancel(order, "u1")
    await background.relay.relay()
    assert (await shop.catalog.get(mug.id)).popularity == 0


async def test_sales_of_a_product_that_is_gone_are_no_error(shop: Shop) -> None:
    mug, _ = await two_mugs(shop)
    await shop.catalog.record_sales({"nothing": 3, mug.id: 2})
    await shop.catalog.count_sales()
    assert (await shop.catalog.get(mug.id)).popularity == 2


async def test_what_is_sold_while_sales_are_counted_is_counted_next_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug, cup = await two_mugs(shop)
    await shop.catalog.record_sales({mug.id: 2})
    repository: Any = shop.catalog._repository
    add = repository.add_popularity

    async def add_while_more_is_sold(sold: Any, units: Any) -> None:
        monkeypatch.undo()
        await shop.catalog.record_sales({mug.id: 5, cup.id: 1})
        await add(sold, units)

    monkeypatch.setattr(repository, "add_popularity", add_while_more_is_sold)
    await shop.catalog.count_sales()
    await shop.catalog.count_sales()
    assert [(await shop.catalog.get(each.id)).popularity for each in (mug, cup)] == [7, 1]
    assert await shop.catalog.count_sales() == 0


async def test_a_change_by_staff_keeps_what_buyers_moved(shop: Shop) -> None:
    mug, _ = await two_mugs(shop)
    await shop.catalog.record_sales({mug.id: 31})
    await shop.catalog.count_sales()
    changed = await shop.catalog.edit(mug.id, {"price": 1})
    kept = await shop.catalog.get(mug.id)
    assert (changed.popularity, kept.popularity, kept.price) == (31, 31, 1)


async def test_a_well_liked_product_is_listed_first(shop: Shop) -> None:
    _, cup = await two_mugs(shop)
    review = await shop.reviews.submit(cup.id, "u1", "A customer", 5, "")
    await shop.reviews.moderate(review.id, ReviewStatus.APPROVED)
    assert await listed(shop, Sort.RELEVANCE) == ["Red cup", "Red mug"]


async def test_counting_the_words_is_a_job_like_any_other(shop: Shop, background: Background) -> None:
    await two_mugs(shop)
    assert (await background.jobs.run_now("catalogue-recount"))["result"] == {"words": 3}  # red, mug, cup
