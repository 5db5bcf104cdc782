"""`holdfast bench peer`: every route in turns, Holdfast then the peer, and the ratio of what they did per second.

Routes that hash a password are shown and not judged: both run the same bcrypt at the same cost."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.kit.closed_loop import Tally
from benchmarks.kit.outcome import BenchOutcome, table
from benchmarks.kit.routes import ROUTES, Route
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import Shopfront, discover
from benchmarks.over_http.run import closed_turn
from benchmarks.side_by_side.peer_data import AMPLE_UNITS, copy_catalogue
from benchmarks.side_by_side.peer_process import peer

Progress = Callable[[str], None]
RATIO_MIN = 2.0


@dataclass(frozen=True, slots=True)
class SideBySidePlan:
    connections: int = 32
    rounds: int = 2
    seconds: float = 1.0
    products: int = 1_000
    buyers: int = 8
    seed: int = 1

    @property
    def steps(self) -> int:
        return len(ROUTES) * self.rounds + 1


def run(stack: Served, plan: SideBySidePlan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.products, stock=AMPLE_UNITS)
    step("seeded")
    return measure(stack, plan, step)


def measure(stack: Served, plan: SideBySidePlan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    database = f"{stack.database}_peer"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        products = runner.run(copy_catalogue(stack.url, stack.mongodb_uri, database))
        with peer(stack.mongodb_uri, database, stack.data) as peer_url:
            return {"products": products, "rows": runner.run(_run(stack.url, peer_url, plan, step))}


async def _run(url: str, peer_url: str, plan: SideBySidePlan, step: Progress) -> list[dict[str, Any]]:
    ours = await discover(url, plan.buyers)
    theirs = await discover_like(ours, peer_url, plan.buyers)
    rows = []
    for route in ROUTES:
        tallies = Tally(), Tally()
        for number in range(plan.rounds):
            for shop, tally in zip((ours, theirs), tallies, strict=True):
                seed = random.Random(plan.seed + number)
                await closed_turn(shop, route, plan.connections, plan.seconds, seed, tally)
            step(route.name)
        rows.append(_row(route, *tallies))
    return rows


async def discover_like(ours: Shopfront, url: str, buyers: int) -> Shopfront:
    """The peer sells the same under the same names; only its buyers are its own."""
    theirs = await discover(url, buyers, products_max=1)
    theirs.slugs, theirs.skus, theirs.words = ours.slugs, ours.skus, ours.words
    return theirs


def _row(route: Route, ours: Tally, theirs: Tally) -> dict[str, Any]:
    return {
        "route": route.name,
        "holdfastPerSecond": round(ours.per_second, 1),
        "peerPerSecond": round(theirs.per_second, 1),
        "ratio": round(ours.per_second / theirs.per_second, 2),
        "holdfastP99Ms": round(ours.percentile_ms(99), 3),
        "peerP99Ms": round(theirs.percentile_ms(99), 3),
        "holdfastBytes": round(ours.wire_bytes / ours.requests),
        "peerBytes": round(theirs.wire_bytes / theirs.requests),
        "judged": not route.hashes,
    }


def judge(result: dict[str, Any]) -> BenchOutcome:
    broken = [
        f"{row['route']} is {row['ratio']} times as fast as the peer, not {RATIO_MIN}"
        for row in result["rows"]
        if row["judged"] and row["ratio"] < RATIO_MIN
    ]
    keys = ("route", "holdfastPerSecond", "peerPerSecond", "ratio", "holdfastP99Ms", "peerP99Ms")
    columns = ("route", "Holdfast /s", "peer /s", "ratio", "Holdfast p99 ms", "peer p99 ms")
    rows = [[row[key] for key in keys] for row in result["rows"]]
    return BenchOutcome(result, (table("the same routes on the same MongoDB", columns, rows),), tuple(broken))
