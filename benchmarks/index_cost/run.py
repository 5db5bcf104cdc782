"""`holdfast bench index-cost`: what every index costs an order, in keys, bytes and time.

Keys and bytes are the server's own counts of a shop with all indexes, for the three things that can happen to an
order: it is placed, paid, or its hold runs out. Time is CPU of mongod per order placed and paid, of that shop and of
one with no index but those that keep something unique, in turns; one index's own part is told by its share of the keys,
since alone it is far below what can be measured."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.index_cost.counters import Name, Written, difference, written
from benchmarks.index_cost.shop import MeasuredShop
from benchmarks.kit.cpu_time import cpu_seconds_of
from benchmarks.kit.percentiles import median_interval
from service import bootstrap
from service.infra.mongo.indexes import Index, create_all

Step = Callable[[str], None]
PRIMARY = "_id_"
UNIQUE = tuple(index for index in bootstrap.INDEXES if index.unique)


@dataclass(frozen=True, slots=True)
class IndexCostPlan:
    """`orders` in each turn; every round has one turn of each shop."""

    orders: int = 2_000
    rounds: int = 10
    skus: int = 500
    seed: int = 1

    @property
    def steps(self) -> int:
        return self.rounds + 4


QUICK = IndexCostPlan(orders=200, rounds=2, skus=50)


def run(mongodb_uri: str, plan: IndexCostPlan, step: Step) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(mongodb_uri, plan, step))


async def _run(mongodb_uri: str, plan: IndexCostPlan, step: Step) -> dict[str, Any]:
    client: Any = AsyncIOMotorClient(mongodb_uri, tz_aware=True, w="majority")
    try:
        every = await _opened(client, "bench_every_index", bootstrap.INDEXES, plan)
        fewest = await _opened(client, "bench_fewest_indexes", UNIQUE, plan)
        step("two shops opened")
        counted = await _counted(every, plan.orders, step)
        mongod = (await client.admin.command("serverStatus"))["pid"]
        turns = [await _round((every, fewest), mongod, plan, number, step) for number in range(plan.rounds)]
        return report(counted, turns, plan)
    finally:
        for name in ("bench_every_index", "bench_fewest_indexes"):
            await client.drop_database(name)
        client.close()


async def _opened(client: Any, name: str, indexes: Sequence[Index], plan: IndexCostPlan) -> MeasuredShop:
    shop = MeasuredShop(client, name, plan.seed)
    await create_all(shop.database, indexes)
    await shop.open(plan.skus)
    return shop


async def _counted(shop: MeasuredShop, orders: int, step: Step) -> dict[str, dict[Name, Written]]:
    """Per order: what placing it writes, what paying it writes, and what its hold's end does."""
    start = await written(shop.database)
    placed = await shop.check_out(orders)
    after_placing = await written(shop.database)
    step("placed")
    await shop.pay(placed)
    after_paying = await written(shop.database)
    step("paid")
    await shop.check_out(orders)
    before_expiry = await written(shop.database)
    expired = await shop.expire()
    assert expired == orders, "every hold was to run out"
    after_expiry = await written(shop.database)
    step("expired")
    return {
        "placed": difference(after_placing, start, orders),
        "paid": difference(after_paying, after_placing, orders),
        "expired": difference(after_expiry, before_expiry, orders),
    }


async def _round(
    shops: tuple[MeasuredShop, MeasuredShop], mongod: int, plan: IndexCostPlan, number: int, step: Step
) -> tuple[float, float]:
    """CPU of mongod per order, in microseconds: with every index, with the fewest. Who comes first changes."""
    spent = {}
    for shop in shops if number % 2 else reversed(shops):
        spent[shop.database.name] = await _turn(shop, mongod, plan.orders)
    step(f"round {number + 1}")
    every, fewest = (spent[shop.database.name] for shop in shops)
    return every, fewest


async def _turn(shop: MeasuredShop, mongod: int, orders: int) -> float:
    before = cpu_seconds_of(mongod)
    await shop.pay(await shop.check_out(orders))
    return (cpu_seconds_of(mongod) - before) / orders * 1e6


def report(
    counted: Mapping[str, Mapping[Name, Written]], turns: Sequence[tuple[float, float]], plan: IndexCostPlan
) -> dict[str, Any]:
    every, fewest = (median(turn[place] for turn in turns) for place in (0, 1))
    extra = [with_all - without for with_all, without in turns]
    low, high = median_interval(extra)
    return {
        "orders": plan.orders,
        "rounds": plan.rounds,
        "mongodCpuMicrosPerOrder": {"everyIndex": round(every, 1), "onlyUniqueIndexes": round(fewest, 1)},
        "secondaryIndexesMicrosPerOrder": {
            "median": round(median(extra), 1),
            "low": round(low, 1),
            "high": round(high, 1),
        },
        "indexes": _rows(counted, max(0.0, median(extra))),
    }


def _rows(counted: Mapping[str, Mapping[Name, Written]], extra_us: float) -> list[dict[str, Any]]:
    """The dearest first. `cpuMicros` of an order that is placed and paid; None for keys that there must be anyway."""
    serves = {(index.collection, index.name): index for index in bootstrap.INDEXES}
    names = {name for part in counted.values() for name in part}
    keys = {name: sum(counted[part].get(name, Written()).keys for part in ("placed", "paid")) for name in names}
    optional = sum(keys[name] for name in names if name in serves and not serves[name].unique)
    rows = []
    for name in sorted(names, key=lambda each: (-keys[each], each)):
        index = serves.get(name)
        of_its_own = index is not None and not index.unique
        rows.append(
            {
                "collection": name[0],
                "index": name[1],
                "serves": "the primary key" if index is None else index.serves,
                **{f"keys{part.title()}": round(counted[part].get(name, Written()).keys, 3) for part in counted},
                "bytesPerOrder": round(sum(counted[part].get(name, Written()).size for part in ("placed", "paid")), 1),
                "cpuMicros": round(extra_us * keys[name] / optional, 1) if of_its_own and optional else None,
            }
        )
    return rows
