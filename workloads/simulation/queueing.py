"""Two independent words on what the simulation says: a formula, and a model of a few lines in another engine.

*Erlang's loss formula.* Units of one SKU that nobody ever pays for are servers: a buyer occupies one until the hold
ends, a buyer who finds none is lost. With Poisson arrivals the share that is lost depends on the mean holding time
alone, which is the hold's length plus the wait for the sweep.

*SimPy.* A `Drop` of one SKU, written down again from its description: no database, no ledger, no shared code.
"""

import math
import random
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simpy

from workloads.model.shoppers import Habits, Shop, flash_buyer
from workloads.simulation.runs import outcomes
from workloads.simulation.scenarios import Drop, Scenario, VisitMaker
from workloads.simulation.simulate import simulate
from workloads.simulation.studies import interval
from workloads.simulation.world.shop import Setting


def erlang_loss(servers: int, load: float) -> float:
    """The share of arrivals that find all servers busy; `load` is arrivals per second times mean holding seconds."""
    loss = 1.0
    for busy in range(1, servers + 1):
        loss = load * loss / (busy + load * loss)
    return loss


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an independent word predicts, what the simulation gives with its interval, and how far apart they are."""

    metric: str
    predicted: float
    simulated: float
    low: float
    high: float

    @property
    def relative_error(self) -> float:
        return abs(self.simulated - self.predicted) / self.predicted


@dataclass(frozen=True, slots=True)
class Leavers:
    """Buyers of one SKU who take a unit into the checkout and are never seen again."""

    units: int = 10
    rate_per_second: float = 0.01
    hours: float = 60.0

    def scenario(self, seed: int) -> Scenario:
        shop = Shop(("sku",), habits=Habits(walk_away_chance=1.0))
        times = np.sort(np.random.default_rng(seed).uniform(0, self.hours * 3600, self._count(seed)))
        visits: list[tuple[float, VisitMaker]] = [(float(at), _checkout(shop)) for at in times]
        return Scenario("leavers", {"sku": self.units}, visits)

    def _count(self, seed: int) -> int:
        return int(np.random.default_rng(seed + 1_000_000).poisson(self.rate_per_second * self.hours * 3600))


def _checkout(shop: Shop) -> VisitMaker:
    return lambda chance: flash_buyer(chance, shop, "sku")


def against_erlang(
    leavers: Leavers | None = None, setting: Setting | None = None, seeds: range = range(8)
) -> Agreement:
    """The share of buyers refused: by the formula, and by the real use cases. A run starts empty, which makes its share
    a little too small: by the holding time over the run's length, half a percent for the default."""
    leavers = leavers or Leavers()
    setting = setting or Setting(sweep_interval_seconds=60, reconcile_interval_seconds=3600)
    holding_seconds = setting.config.reservation_ttl_seconds + setting.sweep_interval_seconds / 2
    predicted = erlang_loss(leavers.units, leavers.rate_per_second * holding_seconds)
    shares = []
    for seed in seeds:
        outcome = simulate(leavers.scenario, seed, setting)
        shares.append(outcome.refused / outcome.checkouts)
    return Agreement("refused share", predicted, *interval(np.array(shares)))


def against_simpy(
    drop: Drop | None = None, setting: Setting | None = None, seeds: range = range(20)
) -> list[Agreement]:
    """Paid orders and refused checkouts of a one-SKU drop: SimPy's mean over many runs, and the real use cases'."""
    drop, setting = replace(drop or Drop(buyers=60, units=25), skus=1), setting or Setting()
    models = [SimpyDrop(drop, setting, seed).run() for seed in range(40 * len(seeds))]
    with outcomes(drop, seeds, setting) as found:
        real = [(outcome.paid, outcome.refused) for outcome in found]
    return [
        Agreement(metric, float(np.mean([model[n] for model in models])), *interval(np.array([run[n] for run in real])))
        for n, metric in enumerate(("paid orders", "refused checkouts"))
    ]


class SimpyDrop:
    """One SKU, Poisson buyers of one unit each, holds that are paid, cancelled, declined or left to expire."""

    def __init__(self, drop: Drop, setting: Setting, seed: int) -> None:
        self._drop, self._setting = drop, setting
        self._random = random.Random(f"simpy {seed}")
        self._env = simpy.Environment()
        self._free, self.paid, self.refused = drop.units, 0, 0

    def run(self) -> tuple[int, int]:
        """(paid orders, refused checkouts)."""
        self._env.process(self._arrivals())
        self._env.run()
        return self.paid, self.refused

    def _arrivals(self) -> Generator[simpy.Event, Any, None]:
        seconds = self._drop.hours * 3600
        while self._env.now < seconds:
            yield self._env.timeout(self._random.expovariate(self._drop.buyers / seconds))
            if self._env.now < seconds:
                self._env.process(self._buyer())

    def _buyer(self) -> Generator[simpy.Event, Any, None]:
        habits = self._drop.habits
        if not self._take():
            return
        fate, began_at = self._random.random(), self._env.now
        yield self._env.timeout(habits.payment_median_seconds * math.exp(self._random.gauss(0, habits.payment_sigma)))
        if fate < habits.walk_away_chance:
            yield from self._expire(began_at)
        elif fate < habits.walk_away_chance + habits.cancel_chance:
            self._free += 1
        elif self._random.random() >= habits.bad_card_chance:
            self.paid += 1
        else:
            self._declined(habits.other_card_chance)

    def _expire(self, began_at: float) -> Generator[simpy.Event, Any, None]:
        """Freed by the first sweep after the hold's end."""
        every = self._setting.sweep_interval_seconds
        ends = began_at + self._setting.config.reservation_ttl_seconds
        yield self._env.timeout(max(0.0, math.ceil(ends / every) * every - self._env.now))
        self._free += 1

    def _declined(self, other_card_chance: float) -> None:
        self._free += 1
        if self._random.random() < other_card_chance and self._take():
            self.paid += 1

    def _take(self) -> bool:
        if self._free == 0:
            self.refused += 1
            return False
        self._free -= 1
        return True
