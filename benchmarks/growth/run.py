"""Fills the three databases, then measures them in turns, so that what disturbs the machine disturbs them all alike."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import uvloop

from benchmarks.growth.contestant import KINDS, Contestant, Waves, contestant
from benchmarks.growth.data import Size, fill
from benchmarks.kit.percentiles import median_interval
from service.config import Config
from service.infra.mongo import client as mongo
from service.orders.invariants import Audit
from service.stack.embedded import EmbeddedStores, Mongod

Step = Callable[[str], None]
CACHE = "cache_size=3GB"  # a shop has a server with 1 GB of cache to itself; here three share one


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """`large` is the number of SKUs of the one large shop and of past orders of the other."""

    large: int = 1_000_000
    small: int = 1_000
    buyers: int = 64
    rounds: int = 30
    waves: int = 20
    warm_up_checkouts: int = 12_000
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


QUICK = GrowthPlan(large=4_000, small=400, buyers=16, rounds=6, waves=3, warm_up_checkouts=64, audit_all=True)


def run(stores: EmbeddedStores, plan: GrowthPlan, step: Step) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(stores, plan, step))


async def _run(stores: EmbeddedStores, plan: GrowthPlan, step: Step) -> dict[str, Any]:
    config = Config(mongodb_uri=stores.mongodb_uri, redis_url=stores.redis_url)
    contestants = [contestant(size, config, plan.seed) for size in plan.sizes]
    with mongo.client_without_timeout(config) as patient:
        if any(isinstance(server, Mongod) for server in stores.servers):
            await patient.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=CACHE)
        try:
            audits = await _measured(patient, contestants, plan, step)
        finally:
            for each in contestants:
                await patient.drop_database(each.database.name)
                each.shop.stores.client.close()
                await each.shop.stores.redis.aclose()
    return report(contestants, plan, audits)


async def _measured(
    patient: Any, contestants: Sequence[Contestant], plan: GrowthPlan, step: Step
) -> Mapping[str, bool | None]:
    """Every round; returns what the audits said."""
    for each in contestants:
        await _fill(patient, each, plan, step)
    for each in contestants:
        await each.warm_up(plan.warm_up_checkouts, plan.buyers)
        await each.count()
        step(f"{each.size.name}: warm")
    for number in range(plan.rounds):
        await _round(contestants, plan)
        step(f"round {number + 1}")
    return {each.size.name: await _audited(patient, each, plan, step) for each in contestants}


async def _fill(patient: Any, each: Contestant, plan: GrowthPlan, step: Step) -> None:
    started = time.perf_counter()
    await patient.drop_database(each.database.name)
    await fill(patient[each.database.name], each.size, plan.seed, step)
    each.fill_seconds = time.perf_counter() - started


async def _round(contestants: Sequence[Contestant], plan: GrowthPlan) -> None:
    """One wave here, one there: whatever slows the machine down for longer than that slows all of them."""
    for kind in KINDS:
        for each in contestants:
            each.begin_round(kind, plan.buyers)
        for number in range(plan.waves):
            at = number % len(contestants)  # nobody always comes after the same one
            for each in (*contestants[at:], *contestants[:at]):
                await each.wave(kind)


async def _audited(patient: Any, each: Contestant, plan: GrowthPlan, step: Step) -> bool | None:
    """None for a large shop that was not asked for: reading a million orders takes minutes."""
    ok = None
    if plan.audit_all or max(each.size.skus, each.size.orders) == plan.small:
        audit = Audit(patient, patient[each.database.name], each.shop.clock)
        ok = bool((await audit.run())["ok"])
    step(f"{each.size.name}: audited")
    return ok


def report(contestants: Sequence[Contestant], plan: GrowthPlan, audits: Mapping[str, bool | None]) -> dict[str, Any]:
    small, *large = contestants
    rows = [small.row()]
    for each in large:
        growth = {kind: _growth(small.rounds[kind], each.rounds[kind]) for kind in KINDS}
        rows.append({**each.row(), "growth": growth})
    return {
        "buyers": plan.buyers,
        "rounds": plan.rounds,
        "databases": [{**row, "auditOk": audits[row["name"]]} for row in rows],
    }


def _growth(small: Sequence[Waves], large: Sequence[Waves]) -> dict[str, Any]:
    """How many times as long all checkouts take in the large shop, the median wave of them, and their CPU."""
    pairs = list(zip(small, large, strict=True))
    return {
        "time": _ratio([one.per_second / other.per_second for one, other in pairs]),
        "p50": _ratio([other.p50_ms / one.p50_ms for one, other in pairs]),
        "cpu": _ratio([other.cpu_ms_each / one.cpu_ms_each for one, other in pairs]),
    }


def _ratio(of_rounds: Sequence[float]) -> dict[str, float]:
    low, high = median_interval(of_rounds)
    return {"median": round(median(of_rounds), 3), "low": round(low, 3), "high": round(high, 3)}
