"""The wired shop on a test's own stores, a clock a test can move, and goods to sell."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from service import bootstrap
from service.bootstrap import Shop
from service.catalog.offers import Offer
from service.clock import SystemClock
from service.config import Config
from service.inventory.models import Line
from service.orders.invariants import Audit
from service.orders.models import Key, Order
from service.payments.models import Gateway

PRICE = 250
FAR = datetime(2100, 1, 1, tzinfo=UTC)


class MovableClock(SystemClock):
    """The system's time, and as much later as the test says."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


def make_indexes(mongo: MongoClient[dict[str, Any]]) -> str:
    """A new database with every index of the service, by name."""
    name = f"test_{uuid4().hex}"
    for index in bootstrap.INDEXES:
        mongo[name][index.collection].create_indexes([index.model()])
    return name


@asynccontextmanager
async def open_shop(config: Config, clock: MovableClock, gateway: Gateway | None = None) -> AsyncIterator[Shop]:
    """As `bootstrap.shop`, with a clock and a payment provider of the test's own, on stores that have their indexes."""
    stores = bootstrap.connect(config)
    try:
        built = bootstrap.build(config, stores, clock=clock, gateway=gateway)
        yield built
        await built.drain()
    finally:
        stores.client.close()
        await stores.redis.aclose()


@contextmanager
def failing_once_written(shop: Shop) -> Iterator[None]:
    """Every batch of its ledger is written, and then its transaction fails."""
    sender: Any = shop.ledger._books._sender
    send_all = sender.send_all

    async def broken(*given: Any) -> None:
        await send_all(*given)
        raise RuntimeError("the disk is full")

    sender.send_all = broken
    try:
        yield
    finally:
        sender.send_all = send_all


async def stock(shop: Shop, price: int = PRICE, **quantities: int) -> None:
    """Products on sale, one SKU each, with that many on hand."""
    await stock_all(shop, quantities, price)


async def stock_all(shop: Shop, quantities: dict[str, int], price: int = PRICE) -> None:
    now = shop.clock.now()
    documents = [
        {"_id": sku, "productId": f"p-{sku}", "lowStockThreshold": 5, "updatedAt": now, "low": True}
        | {"onHand": 0, "reserved": 0, "available": 0, "seq": 0}
        for sku in quantities
    ]
    await shop.stores.database["inventory"].insert_many(documents)
    await shop.offers.put([Offer(sku, f"p-{sku}", f"Thing {sku}", price, "GBP", active=True) for sku in quantities])
    goods = [Line(sku, quantity) for sku, quantity in quantities.items() if quantity]
    if goods:
        await shop.inventory.receive(goods, "staff")


async def buy(shop: Shop, user: str = "u1", key: Key | None = None, **quantities: int) -> Order:
    """A checkout's order, not yet paid."""
    lines = [Line(sku, quantity) for sku, quantity in quantities.items()]
    return (await shop.orders.checkout(user, lines, key)).order


async def pay(shop: Shop, order: Order, method: str = "ok", key: Key | None = None) -> Order:
    return (await shop.settlement.pay(await shop.orders.get(order.id), method, key)).order


def key(name: str, asked: str = "the same") -> Key:
    return Key(name, asked, FAR)


async def levels(shop: Shop, sku: str) -> tuple[int, int]:
    """(on hand, reserved)."""
    found = await shop.inventory.get(sku)
    return found.on_hand, found.reserved


async def violations(shop: Shop) -> dict[str, Any]:
    """What the audit finds wrong: nothing, if all is well."""
    report = await audit(shop)
    return {check["name"]: check["examples"] for check in report["checks"] if not check["ok"]}


async def audit(shop: Shop) -> dict[str, Any]:
    return await Audit(shop.stores.client, shop.stores.database, shop.clock).run()
