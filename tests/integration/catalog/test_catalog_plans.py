"""Every query of the catalogue, on a few thousand products, is answered by an index and by reading little."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import shops
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient
from recorded_commands import Plan, Recorder, explain

from service import bootstrap
from service.bootstrap import Shop, Stores
from service.catalog.indexes import INDEXES
from service.catalog.models import Filters, NewProduct, Product, ReviewStatus, Sort
from service.catalog.repository import CatalogRepository
from service.config import Config
from service.infra.mongo.index_proof import prove
from service.infra.mongo.indexes import create_all
from service.infra.redis import client as redis

COLOURS = ["red", "blue", "green", "pink", "white", "black", "ivory", "cream", "silver", "gold"]
THEMES = ["heart", "retrospot", "vintage", "spaceboy", "polkadot", "woodland", "skull", "daisy"]
THINGS = ["mug", "bowl", "bag", "box", "tin", "plate", "candle", "card", "clock", "frame"]
PRODUCTS = 3_000
CATALOGUE = {index.collection for index in INDEXES}


@pytest.fixture
async def recorder(config: Config) -> Recorder:
    return Recorder()


@pytest.fixture
async def watched(config: Config, recorder: Recorder, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    """A shop with thousands of products, whose commands are recorded from then on."""
    client: Any = AsyncIOMotorClient(config.mongodb_uri, tz_aware=True, event_listeners=[recorder])
    stores = Stores(client, client[config.database], redis.connect(config))
    shop = bootstrap.build(config, stores, clock=clock)
    await create_all(stores.database, bootstrap.INDEXES)
    await fill(shop)
    recorder.commands.clear()
    yield shop
    await shop.drain()
    client.close()
    await stores.redis.aclose()


async def fill(shop: Shop) -> None:
    """Written past the use cases, in bulk; every shape of them runs afterwards."""
    template = await shop.catalog.create(NewProduct("Template", 500, "home"))
    await shop.catalog.archive(template.id)
    chance = random.Random(1)
    products = [product(template, number, chance) for number in range(PRODUCTS)]
    await CatalogRepository(shop.stores.database).insert(products)
    for category, parent in (("home", None), ("kitchen", "home"), ("garden", None)):
        await shop.catalog.put_category(category, category.title(), parent)
    for number in range(60):
        review = await shop.reviews.submit(products[1].id, f"u{number}", "A customer", 4, "")
        if number % 2:
            await shop.reviews.moderate(review.id, ReviewStatus.APPROVED)
    await shop.catalog.recount()


def product(template: Product, number: int, chance: random.Random) -> Product:
    """Some words are everywhere, some are rare; one product in ten is archived."""
    words = [THEMES[int(len(THEMES) * chance.random() ** 2)], chance.choice(THINGS)]
    words += [chance.choice(COLOURS)] * (chance.random() < 0.5)
    return replace(
        template,
        id=f"{number:028x}",
        slug=f"thing-{number}",
        name=" ".join(words),
        description=f"goes well with a {chance.choice(COLOURS)} {chance.choice(THINGS)}",
        category=("home", "kitchen", "garden")[number % 3],
        brand=("Regency", "Suki", "Pantry", "")[number % 4],
        tags=("gift",) if number % 5 == 0 else ("plain", "new"),
        price=chance.randrange(50, 5_000),
        sku=f"SKU-{number}",
        created_at=template.created_at + timedelta(seconds=number),
        popularity=int(chance.paretovariate(1)) - 1,
        status=template.status if number % 10 == 0 else type(template.status).ACTIVE,
        old_slugs=(f"was-{number}",) if number % 7 == 0 else (),
    )


async def use_everything(shop: Shop) -> None:
    await browse(shop)
    await look_for(shop)
    await change(shop)


async def browse(shop: Shop) -> None:
    narrowings = [(None, Filters()), ("home", Filters()), ("kitchen", Filters()), (None, Filters(brand="Suki"))]
    narrowings += [(None, Filters(tag="gift")), ("home", Filters(min_price=500, max_price=2_000))]
    for category, filters in narrowings:
        for sort in Sort:
            page = await shop.catalog.listed(category, filters, sort, None, 24)
            assert page.next is not None
            await shop.catalog.listed(category, filters, sort, page.next, 24)
    for name in (f"{5:028x}", "thing-7", "was-7"):
        await shop.catalog.get(name)
    await shop.catalog.brands()
    await shop.catalog.categories()
    reviews = await shop.reviews.published("thing-1", None, 10)
    await shop.reviews.published("thing-1", reviews.next, 10)
    waiting = await shop.reviews.waiting(None, 10)
    await shop.reviews.waiting(waiting.next, 10)


async def look_for(shop: Shop) -> None:
    for query in ("heart", "red heart", "red heart mug", "goes", "skull goes", "hart mug", "daisy red blue green"):
        position = None
        for _ in range(8):
            page = await shop.search.find(query, position, 24)
            position = page.next
            if position is None:
                break
    await shop.search.find('"red heart" -mug', None, 24)
    for typed in ("h", "hea", "red h", "hearts"):
        await shop.suggestions.complete(typed)


async def change(shop: Shop) -> None:
    made = await shop.catalog.create(NewProduct("Red heart clock", 500, "kitchen"))
    await shop.catalog.edit(made.id, {"name": "Blue heart clock", "price": 1})
    await shop.catalog.record_sales({made.id: 3})
    await shop.catalog.count_sales()
    review = await shop.reviews.submit(made.id, "u1", "A customer", 5, "")
    await shop.reviews.own(made.id, "u1")
    await shop.reviews.moderate(review.id, ReviewStatus.APPROVED)
    await shop.reviews.published(made.id, None, 24)
    await shop.catalog.put_category("kitchen", "Kitchen", "garden")
    await shop.catalog.archive(made.id)


async def test_no_query_of_the_catalogue_reads_or_sorts_more_than_it_must(
    watched: Shop, recorder: Recorder, mongo: MongoClient[dict[str, Any]], config: Config
) -> None:
    """Bounded by the search window, by a page, or by the few documents that a narrower filter passes over."""
    await use_everything(watched)
    wrong = {}
    assert len(recorder.commands) > 40
    for shape, command in recorder.commands.items():
        plan = explain(mongo, config.database, command)
        if fault := fault_of(command, plan, config):
            wrong[shape] = (fault, plan)
    assert not wrong


def fault_of(command: dict[str, Any], plan: Plan, config: Config) -> str | None:
    filtered = str(command)
    if plan.scans and not reads_all_on_purpose(command):
        return "scans the collection"
    if plan.sorts and "$text" not in filtered:
        return "sorts in memory"
    passes_over = "$gte" in filtered or "$text" in filtered or reads_all_on_purpose(command)
    if not passes_over and plan.docs_examined > max(plan.returned, config.search_window_max):
        return "reads much more than it returns"
    return None


def reads_all_on_purpose(command: dict[str, Any]) -> bool:
    """The tree of categories and the list of brands are small and always wanted whole."""
    return command.get("find") in {"categories", "brands"} and not command.get("filter")


async def test_each_index_of_the_catalogue_is_proven_by_the_servers_own_plan(watched: Shop) -> None:
    await use_everything(watched)
    proof = await prove(watched.stores.database, INDEXES)
    assert [each for each in proof["indexes"] if not each["ok"]] == []
    assert proof["redundant"] == []
    assert proof["unused"] == []


async def test_a_missing_index_would_be_noticed(
    watched: Shop, recorder: Recorder, mongo: MongoClient[dict[str, Any]], config: Config
) -> None:
    await watched.search.find("heart", None, 24)
    mongo[config.database]["products"].drop_index("search.keys_1_search.rank_-1__id_-1")
    try:
        plans = [explain(mongo, config.database, command) for command in recorder.commands.values()]
    finally:
        await create_all(watched.stores.database, INDEXES)
    assert any(plan.scans or plan.sorts or plan.docs_examined > 1_000 for plan in plans)
