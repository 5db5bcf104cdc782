"""Owns the comparison of two runs: figures side by side, each difference with its confidence interval, and a verdict in
plain words. Requests close in time slow down together, so whole slices of a run are resampled, never single ones."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.model import outcomes
from workloads.results import reader as results
from workloads.results.reader import Run

DRAWS = 2_000
BLOCKS_MIN, BLOCKS_MAX = 20, 600
BLOCK_SECONDS = 1.0
CONFIDENCE = 0.95
# A change smaller than this is not worth a word, however sure it is.
WORTH_MENTIONING = 0.03
# Latency in milliseconds, binned finely enough that a percentile is off by half a percent at most.
EDGES = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 2_100), [np.inf]])
PERCENTILES = {"p50Ms": 50.0, "p95Ms": 95.0, "p99Ms": 99.0}
ALL_ROUTES = "all"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """`change` is B relative to A (0.1 is ten per cent more), `low` and `high` its confidence interval; None where a
    figure does not exist. `verdict`: better, worse, same, or unsure."""

    route: str
    metric: str
    a: float | None
    b: float | None
    change: float | None
    low: float | None
    high: float | None
    verdict: str


def compare(a: Run, b: Run, seed: int = 1) -> dict[str, Any]:
    """`{a, b, verdict, warnings, confidence, metrics: [Difference]}`."""
    differences = list(_differences(a.requests, b.requests, np.random.default_rng(seed)))
    return {
        "a": _headline(a),
        "b": _headline(b),
        "verdict": _verdict(differences, b.name),
        "warnings": list(_warnings(a, b)),
        "confidence": CONFIDENCE,
        "metrics": [asdict(difference) for difference in differences],
    }


def _differences(a: pd.DataFrame, b: pd.DataFrame, random: np.random.Generator) -> Iterator[Difference]:
    yield from _route_differences(ALL_ROUTES, a, b, random)
    shared = set(a["route"].unique()) & set(b["route"].unique())
    for route in sorted(shared) if len(shared) > 1 else ():
        yield from _route_differences(route, a[a["route"] == route], b[b["route"] == route], random)


def _route_differences(
    route: str, a: pd.DataFrame, b: pd.DataFrame, random: np.random.Generator
) -> Iterator[Difference]:
    resampled_a, resampled_b = _Resampled(a, random), _Resampled(b, random)
    for metric, percentile in PERCENTILES.items():
        exact_a, exact_b = (results.exact_percentile(rows["latency_ms"], percentile) for rows in (a, b))
        draws_a, draws_b = resampled_a.percentile(percentile), resampled_b.percentile(percentile)
        yield _difference(route, metric, exact_a, exact_b, draws_a, draws_b)
    rates_a, rates_b = resampled_a.rates(), resampled_b.rates()
    yield _difference(route, "requestsPerSecond", resampled_a.rate, resampled_b.rate, rates_a, rates_b)


def _difference(route: str, metric: str, a: float, b: float, a_draws: Array, b_draws: Array) -> Difference:
    if not (math.isfinite(a) and math.isfinite(b) and a > 0):
        verdict = "unsure" if math.isfinite(a) == math.isfinite(b) else "worse" if math.isfinite(a) else "better"
        return Difference(route, metric, results.finite(a), results.finite(b), None, None, None, verdict)
    with np.errstate(invalid="ignore", divide="ignore"):
        changes = b_draws / a_draws - 1
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(level) for level in np.nanquantile(changes, [tail, 1 - tail]))
    change = b / a - 1
    verdict = _judge(change, low, high, less_is_better=metric in PERCENTILES)
    figures = [results.finite(a), results.finite(b), *(results.finite(x, 4) for x in (change, low, high))]
    return Difference(route, metric, *figures, verdict=verdict)


def _judge(change: float, low: float, high: float, less_is_better: bool) -> str:
    if low <= 0 <= high:
        return "same" if max(abs(low), abs(high)) < WORTH_MENTIONING * 3 else "unsure"
    if abs(change) < WORTH_MENTIONING:
        return "same"
    return "better" if (change < 0) == less_is_better else "worse"


class _Resampled:
    """Bootstrap draws of one run: slices of time drawn with replacement, each a histogram of its latencies."""

    def __init__(self, requests: pd.DataFrame, random: np.random.Generator) -> None:
        begin, end = float(requests["intended"].min()), float(requests["intended"].max())
        self.seconds = max(end - begin, 1e-6)
        blocks = int(np.clip(self.seconds / BLOCK_SECONDS, BLOCKS_MIN, BLOCKS_MAX))
        block = np.minimum(((requests["intended"] - begin) / self.seconds * blocks).astype(int), blocks - 1)
        latency = requests["latency_ms"].fillna(np.inf).clip(lower=0)
        bins = np.minimum(np.searchsorted(EDGES, latency, side="right") - 1, len(EDGES) - 2)
        histograms = np.zeros((blocks, len(EDGES) - 1))
        np.add.at(histograms, (block.to_numpy(), bins), 1)
        good = ~requests["outcome"].isin(outcomes.FAILURES)
        good_by_block = np.bincount(block.to_numpy(), weights=good.to_numpy(), minlength=blocks)
        weights = random.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(float)
        self._cumulative = np.cumsum(weights @ histograms, axis=1)
        self._good = weights @ good_by_block
        self.rate = float(good.sum()) / self.seconds

    def percentile(self, percentile: float) -> Array:
        ranks = self._cumulative[:, -1:] * percentile / 100
        bins = (self._cumulative >= ranks).argmax(axis=1)
        return np.where(np.isinf(EDGES[bins + 1]), np.inf, np.sqrt(np.maximum(EDGES[bins], 5e-4) * EDGES[bins + 1]))

    def rates(self) -> Array:
        drawn: Array = self._good / self.seconds
        return drawn


def _headline(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "scenario": run.manifest.get("scenario"),
        "commit": run.manifest.get("commit", {}).get("id"),
        "requests": len(run.requests),
        "outcomes": run.summary.get("outcomes", {}),
        "verdict": run.manifest.get("verdict"),
        "auditOk": run.stock.get("ok"),
    }


def _warnings(a: Run, b: Run) -> Iterator[str]:
    for run in (a, b):
        if run.manifest.get("verdict") == "invalid":
            yield f"{run.name} is invalid: {'; '.join(run.manifest.get('reasons', []))}"
        if run.stock.get("ok") is False:
            yield f"the books of {run.name} do not balance"
    options_a, options_b = (run.manifest | run.manifest.get("options", {}) for run in (a, b))
    for name in ("scenario", "driver", *a.manifest.get("options", {})):
        if options_a.get(name) != options_b.get(name):
            yield f"the runs differ in {name}: {options_a.get(name)} and {options_b.get(name)}"
    for name in ("processor", "cores", "memoryBytes"):
        if a.manifest.get("machine", {}).get(name) != b.manifest.get("machine", {}).get(name):
            yield f"the runs were made on machines that differ in {name}"


def _verdict(differences: list[Difference], name: str) -> str:
    total = {difference.metric: difference for difference in differences if difference.route == ALL_ROUTES}
    told = [_told(difference) for difference in total.values() if difference.verdict in ("better", "worse")]
    if told:
        return f"{name}: " + "; ".join(told)
    if any(difference.verdict == "unsure" for difference in total.values()):
        return f"{name}: no difference that these runs can prove; longer runs could"
    return f"{name}: no difference worth a word"


def _told(difference: Difference) -> str:
    label = {"p50Ms": "p50", "p95Ms": "p95", "p99Ms": "p99", "requestsPerSecond": "throughput"}[difference.metric]
    if difference.change is None or difference.low is None or difference.high is None:
        return f"{label} {difference.verdict}: {difference.a} and {difference.b}"
    span = f"{difference.low * 100:+.0f} to {difference.high * 100:+.0f} %"
    return f"{label} {difference.verdict} by {abs(difference.change) * 100:.0f} % ({span})"
