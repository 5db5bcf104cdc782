"""One simulation from its seed to its verdict, and many seeds in a row."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from workloads.simulation.checks.auditor import SUCCESS, UNKNOWN
from workloads.simulation.checks.conservation import Violation
from workloads.simulation.mongo.store import Change
from workloads.simulation.scenarios import Scenario, play
from workloads.simulation.world.faults import NO_FAULTS, FaultPlan
from workloads.simulation.world.loop import Deadlock, Livelock
from workloads.simulation.world.shop import Setting, SimulatedShop

LIFTED = 1_000_000.0
OVERSELLING = {"oversold", "sold_without_stock"}
MakeScenario = Callable[[int], Scenario]


class Digest:
    """A fingerprint of everything that was committed, in its order and at its virtual time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._hash = now, hashlib.blake2b(digest_size=16)

    def hear(self, changes: list[Change]) -> None:
        for collection, key, _, after in changes:
            self._hash.update(f"{self._now()!r} {collection} {key} {after!r}\n".encode())

    def text(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. Times are seconds; counts are of orders unless named otherwise."""

    digest: str
    seed: int
    simulated_seconds: float
    wall_seconds: float
    orders: int
    paid: int
    expired: int
    checkouts: int
    refused: int
    unknown: int
    lost_sales: int
    oversold: int
    crashes: int
    write_conflicts: int
    faults: dict[str, int]
    violations: tuple[Violation, ...]
    phantom_sold_out_seconds: float
    hold_use: float
    units_sold: int

    def document(self) -> dict[str, Any]:
        """The contract's keys and more, in camelCase."""
        return {
            "digest": self.digest,
            "seed": self.seed,
            "simulatedSeconds": round(self.simulated_seconds, 3),
            "wallSeconds": round(self.wall_seconds, 3),
            "timesRealTime": round(self.simulated_seconds / self.wall_seconds),
            "orders": self.orders,
            "paid": self.paid,
            "expired": self.expired,
            "checkouts": self.checkouts,
            "refused": self.refused,
            "unknown": self.unknown,
            "lostSales": self.lost_sales,
            "oversold": self.oversold,
            "crashes": self.crashes,
            "writeConflicts": self.write_conflicts,
            "faults": self.faults,
            "phantomSoldOutMinutes": round(self.phantom_sold_out_seconds / 60, 3),
            "holdUse": round(self.hold_use, 4),
            "unitsSold": self.units_sold,
            "violations": [
                {"rule": found.rule, "atSeconds": round(found.at_seconds, 6), "detail": found.detail}
                for found in self.violations
            ],
        }


def simulate(make: MakeScenario, seed: int, setting: Setting | None = None, plan: FaultPlan = NO_FAULTS) -> Outcome:
    """Runs the scenario of this seed. The same seed and code give the same digest, in any process."""
    started = time.perf_counter()
    scenario = make(seed)
    shop = SimulatedShop(seed, _setting_for(scenario, setting or Setting()), plan)
    digest = Digest(shop.world.loop.time)
    shop.world.store.listeners.append(digest.hear)
    try:
        shop.world.run(lambda: play(scenario, shop))
    except (Deadlock, Livelock) as stuck:
        shop.auditor.conservation.violate("stuck", f"{type(stuck).__name__}: {stuck}")
    return _outcome(shop, digest.text(), time.perf_counter() - started)


def _setting_for(scenario: Scenario, setting: Setting) -> Setting:
    return setting if scenario.limited else replace(setting, config=replace(setting.config, rate_limit_scale=LIFTED))


def _outcome(shop: SimulatedShop, digest: str, wall_seconds: float) -> Outcome:
    auditor, processes = shop.auditor, [*shop.processes, shop.worker]
    orders = [facts for facts in auditor.conservation.orders.values() if facts.document is not None]
    checkouts = [operation for operation in auditor.operations if operation.kind == "checkout"]
    met: dict[str, int] = {}
    for luck in (*(process.luck for process in processes), shop.provider.luck):
        for fault, count in luck.met.items():
            met[fault] = met.get(fault, 0) + count
    return Outcome(
        digest=digest,
        seed=shop.seed,
        simulated_seconds=shop.world.loop.time(),
        wall_seconds=wall_seconds,
        orders=len(orders),
        paid=sum(bool(facts.held("confirmed")) for facts in orders),
        expired=sum(bool(facts.held("expired")) for facts in orders),
        checkouts=len(checkouts),
        refused=sum(operation.outcome != SUCCESS and bool(operation.code) for operation in checkouts),
        unknown=sum(operation.outcome == UNKNOWN for operation in auditor.operations),
        lost_sales=auditor.lost_sales(),
        oversold=sum(violation.rule in OVERSELLING for violation in auditor.violations),
        crashes=sum(process.crashes for process in processes),
        write_conflicts=shop.world.store.write_conflicts,
        faults=dict(sorted(met.items())),
        violations=tuple(auditor.violations),
        phantom_sold_out_seconds=auditor.timeline.phantom_sold_out_seconds(),
        hold_use=auditor.timeline.hold_use(),
        units_sold=sum(sum(facts.held("confirmed").values()) for facts in orders),
    )
