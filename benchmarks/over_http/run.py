"""`holdfast bench http`: for every route what it can do, then how long its answers take at a rate it can hold.

The capacity comes from a short closed loop. The latencies come from an open loop at a share of that capacity, timed
from the intended start of each request, so a stall is charged to every request that should have been sent during it."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.open_loop import OpenTally, drive_open
from benchmarks.kit.outcome import Outcome, RunInvalid, table
from benchmarks.kit.routes import ROUTES, Route
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import Shopfront, discover
from benchmarks.kit.wire import Wire
from benchmarks.over_http.judging import judged
from workloads.results.verdict import ScheduleKept, Work, why_behind

Progress = Callable[[str], None]
AMPLE_UNITS = 1_000_000
HASHED_REQUESTS_MAX = 16
HASHED_CONNECTIONS = 4
POOL = 512
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    connections: int = 32
    seconds: float = 2.0
    load_share: float = 0.5
    products: int = 1_000
    buyers: int = 8
    seed: int = 1

    @property
    def steps(self) -> int:
        return len(ROUTES) + 2


def run(stack: Served, plan: Plan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.products, stock=AMPLE_UNITS)
    step("seeded")
    result = measure(stack, plan, step) | {"audit": stack.audit()}
    step("audited")
    return result


def measure(stack: Served, plan: Plan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return {"routes": runner.run(_run(stack.url, plan, step))}


async def _run(url: str, plan: Plan, step: Progress) -> dict[str, Any]:
    shop = await discover(url, plan.buyers)
    routes = {}
    for route in ROUTES:
        routes[route.name] = await _measure(shop, route, plan)
        step(route.name)
    return routes


async def _measure(shop: Shopfront, route: Route, plan: Plan) -> dict[str, Any]:
    capacity = await closed_turn(shop, route, plan.connections, plan.seconds, random.Random(plan.seed), Tally())
    rate = capacity.per_second * plan.load_share
    count = max(4, int(rate * plan.seconds))
    return report(capacity, await _opened(shop, route, rate, count, plan.seed))


async def _opened(shop: Shopfront, route: Route, rate: float, count: int, seed: int) -> OpenTally:
    """Tried again when the client was late: on two cores somebody else may have had the processor."""
    attempt = 0
    while True:
        attempt += 1
        randomness = random.Random(seed + attempt)
        requests = await route.make(shop, count, randomness)
        try:
            return await drive_open(shop.url, requests, rate, route.succeeds, randomness)
        except RunInvalid:
            if attempt == ATTEMPTS:
                raise


async def closed_turn(
    shop: Shopfront, route: Route, connections: int, seconds: float, randomness: random.Random, tally: Tally
) -> Tally:
    """One turn of about `seconds`. Requests that may be sent once are made in advance, by a short trial's rate."""
    if route.hashes:  # no account is asked for twice at once: that would look like guessing
        connections = min(connections, HASHED_CONNECTIONS)
    async with Wire(shop.url, connections) as crowd:
        if not route.once:
            pool = itertools.cycle(await route.make(shop, len(shop.emails) if route.hashes else POOL, randomness))
            await drive(crowd, pool.__next__, tally, seconds=seconds)
        else:
            trial = await _send_all(crowd, await route.make(shop, connections, randomness), Tally())
            count = HASHED_REQUESTS_MAX if route.hashes else max(connections, int(trial.per_second * seconds))
            await _send_all(crowd, await route.make(shop, count, randomness), tally)
    if tally.share(route.succeeds) < 1:
        raise RunInvalid(f"{route.name} at {shop.url} answered {dict(tally.statuses)}")
    return tally


async def _send_all(crowd: Wire, requests: list[bytes], tally: Tally) -> Tally:
    return await drive(crowd, iter(requests).__next__, tally, requests=len(requests))


def report(capacity: Tally, opened: OpenTally) -> dict[str, Any]:
    return {
        "capacityPerSecond": round(capacity.per_second, 1),
        "requestsPerSecond": round(opened.per_second, 1),
        "p50Ms": round(opened.percentile_ms(50), 3),
        "p95Ms": round(opened.percentile_ms(95), 3),
        "p99Ms": round(opened.percentile_ms(99), 3),
        "requests": sum(opened.statuses.values()),
        "errors": opened.errors,
        "backlogAtEnd": opened.kept.backlog,
        "backlogHalfway": opened.kept.backlog_halfway,
        "latenessP99Ms": round(opened.lateness_p99_ms, 3),
        "wireBytesPerRequest": round(capacity.wire_bytes / capacity.requests),
    }


def judge(result: dict[str, Any]) -> Outcome:
    keys = ("capacityPerSecond", "requestsPerSecond", "p50Ms", "p95Ms", "p99Ms", "errors")
    rows = [(name, *(row[key] for key in keys)) for name, row in result["routes"].items()]
    columns = ("route", "at most /s", "offered /s", "p50 ms", "p95 ms", "p99 ms", "errors")
    broken = [f"{name}: {row['errors']} errors" for name, row in result["routes"].items() if row["errors"]]
    broken += judged(_work(result), result["audit"])
    broken += [f"{name}: {reason}" for name, row in result["routes"].items() for reason in why_behind(_kept(row))]
    return Outcome(result, (table("open loop, from the intended start", columns, rows),), tuple(broken))


def _work(result: dict[str, Any]) -> list[Work]:
    return [
        Work(f"requests of {name}", row["requests"], row["requests"] - row["errors"], row["errors"])
        for name, row in result["routes"].items()
    ]


def _kept(row: dict[str, Any]) -> ScheduleKept:
    backlog, halfway = row["backlogAtEnd"], row["backlogHalfway"]
    rate = row["requestsPerSecond"]
    return ScheduleKept(planned=row["requests"], backlog=backlog, backlog_halfway=halfway, per_second=rate)
