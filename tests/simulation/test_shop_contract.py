"""The whole shop on the simulated database and on mongod: one script, one seed, one clock, the same documents."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from service.bootstrap import INDEXES, Shop, Stores, build
from service.config import Config
from service.errors import Problem
from service.idempotency import IdempotencyKey
from service.infra.mongo.indexes import Index, create_all
from service.inventory.models import Line
from workloads.simulation.world.shop import offers_of, stores_on
from workloads.simulation.world.world import World

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
COLLECTIONS = ("inventory", "stock_history", "reservations", "orders", "idempotency", "gateway_charges", "outbox")


class ScriptClock:
    """Time that only the script moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def run_script(stores: Stores) -> tuple[list[str], dict[str, list[Any]]]:
    """(how each step ended, all documents of the collections above)."""
    clock = ScriptClock()
    shop, database = build(Config(), stores, clock, random.Random(7)), stores.database
    # The text, wildcard and collation indexes serve the catalogue, which the mock does not simulate.
    await create_all(database, [index for index in INDEXES if _simple(index)])
    said = [await told(step(shop, clock)) for step in SCRIPT]
    return said, {collection: await _dump(database[collection]) for collection in COLLECTIONS}


def _simple(index: Index) -> bool:
    return index.kind not in {"text", "wildcard"} and index.collation is None


async def _dump(collection: Any) -> list[Any]:
    return list(await collection.find({}).sort("_id", 1).to_list(None))


async def told(step: Awaitable[Any]) -> str:
    try:
        return repr(await step)
    except Problem as refusal:
        return f"{refusal.code} {refusal.extra}"


async def open_shop(shop: Shop, _: ScriptClock) -> Any:
    stock = {"a": 5, "b": 3, "c": 1}
    for sku in stock:
        fields = {"productId": sku, "lowStockThreshold": 1, "low": True, "updatedAt": START}
        empty = {"onHand": 0, "reserved": 0, "available": 0, "seq": 0}
        await shop.stores.database["inventory"].insert_one({"_id": sku, **fields, **empty})
    await shop.offers.put(offers_of(stock))
    return await shop.inventory.receive([Line(sku, quantity) for sku, quantity in stock.items()], "staff")


def buy(user: str, key: str, *lines: tuple[str, int]) -> Callable[[Shop, ScriptClock], Awaitable[Any]]:
    async def step(shop: Shop, _: ScriptClock) -> Any:
        answer = await shop.orders.checkout(
            user, [Line(*line) for line in lines], IdempotencyKey(f"{user}:{key}", repr(lines), FAR)
        )
        return answer.replayed, answer.order.status

    return step


def settle(user: str, method: str, key: str = "") -> Callable[[Shop, ScriptClock], Awaitable[Any]]:
    async def step(shop: Shop, _: ScriptClock) -> Any:
        order = (await shop.orders.newest(user, None, None, 1)).items[0]
        answer = await shop.settlement.pay(order, method, IdempotencyKey(f"{user}:{key}", method, FAR) if key else None)
        return answer.replayed, answer.order.status

    return step


async def cancel_carols(shop: Shop, _: ScriptClock) -> Any:
    order = (await shop.orders.newest("carol", None, None, 1)).items[0]
    return (await shop.orders.cancel(order, "carol")).order.status


async def refund_annes(shop: Shop, _: ScriptClock) -> Any:
    order = (await shop.orders.newest("anne", None, None, 1)).items[0]
    return (await shop.refunds.refund(order.id, (Line("a", 1),), True, "staff")).order.refunded


async def let_holds_die(shop: Shop, clock: ScriptClock) -> Any:
    clock.seconds += 901


async def sweep(shop: Shop, _: ScriptClock) -> Any:
    return await shop.expiry.sweep()


SCRIPT: tuple[Callable[[Shop, ScriptClock], Awaitable[Any]], ...] = (
    open_shop,
    buy("anne", "k", ("a", 2), ("b", 1), ("a", 1)),
    buy("anne", "k", ("a", 2), ("b", 1), ("a", 1)),
    buy("anne", "k", ("a", 4)),
    buy("bob", "k", ("a", 3)),
    settle("anne", "card", "p"),
    settle("anne", "card", "p"),
    buy("carol", "k", ("c", 1)),
    cancel_carols,
    cancel_carols,
    buy("dora", "k", ("c", 1)),
    settle("dora", "card-decline"),
    settle("dora", "card"),
    buy("emil", "k", ("c", 1)),
    let_holds_die,
    settle("emil", "card"),
    buy("fritz", "k", ("a", 2)),
    let_holds_die,
    sweep,
    settle("fritz", "timeout"),
    let_holds_die,
    lambda shop, _: shop.settlement.reconcile(),
    refund_annes,
    lambda shop, _: shop.inventory.adjust("a", -9, "stocktaking", "staff"),
    lambda shop, _: shop.inventory.adjust("a", 4, "found", "staff"),
    lambda shop, _: shop.inventory.availability(["a", "b", "c", "d"]),
)


@pytest.mark.server
def test_the_same_script_leaves_the_same_documents_on_the_simulation_and_on_mongod(
    request: pytest.FixtureRequest,
) -> None:
    world = World(1)
    simulated = world.run(lambda: run_script(stores_on(world.client())))
    stores, name = request.getfixturevalue("stores"), request.getfixturevalue("database")

    async def on_mongod() -> tuple[list[str], dict[str, list[Any]]]:
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(stores.mongodb_uri, w="majority", tz_aware=True)
        try:
            return await run_script(Stores(client, client[name], None))
        finally:
            client.close()

    real = asyncio.run(on_mongod())
    assert simulated[0] == real[0]
    for collection in COLLECTIONS:
        assert simulated[1][collection] == real[1][collection], collection
    assert all(real[1].values()), "the script left a collection untouched"
