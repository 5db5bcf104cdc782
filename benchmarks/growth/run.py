"""Fills the three databases, then measures them in turns, so that what disturbs the machine disturbs them all alike."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import uvloop

from benchmarks.growth.data import Size, fill
from benchmarks.growth.turns import KINDS, Contestant, Turn, contestant
from benchmarks.percentiles import median_interval
from service.config import Config
from service.infra import mongo
from service.infra.embedded import Stores
from service.orders.audit import Audit

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`large` is the number of SKUs of the one large shop and of past orders of the other."""

    large: int = 1_000_000
    small: int = 1_000
    buyers: int = 64
    rounds: int = 20
    seconds: float = 0.4
    warm_up_seconds: float = 10.0
    audit_all: bool = False
    seed: int = 1

    @property
    def sizes(self) -> tuple[Size, ...]:
        return (
            Size("small", self.small, self.small),
            Size("many_skus", self.large, self.small),
            Size("many_orders", self.small, self.large),
        )

    @property
    def steps(self) -> int:
        return sum(size.steps + 2 for size in self.sizes) + self.rounds


QUICK = Plan(large=4_000, small=400, buyers=16, rounds=6, seconds=0.1, warm_up_seconds=0.2, audit_all=True)


def run(stores: Stores, plan: Plan, step: Step) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(stores, plan, step))


async def _run(stores: Stores, plan: Plan, step: Step) -> dict[str, Any]:
    config = Config(mongodb_uri=stores.mongodb_uri, redis_url=stores.redis_url)
    contestants = [contestant(size, config, plan.seed) for size in plan.sizes]
    with mongo.patient(config) as patient:
        try:
            audits = await _measured(patient, contestants, plan, step)
        finally:
            for each in contestants:
                await patient.drop_database(each.database.name)
                each.shop.stores.client.close()
                await each.shop.stores.redis.aclose()
    return report(contestants, plan, audits)


async def _measured(
    patient: Any, contestants: Sequence[Contestant], plan: Plan, step: Step
) -> Mapping[str, bool | None]:
    """All turns; returns what the audits said."""
    for each in contestants:
        await _fill(patient, each, plan, step)
    for each in contestants:
        await each.turn("spread", plan.buyers, plan.warm_up_seconds)
        await each.count()
        step(f"{each.size.name}: warm")
    for number in range(plan.rounds):
        await _round(contestants, number, plan)
        step(f"round {number + 1}")
    return {each.size.name: await _audited(patient, each, plan, step) for each in contestants}


async def _fill(patient: Any, each: Contestant, plan: Plan, step: Step) -> None:
    started = time.perf_counter()
    await patient.drop_database(each.database.name)
    await fill(patient[each.database.name], each.size, plan.seed, step)
    each.fill_seconds = time.perf_counter() - started


async def _round(contestants: Sequence[Contestant], number: int, plan: Plan) -> None:
    """Whoever came first comes last in the next round."""
    at = number % len(contestants)
    for kind in KINDS:
        for each in (*contestants[at:], *contestants[:at]):
            each.turns[kind].append(await each.turn(kind, plan.buyers, plan.seconds))


async def _audited(patient: Any, each: Contestant, plan: Plan, step: Step) -> bool | None:
    """None for a large shop that was not asked for: reading a million orders takes minutes."""
    ok = None
    if plan.audit_all or max(each.size.skus, each.size.orders) == plan.small:
        audit = Audit(patient, patient[each.database.name], each.shop.clock)
        ok = bool((await audit.run())["ok"])
    step(f"{each.size.name}: audited")
    return ok


def report(contestants: Sequence[Contestant], plan: Plan, audits: Mapping[str, bool | None]) -> dict[str, Any]:
    small, *large = contestants
    rows = [small.row()]
    for each in large:
        growth = {kind: _growth(small.turns[kind], each.turns[kind]) for kind in KINDS}
        rows.append({**each.row(), "growth": growth})
    return {
        "buyers": plan.buyers,
        "rounds": plan.rounds,
        "databases": [{**row, "auditOk": audits[row["name"]]} for row in rows],
    }


def _growth(small: Sequence[Turn], large: Sequence[Turn]) -> dict[str, Any]:
    """How many times as long a checkout takes in the large shop, and how many times the CPU."""
    pairs = list(zip(small, large, strict=True))
    return {
        "time": _ratio([one.per_second / other.per_second for one, other in pairs]),
        "cpu": _ratio([other.cpu_ms / one.cpu_ms for one, other in pairs]),
    }


def _ratio(of_rounds: Sequence[float]) -> dict[str, float]:
    low, high = median_interval(of_rounds)
    return {"median": round(median(of_rounds), 3), "low": round(low, 3), "high": round(high, 3)}
