"""The measurements budgets are judged by. Each probe is given a seeded stack and returns its figures by name."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.compression import live
from benchmarks.contention import run as contention_run
from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import PASSWORD, Shopfront, discover, expect
from benchmarks.kit.store_counters import Counters
from benchmarks.kit.wire import Wire, request
from benchmarks.over_http import checkout
from service.bootstrap import INDEXES

Figures = dict[str, float]
Result = TypeVar("Result")
Probe = Callable[[Served], Figures]

PRODUCTS, STOCK = 400, 1_000
LONE_CHECKOUTS, SHARED_CHECKOUTS, CLIENTS = 60, 2_000, 64
LATENCY_TURNS = 60
USERS, OTHERS_ORDERS, OWN_ORDERS, READS = 12, 400, 3, 5
CHECKOUT_PLAN = checkout.CheckoutPlan(
    rounds=3, seconds=1.0, skus=PRODUCTS, buyers=4, warm_up_requests=CLIENTS, settle_seconds=0
)
CONTENTION_PLAN = contention_run.ContentionPlan(rounds=2, seconds=0.5, skus=200, scarce_units=8)


def seed(stack: Served) -> None:
    stack.seed(products=PRODUCTS, stock=STOCK)


def checkouts(stack: Served) -> Figures:
    """Rates, oversells and books of checkouts over HTTP, and what one costs the stores."""
    calls = _in_a_loop(_store_calls(stack))
    result = checkout.measure(stack, CHECKOUT_PLAN, lambda step: None)
    audit = result["audit"]
    return {
        **calls,
        "oversold": result["oversold"],
        "auditViolations": sum(not check["ok"] for check in audit["checks"]),
        "hotPerSecond": result["hot"]["checkoutsPerSecond"],
        "hotOverSpread": result["hotOverSpread"],
    }


async def _store_calls(stack: Served) -> Figures:
    shop = await discover(stack.url, buyers=1)
    requests = checkout.CheckoutRequests(shop, random.Random(2))
    spread = shop.skus[-200:]
    async with Counters(stack) as counters, Wire(stack.url, CLIENTS) as crowd, Wire(stack.url) as single:
        await drive(single, lambda: requests.of(spread[0]), Tally(), requests=5)
        alone = [await counters.around(_bought(single, requests, spread, 1)) for _ in range(LONE_CHECKOUTS)]
        shared = await counters.around(_bought(crowd, requests, spread, SHARED_CHECKOUTS))
    return {
        # The least of many: whatever else the stack was doing meanwhile can only add to a count.
        "mongoCommandsAlone": min(calls.mongo_commands for calls in alone),
        "redisCallsAlone": min(calls.redis_calls for calls in alone),
        "mongoCommandsShared": round(shared.mongo_commands / SHARED_CHECKOUTS, 3),
    }


async def _bought(wire: Wire, requests: checkout.CheckoutRequests, skus: list[str], count: int) -> None:
    each = itertools.cycle(skus)
    tally = await drive(wire, lambda: requests.of(next(each)), Tally(), requests=count)
    if tally.statuses[201] != count:
        raise RunInvalid(f"{count} checkouts were answered with {dict(tally.statuses)}")


def reads(stack: Served) -> Figures:
    """Documents MongoDB looks at to answer one request, in a shop where others have left many."""
    return _in_a_loop(_reads(stack))


async def _reads(stack: Served) -> Figures:
    shop = await discover(stack.url, buyers=USERS)
    requests = checkout.CheckoutRequests(shop, random.Random(4))
    crowd_token, own_token, *_ = shop.tokens
    async with Counters(stack) as counters, Wire(stack.url, CLIENTS) as crowd, Wire(stack.url) as single:
        shop.tokens = [crowd_token]
        await _bought(crowd, requests, shop.skus[:200], OTHERS_ORDERS)
        shop.tokens = [own_token]
        await _bought(single, requests, shop.skus[:200], OWN_ORDERS)
        bearer = {"Authorization": f"Bearer {own_token}"}
        login = {"email": shop.emails[-1], "password": PASSWORD}
        asked = {
            "orders": request("GET", "/api/orders", headers=bearer),
            "products": request("GET", f"/api/products/{shop.slugs[0]}"),
            "users": request("POST", "/api/auth/login", body=login),
        }
        examined = {name: await _examined(counters, name, single, wire) for name, wire in asked.items()}
    return {**{f"{name}Examined": count for name, count in examined.items()}, "indexesMissing": await _missing(stack)}


async def _examined(counters: Counters, collection: str, single: Wire, wire: bytes) -> float:
    async def ask() -> None:
        for _ in range(READS):
            expect(await single.send(wire), 200)

    return round(await counters.documents_examined(collection, ask()) / READS, 2)


async def _missing(stack: Served) -> int:
    client: Any = AsyncIOMotorClient(stack.mongodb_uri)
    try:
        live = {
            (collection, name)
            for collection in {index.collection for index in INDEXES}
            for name in await client[stack.database][collection].index_information()
        }
    finally:
        client.close()
    return sum((index.collection, index.name) not in live for index in INDEXES)


def compression(stack: Served) -> Figures:
    """What gzip saves of the documented contents, and its CPU."""
    rows = live.measure(stack, live.CompressionPlan(), lambda step: None)["rows"]
    names = ("productsReduction", "ordersReduction", "htmlReduction")
    reductions = {name: row["reduction"] for name, row in zip(names, rows, strict=True)}
    return {**reductions, "cpuMsPer100Kb": max(row["cpuMs"] / row["bytes"] * 100_000 for row in rows)}


def latency(stack: Served) -> Figures:
    """One request at a time, kinds in turns: what a route takes beside one that only passes the layers."""
    return _in_a_loop(_latency(stack))


async def _latency(stack: Served) -> Figures:
    shop = await discover(stack.url, buyers=1)
    requests = checkout.CheckoutRequests(shop, random.Random(3))
    makers: Mapping[str, Callable[[], bytes]] = {
        "live": lambda: request("GET", "/health/live"),
        "availability": lambda: _availability(shop),
        "checkout": lambda: requests.of(shop.skus[0]),
    }
    tallies = {name: Tally() for name in makers}
    async with Wire(stack.url) as wire:
        for _ in range(LATENCY_TURNS):
            for name, make in makers.items():
                await drive(wire, make, tallies[name], requests=1)
    p50 = {name: tally.percentile_ms(50) for name, tally in tallies.items()}
    return {
        "availabilityOverLive": round(p50["availability"] / p50["live"], 2),
        "checkoutOverLive": round(p50["checkout"] / p50["live"], 2),
        "checkoutP50Ms": round(p50["checkout"], 2),
    }


def _availability(shop: Shopfront) -> bytes:
    return request("GET", f"/api/inventory/availability?sku={shop.skus[0]}")


def contention(stack: Served) -> Figures:
    """The strategies side by side on the stack's own mongod, small."""
    result = contention_run.run(stack.mongodb_uri, CONTENTION_PLAN)
    return {"groupCommitOverTransaction": result["groupCommitOverTransaction"]}


def _in_a_loop(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


PROBES: Mapping[str, Probe] = {
    "reads": reads,
    "latency": latency,
    "compression": compression,
    "checkout": checkouts,
    "contention": contention,
}
