"""Runs the strategies in turns, so that what disturbs the machine disturbs them all alike, then audits each."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.contention.service_ledger import GroupCommit
from benchmarks.contention.strategies import (
    ConditionalUpdate,
    OptimisticVersion,
    ReadThenWrite,
    Strategy,
    TransactionPerRequest,
)
from benchmarks.kit.percentiles import percentile

STRATEGIES: tuple[type[Strategy], ...] = (
    ReadThenWrite,
    TransactionPerRequest,
    OptimisticVersion,
    ConditionalUpdate,
    GroupCommit,
)
AMPLE_UNITS = 10_000_000
SPREAD = "group_commit_spread"
HOT = "HOT"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ContentionPlan:
    """One contention run. Each strategy gets `rounds` turns of `seconds`, or of `orders` checkouts where given."""

    buyers: int = 64
    rounds: int = 3
    seconds: float = 1.0
    orders: int | None = None
    skus: int = 1_000
    scarce_units: int = 32
    seed: int = 1

    @property
    def turns(self) -> int:
        return (len(STRATEGIES) + 1) * self.rounds + len(STRATEGIES)


QUICK = ContentionPlan(buyers=16, rounds=1, seconds=0.3, skus=50, scarce_units=8)


@dataclass(slots=True)
class Contender:
    """A strategy on its SKUs, with what it has shown so far."""

    name: str
    strategy: Strategy
    skus: Sequence[str]
    latencies_ms: list[float] = field(default_factory=list)
    wall_seconds: float = 0.0
    accepted: int = 0
    write_conflicts: int = 0
    oversold: int = 0

    @property
    def checkouts_per_second(self) -> float:
        return len(self.latencies_ms) / self.wall_seconds

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "checkoutsPerSecond": round(self.checkouts_per_second, 1),
            "p50Ms": round(percentile(self.latencies_ms, 50), 3),
            "p99Ms": round(percentile(self.latencies_ms, 99), 3),
            "oversold": self.oversold,
            "clientRetries": self.strategy.client_retries,
            "serverWriteConflicts": self.write_conflicts,
            "checkouts": len(self.latencies_ms),
            "skus": len(self.skus),
        }


class UnitsMissing(AssertionError):
    """A buyer was told yes and no hold says so, or the other way round."""


def run(mongodb_uri: str, plan: ContentionPlan, progress: Progress = lambda turn: None) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(mongodb_uri, plan, progress))


async def _run(mongodb_uri: str, plan: ContentionPlan, progress: Progress) -> dict[str, Any]:
    client: Any = AsyncIOMotorClient(mongodb_uri, w="majority", maxPoolSize=2 * plan.buyers, tz_aware=True)
    contenders = [*_contenders(client, plan)]
    try:
        for contender in contenders:
            await contender.strategy.stock(contender.skus, AMPLE_UNITS)
        for _ in range(plan.rounds):
            for contender in contenders:
                await _turn(client, contender, plan)
                progress(contender.name)
        for contender in contenders:
            await _audit(contender)
            if contender.name != SPREAD:
                await _sell_out(contender, plan)
                progress(f"{contender.name} selling out")
    finally:
        for contender in contenders:
            await client.drop_database(contender.strategy.database.name)
        client.close()
    return report(contenders)


def report(contenders: Sequence[Contender]) -> dict[str, Any]:
    rate = {contender.name: contender.checkouts_per_second for contender in contenders}
    hot = rate[GroupCommit.name]
    return {
        "strategies": [contender.row() for contender in contenders if contender.name != SPREAD],
        "spread": next(contender.row() for contender in contenders if contender.name == SPREAD),
        "hotOverSpread": round(hot / rate[SPREAD], 3),
        "groupCommitOverTransaction": round(hot / rate[TransactionPerRequest.name], 1),
        "groupCommitOverConditional": round(hot / rate[ConditionalUpdate.name], 2),
    }


def _contenders(client: Any, plan: ContentionPlan) -> Iterator[Contender]:
    for kind in STRATEGIES:
        yield _contender(kind.name, kind, [HOT], client, plan)
    yield _contender(SPREAD, GroupCommit, [f"SKU-{number:05}" for number in range(plan.skus)], client, plan)


def _contender(name: str, kind: type[Strategy], skus: Sequence[str], client: Any, plan: ContentionPlan) -> Contender:
    database = client[f"bench_contention_{name}"]
    return Contender(name, kind(client, database, random.Random(plan.seed)), skus)


async def _turn(client: Any, contender: Contender, plan: ContentionPlan) -> None:
    """Closed loop: each buyer checks out again as soon as it has its answer, until the turn is over."""
    choose, orders = random.Random(plan.seed), iter(range(plan.orders or 2**63))
    conflicts = await _write_conflicts(client)
    started = perf_counter()
    ends = started + (plan.seconds if plan.orders is None else float("inf"))

    async def buyer() -> None:
        while perf_counter() < ends and next(orders, None) is not None:
            asked = perf_counter()
            accepted = await contender.strategy.buy(choose.choice(contender.skus))
            contender.accepted += accepted
            contender.latencies_ms.append((perf_counter() - asked) * 1_000)

    await asyncio.gather(*(buyer() for _ in range(plan.buyers)))
    contender.wall_seconds += perf_counter() - started
    contender.write_conflicts += await _write_conflicts(client) - conflicts


async def _audit(contender: Contender) -> None:
    held = await contender.strategy.held()
    contender.oversold += sum(max(0, units - AMPLE_UNITS) for units in held.values())
    if sum(held.values()) != contender.accepted:
        raise UnitsMissing(f"{contender.name}: {contender.accepted} accepted, {sum(held.values())} held")


async def _sell_out(contender: Contender, plan: ContentionPlan) -> None:
    """Twice as many buyers as there are units, all at once: the holds must stop at the stock."""
    await contender.strategy.stock([HOT], plan.scarce_units)
    attempts = max(2 * plan.scarce_units, plan.buyers)
    await asyncio.gather(*(contender.strategy.buy(HOT) for _ in range(attempts)))
    held = await contender.strategy.held()
    contender.oversold += max(0, held.get(HOT, 0) - plan.scarce_units)


async def _write_conflicts(client: Any) -> int:
    status = await client.admin.command("serverStatus")
    return int(status["metrics"]["operation"]["writeConflicts"])
