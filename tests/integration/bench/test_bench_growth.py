"""The growth benchmark on a real mongod, small; and the past it makes up, held to what the service writes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import shops

from benchmarks.growth.command import judge
from benchmarks.growth.data import Size, fill, sku
from benchmarks.growth.run import QUICK, run
from service.bootstrap import INDEXES, Shop
from service.catalog.offers import Offer, Offers
from service.inventory.models import Line
from service.stack.embedded import EmbeddedStores

SMALL = replace(QUICK, large=2_000, small=200, buyers=8)
TINY = Size("tiny", skus=20, orders=200)


def nothing(step: str) -> None:
    pass


def test_a_checkout_costs_mongodb_the_same_in_a_small_and_in_a_large_shop(stores: EmbeddedStores):
    result = run(stores, SMALL, nothing)
    assert judge(result, timed=False).broken == ()
    small, *large = result["databases"]
    assert [(shop["skus"], shop["orders"]) for shop in large] == [(2_000, 200), (200, 2_000)]
    assert all(shop["perCheckout"] == small["perCheckout"] for shop in large)
    assert 0 < small["perCheckout"]["documentsExamined"] <= small["perCheckout"]["keysExamined"]
    assert all(shop[kind]["checkouts"] > 0 for shop in (small, *large) for kind in ("lone", "spread", "hot"))


def test_a_checkout_that_looks_at_every_sku_is_seen(stores: EmbeddedStores, monkeypatch: pytest.MonkeyPatch):
    as_it_is = Offers._read_together

    async def after_a_scan(self: Offers, batch: Any) -> Any:
        await self._offers.find({"name": "no such thing"}).to_list(None)
        return await as_it_is(self, batch)

    monkeypatch.setattr(Offers, "_read_together", after_a_scan)
    result = run(stores, replace(SMALL, rounds=1), nothing)
    broken = judge(result, timed=False).broken
    assert len(broken) == 1
    assert "documentsExamined of a checkout: 2003 in the shop many_skus" in broken[0]


@pytest.fixture
async def past(shop: Shop) -> Shop:
    await fill(shop.stores.database, TINY, 1, nothing)
    return shop


async def test_the_books_of_a_made_up_past_are_right_and_go_on(past: Shop):
    assert await shops.violations(past) == {}
    await past.orders.checkout("u1", [Line(sku(3), 2)])
    assert await shops.violations(past) == {}


async def test_a_made_up_history_ends_in_the_stock_as_it_is(past: Shop):
    for number in range(TINY.skus):
        now = await past.inventory.get(sku(number))
        [last] = await past.inventory.history(sku(number), None, 1)
        assert (last.seq, last.on_hand, last.reserved) == (now.seq, now.on_hand, now.reserved)


async def test_a_made_up_past_has_every_declared_index(past: Shop):
    for index in INDEXES:
        assert index.name in await past.stores.database[index.collection].index_information()


async def test_made_up_documents_have_the_shape_of_those_the_service_writes(past: Shop):
    await past.inventory.open({"REAL": "p1"})
    await past.offers.put([Offer("REAL", "p1", "A real thing", 250, "GBP", active=True)])
    await past.inventory.receive([Line("REAL", 100)], "staff")
    await shops.pay(past, await shops.buy(past, REAL=1))
    for collection, of_real in {
        "inventory": {"_id": "REAL"},
        "offers": {"_id": "REAL"},
        "stock_history": {"sku": "REAL"},
        "orders": {"items.sku": "REAL"},
        "reservations": {"sku": "REAL"},
    }.items():
        found = past.stores.database[collection]
        real = [shape(document) async for document in found.find(of_real)]
        made_up = [shape(document) async for document in found.find({"$nor": [of_real]})]
        assert {str(each) for each in made_up} == {str(each) for each in real}, collection


def shape(value: Any) -> Any:
    """Names and types, all the way down; what a list holds once for each type of entry."""
    if isinstance(value, Mapping):
        return {name: shape(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return sorted({str(shape(each)) for each in value})
    return type(value).__name__
