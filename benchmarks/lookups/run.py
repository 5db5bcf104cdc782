"""Measures the four operations with and without their index, interleaved, on one server, at one client and at many."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.kit.catalogue import vocabulary
from benchmarks.kit.percentiles import percentile
from benchmarks.lookups.data import Sizes, fill
from benchmarks.lookups.operations import LookupOperation, Run, around, operations, plain_scan, text_search

LARGE, SMALL = "bench_lookups", "bench_lookups_small"
GROWTH = 10
SAMPLES = 600
WARM_UP = 20
CLIENTS = 32

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LookupsPlan:
    """`scale` 1 is the documented size. Each scan is followed by as many indexed runs as the samples allow."""

    scale: float = 1.0
    samples: int = SAMPLES
    scans_share: float = 1.0
    clients: int = CLIENTS
    seed: int = 1

    @property
    def sizes(self) -> Sizes:
        return Sizes().scaled(self.scale)

    @property
    def small_sizes(self) -> Sizes:
        return Sizes().scaled(self.scale / GROWTH)

    @property
    def steps(self) -> int:
        return 2 * 4 + 2 * 4 + 1


QUICK = LookupsPlan(scale=0.02, samples=80, scans_share=0.25, clients=4)


@dataclass(slots=True)
class Samples:
    """Milliseconds each run took, and the documents the server looked at."""

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    examined_before: float = 0.0
    examined_after: float = 0.0


def run(mongodb_uri: str, plan: LookupsPlan, step: Step) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(mongodb_uri, plan, step))


async def _run(mongodb_uri: str, plan: LookupsPlan, step: Step) -> dict[str, Any]:
    names = vocabulary()
    client: Any = AsyncIOMotorClient(mongodb_uri, tz_aware=True, maxPoolSize=2 * plan.clients, w=1)
    large, small = client[LARGE], client[SMALL]
    try:
        await fill(small, plan.small_sizes, names, plan.seed, step)
        await fill(large, plan.sizes, names, plan.seed, step)
        measured = operations(large, small, plan.sizes, plan.small_sizes, names, plan.seed, plan.samples)
        rows = [await _measure(client, operation, plan, step) for operation in measured]
        search = await _other_ways(large, measured[0], plan)
        step("other ways to search")
        return {"scale": plan.scale, "clients": plan.clients, "rows": rows, "otherWaysToSearch": search}
    finally:
        for database in (large, small):
            await client.drop_database(database.name)
        client.close()


async def _measure(client: Any, operation: LookupOperation, plan: LookupsPlan, step: Step) -> dict[str, Any]:
    scans = max(5, round(operation.target.scans * plan.scans_share))
    alone = await _alone(client, operation, scans, plan)
    step(f"{operation.name}, 1 client")
    crowd = await _crowd(operation, plan)
    step(f"{operation.name}, {plan.clients} clients")
    return row(operation, alone, crowd)


async def _alone(client: Any, operation: LookupOperation, scans: int, plan: LookupsPlan) -> Samples:
    """One client. Between two scans the indexed runs, each on the large and on the small database, in turns."""
    samples = Samples()
    with_index, without, small = around(operation.inputs), around(operation.inputs), around(operation.small_inputs)
    for _ in range(WARM_UP):
        await operation.after(with_index())
        await operation.small_after(small())
    for _ in range(scans):
        value = without()
        examined = await _examined(client)
        samples.before.append(await _timed(operation.before, value))
        examined_scan = await _examined(client)
        for _ in range(plan.samples // scans):
            samples.after.append(await _timed(operation.after, with_index()))
        samples.examined_before += (examined_scan - examined) / scans
        samples.examined_after += (await _examined(client) - examined_scan) / (plan.samples // scans) / scans
        for _ in range(plan.samples // scans):
            samples.small.append(await _timed(operation.small_after, small()))
    return samples


async def _crowd(operation: LookupOperation, plan: LookupsPlan) -> Samples:
    """All clients at once, in turns: everyone scans once, then everyone does the indexed run several times."""
    samples = Samples()
    with_index, without = around(operation.inputs), around(operation.inputs)

    async def clients(into: list[float], run_: Run, value: Callable[[], Any], times: int) -> None:
        async def one() -> None:
            for _ in range(times):
                into.append(await _timed(run_, value()))

        await asyncio.gather(*(one() for _ in range(plan.clients)))

    await clients(samples.before, operation.before, without, 1)
    await clients(samples.after, operation.after, with_index, max(2, plan.samples // plan.clients))
    return samples


async def _timed(run_: Run, value: Any) -> float:
    started = perf_counter()
    await run_(value)
    return (perf_counter() - started) * 1_000


async def _examined(client: Any) -> int:
    status = await client.admin.command("serverStatus")
    return int(status["metrics"]["queryExecutor"]["scannedObjects"])


async def _other_ways(database: Any, search: LookupOperation, plan: LookupsPlan) -> dict[str, Any]:
    """The same queries by what else a shop might use, in turns."""
    ways = {"regexScan": plain_scan(database), "textIndex": text_search(database), "termIndex": search.after}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for value in search.inputs[: max(20, round(search.target.scans * plan.scans_share))]:
        for name, way in ways.items():
            taken[name].append(await _timed(way, value))
    return {name: {"p50Ms": _ms(times, 50), "p95Ms": _ms(times, 95)} for name, times in taken.items()}


def row(operation: LookupOperation, alone: Samples, crowd: Samples) -> dict[str, Any]:
    target = operation.target
    before, after = percentile(alone.before, 50), percentile(alone.after, 50)
    p95_before, p95_after = percentile(alone.before, 95), percentile(alone.after, 95)
    return {
        "operation": operation.name,
        "documentedBeforeMs": target.before_ms,
        "documentedAfterMs": target.after_ms,
        "documentedRatio": round(target.before_ms / target.after_ms, 1),
        "beforeMs": round(before, 2),
        "afterMs": round(after, 3),
        "ratio": round(before / after, 1),
        "p95BeforeMs": round(p95_before, 2),
        "p95AfterMs": round(p95_after, 3),
        "p95Ratio": round(p95_before / p95_after, 1),
        "requiredP95Ratio": target.required_ratio,
        "requiredP95AfterMs": target.required_after_ms,
        "docsExaminedBefore": round(alone.examined_before, 1),
        "docsExaminedAfter": round(alone.examined_after, 1),
        "p95AtATenthMs": _ms(alone.small, 95),
        "growth": round(p95_after / percentile(alone.small, 95), 2),
        "crowd": {
            "beforeMs": _ms(crowd.before, 50),
            "afterMs": _ms(crowd.after, 50),
            "p95BeforeMs": _ms(crowd.before, 95),
            "p95AfterMs": _ms(crowd.after, 95),
            "p95Ratio": round(percentile(crowd.before, 95) / percentile(crowd.after, 95), 1),
        },
    }


def _ms(times: list[float], percent: float) -> float:
    return round(percentile(times, percent), 3)
