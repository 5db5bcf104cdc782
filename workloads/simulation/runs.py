"""Many seeds in a row, on one core or several, added up as they come."""

import gc
import hashlib
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from workloads.simulation.scenarios import Drop, FlashSale, Steady, Trace
from workloads.simulation.simulate import SimulationOutcome, simulate
from workloads.simulation.world.faults import NO_FAULTS, FaultPlan
from workloads.simulation.world.shop import Setting

Scenarios = FlashSale | Steady | Trace | Drop
COUNTED = (
    "orders", "paid", "expired", "checkouts", "refused", "unknown", "lostSales", "oversold", "crashes",
    "writeConflicts", "unitsSold",
)  # fmt: skip
EXAMPLES_MAX = 100
GARBAGE_OBJECTS = 20_000


def run_seed(scenario: Scenarios, setting: Setting, plan: FaultPlan, seed: int) -> SimulationOutcome:
    return simulate(scenario.scenario, seed, setting, plan)


def prepare() -> None:
    """A process for many runs. Injected faults are not news: the service's own warnings about them stay off stderr.
    What is loaded by now stays, so the collector need not look through it again and again."""
    logging.getLogger("service").setLevel(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


@contextmanager
def outcomes(
    scenario: Scenarios, seeds: range, setting: Setting | None = None, plan: FaultPlan = NO_FAULTS, processes: int = 1
) -> Iterator[Iterator[SimulationOutcome]]:
    """The outcomes in the order of the seeds; leaving the block stops the helpers."""
    one: Callable[[int], SimulationOutcome] = partial(run_seed, scenario, setting or Setting(), plan)
    if processes == 1:
        yield map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, initializer=prepare) as pool:
        yield pool.imap(one, seeds, chunksize=4)


def record(outcome: SimulationOutcome) -> dict[str, Any]:
    """What is kept of one run among many."""
    document = outcome.document()
    kept = ("seed", "digest", "simulatedSeconds", "wallSeconds", *COUNTED, "faults", "violations")
    return {name: document[name] for name in kept}


@dataclass(slots=True)
class Totals:
    """What many runs came to. The digest covers every run's digest, in the order of the seeds."""

    first_seed: int
    runs: int = 0
    simulated_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failing_seeds: list[int] = field(default_factory=list)
    violations: list[dict[str, Any]] = field(default_factory=list)
    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def add(self, record: Mapping[str, Any]) -> None:
        self.runs += 1
        self.simulated_seconds += record["simulatedSeconds"]
        self.counts.update({name: record[name] for name in COUNTED})
        self.faults.update(record["faults"])
        self.digest.update(record["digest"].encode())
        if record["violations"]:
            self.failing_seeds.append(record["seed"])
            self.violations += [{"seed": record["seed"], **violation} for violation in record["violations"]]
            del self.violations[EXAMPLES_MAX:]

    def document(self, wall_seconds: float) -> dict[str, Any]:
        """`wall_seconds` is what all of the runs took."""
        return {
            "digest": self.digest.hexdigest(),
            "seed": self.first_seed,
            "seeds": self.runs,
            "seedsPerMinute": round(60 * self.runs / wall_seconds, 1),
            "simulatedSeconds": round(self.simulated_seconds, 3),
            "wallSeconds": round(wall_seconds, 3),
            "timesRealTime": round(self.simulated_seconds / wall_seconds),
            **{name: self.counts[name] for name in COUNTED},
            "faults": dict(sorted(self.faults.items())),
            "failingSeeds": self.failing_seeds,
            "violations": self.violations,
        }
