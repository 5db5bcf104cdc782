"""Owns what is compared of a run: per route and over all, the figures that stand for it, each one number a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from workloads.model import outcomes
from workloads.results import reader as results

ALL_ROUTES = "all"
PERCENTILES = {"p50Ms": 50.0, "p95Ms": 95.0, "p99Ms": 99.0}
METRICS = (*PERCENTILES, "requestsPerSecond", "failureShare")
MORE_IS_BETTER = frozenset({"requestsPerSecond"})

# By route and metric: milliseconds, requests a second, a share of 1. A percentile that does not exist is infinite.
Figures = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Difference:
    """`change` is B relative to A (0.1 is ten per cent more), `low` and `high` its confidence interval, `p` its
    probability by chance alone (adjusted), `detectable` the change that would have been found four times in five; None
    where a figure does not exist or was not asked for. `verdict`: better, worse, same, unsure, or described."""

    route: str
    metric: str
    a: float | None
    b: float | None
    change: float | None
    low: float | None
    high: float | None
    verdict: str
    p: float | None = None
    detectable: float | None = None


def figures_of(requests: pd.DataFrame) -> dict[tuple[str, str], float]:
    seconds = run_seconds(requests)
    found = _figures(ALL_ROUTES, requests, seconds)
    routes = requests.groupby("route", observed=True)
    for route, rows in routes if routes.ngroups > 1 else ():
        found |= _figures(str(route), rows, seconds)
    return found


def run_seconds(requests: pd.DataFrame) -> float:
    """How long requests were meant to be sent for."""
    return max(float(requests["intended"].max() - requests["intended"].min()), 1e-6)


def _figures(route: str, rows: pd.DataFrame, seconds: float) -> dict[tuple[str, str], float]:
    counted, failed = results.counted_ms(rows), int(rows["outcome"].isin(outcomes.UNSERVED).sum())
    found = {(route, name): results.exact_percentile(counted, level) for name, level in PERCENTILES.items()}
    found[route, "requestsPerSecond"] = (len(rows) - failed) / seconds
    found[route, "failureShare"] = failed / len(rows)
    return found


def is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
