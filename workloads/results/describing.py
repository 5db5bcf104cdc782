"""Owns the description of one run beside another: how far their figures are apart, and how much of that the noise
inside the runs explains. It is no judgement: two runs say nothing of how runs of the same code differ."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.model import outcomes
from workloads.results import reader as results
from workloads.results.figures import ALL_ROUTES, PERCENTILES, Difference, is_positive, run_seconds
from workloads.results.run_statistics import block_draws, block_length

DRAWS = 1_000
SLICES_MIN, SLICES_MAX = 20, 600
SLICE_SECONDS = 1.0
CONFIDENCE = 0.95
# Latency in milliseconds, binned finely enough that a percentile is off by half a percent at most.
EDGES = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 2_100), [np.inf]])
DESCRIBED = "described"

Array = NDArray[np.float64]


def describe(a: pd.DataFrame, b: pd.DataFrame, seed: int) -> list[Difference]:
    """Every figure of both, with an interval from resampling blocks of time within each run."""
    random = np.random.default_rng(seed)
    found = list(_route(ALL_ROUTES, a, b, random))
    shared = sorted(set(a["route"].unique()) & set(b["route"].unique()))
    for route in shared if len(shared) > 1 else ():
        found += _route(str(route), a[a["route"] == route], b[b["route"] == route], random)
    return found


def _route(route: str, a: pd.DataFrame, b: pd.DataFrame, random: np.random.Generator) -> Iterator[Difference]:
    resampled = [_Resampled(side, random) for side in (a, b)]
    for metric, level in PERCENTILES.items():
        exact = [results.exact_percentile(results.counted_ms(side), level) for side in (a, b)]
        yield _difference(route, metric, exact, [side.percentile(level) for side in resampled])
    rates = [side.rate for side in resampled]
    yield _difference(route, "requestsPerSecond", rates, [side.rates() for side in resampled])


def _difference(route: str, metric: str, exact: list[float], draws: list[Array]) -> Difference:
    a, b = exact
    shown = (results.finite(a), results.finite(b))
    if not (is_positive(a) and is_positive(b)):
        return Difference(route, metric, *shown, None, None, None, DESCRIBED)
    with np.errstate(invalid="ignore", divide="ignore"):
        changes = draws[1] / draws[0] - 1
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(level) for level in np.nanquantile(changes, [tail, 1 - tail], method="nearest"))
    change, lowest, highest = (
        results.finite(number, 4) if math.isfinite(number) else None for number in (b / a - 1, low, high)
    )
    return Difference(route, metric, *shown, change, lowest, highest, DESCRIBED)


class _Resampled:
    """Bootstrap draws of one run: blocks of neighbouring slices of time drawn with replacement, as long as the data
    says that neighbours hang together, each slice a histogram of its latencies."""

    def __init__(self, requests: pd.DataFrame, random: np.random.Generator) -> None:
        self.seconds = run_seconds(requests)
        slices = int(np.clip(self.seconds / SLICE_SECONDS, SLICES_MIN, SLICES_MAX))
        since = (requests["intended"] - requests["intended"].min()).to_numpy()
        at = np.minimum((since / self.seconds * slices).astype(int), slices - 1)
        latency = results.counted_ms(requests).fillna(np.inf).clip(lower=0).to_numpy()
        bins = np.minimum(np.searchsorted(EDGES, latency, side="right") - 1, len(EDGES) - 2)
        size = len(EDGES) - 1
        histograms = np.bincount(at * size + bins, minlength=slices * size).reshape(slices, size).astype(float)
        good = ~requests["outcome"].isin(outcomes.UNSERVED).to_numpy()
        weights = block_draws(slices, block_length(_mood(histograms)), DRAWS, random)
        self._cumulative = np.cumsum(weights @ histograms, axis=1)
        self._good = weights @ np.bincount(at, weights=good, minlength=slices)
        self.rate = float(good.sum()) / self.seconds

    def percentile(self, percentile: float) -> Array:
        ranks = self._cumulative[:, -1:] * percentile / 100
        bins = (self._cumulative >= ranks).argmax(axis=1)
        return np.where(np.isinf(EDGES[bins + 1]), np.inf, np.sqrt(np.maximum(EDGES[bins], 5e-4) * EDGES[bins + 1]))

    def rates(self) -> Array:
        drawn: Array = self._good / self.seconds
        return drawn


def _mood(histograms: Array) -> Array:
    """Of each slice the mean bin, which is a mean of log latencies; slices without a request are passed over."""
    counts = histograms.sum(axis=1)
    mood: Array = (histograms @ np.arange(histograms.shape[1]))[counts > 0] / counts[counts > 0]
    return mood
