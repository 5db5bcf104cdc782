"""Suggestions while typing, and the vocabulary behind them."""

from collections.abc import AsyncIterator

import pytest
from catalogue import Client, catalogue, ok

from service.bootstrap import Shop
from service.catalog.models import NewProduct


def goods(*names: str) -> list[NewProduct]:
    return [NewProduct(name, 500, "home") for name in names]


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop, caller=None) as opened:
        yield opened


async def queries(shop: Shop, typed: str) -> list[str]:
    return [each.text for each in await shop.suggestions.complete(typed) if each.slug is None]


async def test_a_beginning_is_completed_by_the_most_common_words(shop: Shop) -> None:
    await shop.catalog.create_all(goods("Heart mug", "Heart box", "Herb pot", "Red hen"))
    await shop.catalog.recount()
    assert (await queries(shop, "he"))[0] == "heart"
    assert set(await queries(shop, "he")) == {"heart", "herb", "hen"}


async def test_the_next_word_is_one_that_stands_beside_the_first(shop: Shop) -> None:
    await shop.catalog.create_all(goods("Red heart", "Red heart box", "Blue herb pot", "Red hen"))
    assert await queries(shop, "red he") == ["red heart", "red hen"]


async def test_suggested_products_are_those_the_words_lead_to(client: Client, shop: Shop) -> None:
    await shop.catalog.create_all(goods("Heart mug", "Blue vase"))
    found = await ok(client, "GET", "/suggest?q=hea")
    assert found["items"] == [
        {"kind": "query", "text": "heart", "slug": None},
        {"kind": "product", "text": "Heart mug", "slug": "heart-mug"},
    ]


@pytest.mark.parametrize("typed", ["hearts", "HEART", "heart"])
async def test_a_word_typed_to_its_end_is_still_completed(shop: Shop, typed: str) -> None:
    await shop.catalog.create_all(goods("Heart mug"))
    assert await queries(shop, typed) == ["heart"]


async def test_a_word_is_suggested_as_it_was_written(shop: Shop) -> None:
    await shop.catalog.create_all(goods("Christmas tree"))
    await shop.catalog.recount()
    assert await queries(shop, "chris") == ["christmas"]
    assert await queries(shop, "christmas") == ["christmas"]


@pytest.mark.parametrize("typed", ["", " ", "!", "xyz", "of the x", "9"])
async def test_what_nothing_begins_with_is_completed_by_nothing(client: Client, shop: Shop, typed: str) -> None:
    await shop.catalog.create_all(goods("Set of 3 hearts"))
    async with client.get("/api/products/suggest", params={"q": typed}) as answer:
        assert (answer.status, await answer.json()) == (200, {"items": []})


async def test_words_of_archived_products_are_forgotten_at_the_next_count(shop: Shop) -> None:
    gone, _ = await shop.catalog.create_all(goods("Heart mug", "Hen"))
    await shop.catalog.archive(gone.id)
    assert await shop.catalog.recount() == 2  # hen, home
    assert await queries(shop, "he") == ["hen"]


async def test_counting_again_changes_nothing(shop: Shop) -> None:
    await shop.catalog.create_all(goods("Heart mug", "Hearts and hens"))
    await shop.catalog.recount()
    words = shop.stores.database["search_terms"]
    before = await words.find().sort("_id", 1).to_list(None)
    await shop.catalog.recount()
    assert await words.find().sort("_id", 1).to_list(None) == before
    assert {each["_id"]: each["count"] for each in before} == {"heart": 2, "mug": 1, "hen": 1, "home": 2}


async def test_a_vocabulary_that_was_lost_is_made_again_from_the_products(shop: Shop) -> None:
    await shop.catalog.create_all(goods("Heart mug"))
    await shop.stores.database["search_terms"].delete_many({})
    assert [product.name for product in (await shop.search.find("mug heart", None, 24)).items] == ["Heart mug"]
    await shop.catalog.recount()
    assert await queries(shop, "he") == ["heart"]
