"""What if? One thing about the shop is varied, everything else stays, and the real use cases are run for each value.

The same seeds serve every value (common random numbers), so a difference between two values is theirs and not the
luck of different customers; intervals are 95 % Student intervals over the seeds.

    study("hold_length", [300, 900, 1800], seeds=20)      # a frame: value, metric, mean, low, high, difference …
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from workloads.simulation.runs import outcomes
from workloads.simulation.scenarios import Drop
from workloads.simulation.simulate import SimulationOutcome
from workloads.simulation.world.shop import Setting

CONFIDENCE = 0.95
Vary = Callable[[Drop, Setting, Any], tuple[Drop, Setting]]


def _hold_length(drop: Drop, setting: Setting, seconds: float) -> tuple[Drop, Setting]:
    return drop, replace(setting, config=replace(setting.config, reservation_ttl_seconds=seconds))


def _sweep_interval(drop: Drop, setting: Setting, seconds: float) -> tuple[Drop, Setting]:
    return drop, replace(setting, sweep_interval_seconds=seconds)


def _time_to_pay(drop: Drop, setting: Setting, median_seconds: float) -> tuple[Drop, Setting]:
    return replace(drop, habits=replace(drop.habits, payment_median_seconds=median_seconds)), setting


def _payment_latency(drop: Drop, setting: Setting, mean_seconds: float) -> tuple[Drop, Setting]:
    return drop, replace(setting, provider=replace(setting.provider, latency_mean=mean_seconds))


def _payment_failure(drop: Drop, setting: Setting, share: float) -> tuple[Drop, Setting]:
    return replace(drop, habits=replace(drop.habits, bad_card_chance=share)), setting


def _walk_away(drop: Drop, setting: Setting, share: float) -> tuple[Drop, Setting]:
    return replace(drop, habits=replace(drop.habits, walk_away_chance=share)), setting


def _popularity_skew(drop: Drop, setting: Setting, exponent: float) -> tuple[Drop, Setting]:
    return replace(drop, zipf_exponent=exponent), setting


def _stock_depth(drop: Drop, setting: Setting, units: int) -> tuple[Drop, Setting]:
    return replace(drop, units=units), setting


def _arrival_shape(drop: Drop, setting: Setting, shape: str) -> tuple[Drop, Setting]:
    return replace(drop, shape=shape), setting


# What can be varied, and the values that are tried when none are given.
PARAMETERS: dict[str, tuple[Vary, tuple[Any, ...]]] = {
    "hold_length": (_hold_length, (300, 600, 900, 1800)),
    "sweep_interval": (_sweep_interval, (30, 60, 300, 900)),
    "time_to_pay": (_time_to_pay, (10, 25, 120, 600)),
    "payment_latency": (_payment_latency, (0.2, 0.8, 3.0, 8.0)),
    "payment_failure": (_payment_failure, (0.0, 0.04, 0.15, 0.3)),
    "walk_away": (_walk_away, (0.0, 0.1, 0.25, 0.5)),
    "popularity_skew": (_popularity_skew, (0.0, 0.5, 1.0, 1.5)),
    "stock_depth": (_stock_depth, (5, 10, 20, 40)),
    "arrival_shape": (_arrival_shape, ("even", "poisson", "rush")),
}


def study(
    parameter: str,
    values: Sequence[Any] | None = None,
    *,
    seeds: int = 20,
    first_seed: int = 1,
    drop: Drop | None = None,
    setting: Setting | None = None,
    processes: int = 1,
) -> pd.DataFrame:
    """One row per value and metric: parameter, value, metric, mean, low, high, and the paired difference from the
    first value with its interval. Raises RuntimeError when a run broke the conservation law."""
    vary, usual = PARAMETERS[parameter]
    values = usual if values is None else values
    drop, setting = drop or Drop(), setting or Setting()
    per_seed = [
        _runs(*vary(drop, setting, value), range(first_seed, first_seed + seeds), processes) for value in values
    ]
    rows = [
        {"parameter": parameter, "value": value, "metric": metric, **_summary(runs[metric], per_seed[0][metric])}
        for value, runs in zip(values, per_seed, strict=True)
        for metric in runs.columns
    ]
    return pd.DataFrame(rows).assign(seeds=seeds)


def _runs(drop: Drop, setting: Setting, seeds: range, processes: int) -> pd.DataFrame:
    """One row per seed, one column per metric."""
    with outcomes(drop, seeds, setting, processes=processes) as found:
        return pd.DataFrame([_metrics(outcome, drop) for outcome in _sound(found)])


def _sound(found: Iterable[SimulationOutcome]) -> Iterable[SimulationOutcome]:
    for outcome in found:
        if outcome.violations:
            raise RuntimeError(f"seed {outcome.seed}: {outcome.violations[0]}")
        yield outcome


def _metrics(outcome: SimulationOutcome, drop: Drop) -> dict[str, float]:
    """Per run. `lost_sales` are customers; `phantom_minutes` summed over SKUs; `hold_use` and `sell_through` shares."""
    return {
        "paid_orders": outcome.paid,
        "refused": outcome.refused,
        "lost_sales": outcome.lost_sales,
        "expired": outcome.expired,
        "phantom_minutes": outcome.phantom_sold_out_seconds / 60,
        "hold_use": outcome.hold_use,
        "sell_through": outcome.units_sold / drop.stock,
    }


def _summary(values: pd.Series, reference: pd.Series) -> dict[str, float]:
    mean, low, high = interval(values.to_numpy(dtype=float))
    difference, difference_low, difference_high = interval((values - reference).to_numpy(dtype=float))
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "difference": difference,
        "difference_low": difference_low,
        "difference_high": difference_high,
    }


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of a Student interval; with one value, or none that differ, the mean thrice."""
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return mean, mean, mean
    half = float(stats.sem(values) * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return mean, mean - half, mean + half
