"""Owns the statistics of runs, each method with its source. The run is the unit: requests of one run share its machine,
its caches and its moment, so that thousands of them say little about the next run (Kalibera and Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

ALPHA, POWER = 0.05, 0.8
PERMUTATIONS_MAX = 20_000
CORRELATION_MAX = 0.9

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """`change` is B relative to A (0.1 is ten per cent more) with its interval; `p` of no change at all; `detectable`
    the change that would have been found four times in five."""

    change: float
    low: float
    high: float
    p: float
    detectable: float


def relative_change(a: Sequence[float], b: Sequence[float], *, correlation: float = 0.0, tests: int = 1) -> Effect:
    """Welch's t-test (Biometrika 1947) on the logarithms of one figure a run, since runs differ by factors. Where the
    runs of a side were made one after the other, `correlation` between neighbours widens it: so many runs are worth
    fewer (Zwiers and von Storch, Journal of Climate 1995). `tests` are made together: what can be found is said for the
    first step of Holm's method."""
    from scipy import stats

    x, y = np.log(np.asarray(a, dtype=float)), np.log(np.asarray(b, dtype=float))
    widened = math.sqrt((1 + correlation) / (1 - correlation))
    parts = np.array([x.var(ddof=1) / x.size, y.var(ddof=1) / y.size])
    error, change = math.sqrt(parts.sum()) * widened, float(y.mean() - x.mean())
    if error < 1e-12:  # the figures of a side are all the same: only the order of the runs can have been chance
        p = 1.0 if abs(change) < 1e-12 else rank_test(a, b)
        return Effect(math.expm1(change), math.expm1(change), math.expm1(change), p, 0.0)
    freedom = parts.sum() ** 2 / float((parts**2 / np.array([x.size - 1, y.size - 1])).sum())
    reach, p = stats.t.ppf(1 - ALPHA / 2, freedom) * error, 2 * float(stats.t.sf(abs(change) / error, freedom))
    found = (stats.t.ppf(1 - ALPHA / 2 / tests, freedom) + stats.t.ppf(POWER, freedom)) * error
    interval = (math.expm1(change - reach), math.expm1(change + reach))
    return Effect(math.expm1(change), *interval, p, math.expm1(min(found, 20.0)))


def rank_test(a: Sequence[float], b: Sequence[float], seed: int = 1) -> float:
    """The two-sided p of an exact permutation test on average ranks (Pitman 1937; ties as in Hollander and Wolfe): for
    figures without a logarithm, such as a percentile that does not exist because too much failed."""
    from scipy import stats

    ranks, size = stats.rankdata([*a, *b]), len(a)
    observed, middle = ranks[:size].sum(), ranks.mean() * size
    if math.comb(ranks.size, size) <= PERMUTATIONS_MAX:
        sums = np.array([ranks[list(chosen)].sum() for chosen in combinations(range(ranks.size), size)])
        return float((np.abs(sums - middle) >= abs(observed - middle) - 1e-9).mean())
    random = np.random.default_rng(seed)
    sums = random.permuted(np.tile(ranks, (PERMUTATIONS_MAX, 1)), axis=1)[:, :size].sum(axis=1)
    extreme = (np.abs(sums - middle) >= abs(observed - middle) - 1e-9).sum()
    return float((extreme + 1) / (PERMUTATIONS_MAX + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values: whoever looks at twenty figures finds one that is "significant" (Holm, Scandinavian Journal of
    Statistics 1979)."""
    adjusted, order, highest = [0.0] * len(p_values), np.argsort(p_values), 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def neighbour_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """How alike runs made one after the other are, beyond their sides' means: the first autocorrelation of the
    logarithms, put right for being computed around estimated means (Marriott and Pope, Biometrika 1954). Never taken
    as negative: that would make the test bolder."""
    sides = [np.log(np.asarray(side, dtype=float)) for side in (a, b)]
    residuals = [side - side.mean() for side in sides]
    total = sum(float(r @ r) for r in residuals)
    if total < 1e-12:
        return 0.0
    raw = sum(float(r[1:] @ r[:-1]) for r in residuals) / total
    size = min(side.size for side in sides)
    return float(np.clip(raw + (1 + 3 * raw) / size, 0.0, CORRELATION_MAX))


def block_length(series: Array) -> int:
    """How many neighbours hang together: the block length for a circular block bootstrap that is best for the mean
    (Politis and White, Econometric Reviews 2004, with the correction of Patton, Politis and White 2009)."""
    n = series.size
    if n < 8 or np.ptp(series) == 0:
        return 1
    centred = series - series.mean()
    quiet, lags_max = max(5, int(math.sqrt(math.log10(n)))), math.ceil(math.sqrt(n)) + max(5, int(math.log10(n)))
    lags = np.arange(min(lags_max, n - 1) + 1)
    covariance = np.array([float(centred[lag:] @ centred[: n - lag]) / n for lag in lags])
    loud = np.abs(covariance / covariance[0]) >= 2 * math.sqrt(math.log10(n) / n)
    last = next((lag for lag in lags[1:] if not loud[lag : lag + quiet].any()), lags[-1]) - 1
    width = max(1, min(2 * int(last), int(lags[-1])))
    window = np.clip(2 * (1 - lags / width), 0.0, 1.0)
    spread = 2 * float((window * lags * covariance).sum())
    level = float(covariance[0] + 2 * (window[1:] * covariance[1:]).sum())
    if level <= 0:
        return 1
    best = (2 * spread**2 / (4 / 3 * level**2)) ** (1 / 3) * n ** (1 / 3)
    return int(np.clip(math.ceil(best), 1, math.ceil(min(3 * math.sqrt(n), n / 3))))


def block_draws(slices: int, length: int, draws: int, random: np.random.Generator) -> Array:
    """How often each slice is in each draw of a circular block bootstrap: `draws` rows, `slices` columns (Politis and
    Romano 1992)."""
    blocks = math.ceil(slices / length)
    starts = random.integers(slices, size=(draws, blocks))
    chosen = ((starts[:, :, None] + np.arange(length)) % slices).reshape(draws, -1)[:, :slices]
    flat = chosen + np.arange(draws)[:, None] * slices
    return np.bincount(flat.ravel(), minlength=draws * slices).reshape(draws, slices).astype(float)
