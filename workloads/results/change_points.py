"""Owns finding where a benchmark's history changed level: the most telling split of the series, kept only if shuffled
series hardly ever split as well and the change is worth a word, then the same again on both sides (binary segmentation,
Scott and Knott, Biometrics 1974; permutation p as in Hawkins and Antoch's CUSUM tests). Values are compared and not
their ranks: ranks cannot tell a doubling in the last three of 23 runs from noise. Runs are taken as exchangeable: a
machine that drifts is a change of level too."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEGMENT_MIN = 3
SHUFFLES = 999
P_MAX = 0.05
# A change smaller than this is not worth a word, however sure it is.
EFFECT_MIN = 0.05
# Beyond so many typical deviations from the middle a run is wild, and counts no more for being wilder.
WILD_DEVIATIONS = 5.0
# Of a normal distribution: what four in five stay under.
POWER_DEVIATION = 0.84

Array = NDArray[np.float64]


def change_points(history: Sequence[float], seed: int = 1, p_max: float = P_MAX) -> list[int]:
    """The indices at which a new level begins, in order. Values are positive and in the order of time; one wild run is
    no change."""
    values = _tamed(np.asarray(history, dtype=float))
    return _split(values, 0, np.random.default_rng(seed), p_max)


def levels(history: Sequence[float], points: Sequence[int]) -> list[float]:
    """The median of each stretch between the change points."""
    parts = np.split(np.asarray(history, dtype=float), list(points))
    return [float(np.median(part)) for part in parts if part.size]


def detectable(history: Sequence[float], points: Sequence[int], last: int = SEGMENT_MIN, seed: int = 1) -> float | None:
    """The relative change of level in the `last` runs that would have been found four times in five, given how much
    runs of one level differ; None where none could have been, however large."""
    n = len(history)
    if n < 2 * SEGMENT_MIN or last < SEGMENT_MIN or n - last < SEGMENT_MIN:
        return None
    if 2 / math.comb(n, last) > P_MAX:  # so often chance alone puts them together
        return None
    logs = np.log(np.maximum(np.asarray(history, dtype=float), 1e-12))
    noise = np.concatenate([part - np.median(part) for part in np.split(logs, list(points)) if part.size])
    deviation = max(1.4826 * float(np.median(np.abs(noise))), 1e-4)
    random = np.random.default_rng(seed)
    strengths = _strengths(random.normal(size=(SHUFFLES, n)))
    needed = float(np.quantile(strengths, 1 - P_MAX)) + POWER_DEVIATION
    leverage = last * (n - last) / n
    room = leverage * (1 - needed**2 / n)
    if room <= 0:
        return None
    return max(EFFECT_MIN, math.expm1(min(20.0, math.sqrt(needed**2 * deviation**2 / room))))


def _tamed(values: Array) -> Array:
    """Logarithms, with wild ones pulled in to where they only just are wild."""
    if values.size == 0:
        return values
    logs = np.log(np.maximum(values, 1e-12))
    middle = np.median(logs)
    typical = np.median(np.abs(logs - middle))
    reach = WILD_DEVIATIONS * typical if typical > 0 else np.inf
    tamed: Array = np.clip(logs, middle - reach, middle + reach)
    return tamed


def _split(values: Array, offset: int, random: np.random.Generator, p_max: float) -> list[int]:
    if len(values) < 2 * SEGMENT_MIN or np.ptp(values) < 1e-9:
        return []
    at, strength = _best_split(values)
    shuffled = _strengths(random.permuted(np.tile(values, (SHUFFLES, 1)), axis=1))
    p = (int((shuffled >= strength - 1e-9).sum()) + 1) / (SHUFFLES + 1)
    change = abs(float(np.median(values[at:]) - np.median(values[:at])))
    if p > p_max or change < math.log1p(EFFECT_MIN):
        return []
    left = _split(values[:at], offset, random, p_max)
    right = _split(values[at:], offset + at, random, p_max)
    return [*left, offset + at, *right]


def _best_split(values: Array) -> tuple[int, float]:
    deviations = _deviations(values[None, :])[0]
    best = int(deviations.argmax())
    return SEGMENT_MIN + best, float(deviations[best])


def _strengths(series: Array) -> Array:
    """Of each row, how far its best split is from what chance would do."""
    strengths: Array = _deviations(series).max(axis=1)
    return strengths


def _deviations(series: Array) -> Array:
    """For every split that leaves enough on both sides: by how many deviations the sum of the first part differs from
    its share of the whole."""
    n = series.shape[1]
    sizes = np.arange(SEGMENT_MIN, n - SEGMENT_MIN + 1)
    sums = np.cumsum(series, axis=1)[:, sizes - 1]
    expected = sizes * series.mean(axis=1, keepdims=True)
    scale = np.sqrt(sizes * (n - sizes) / n) * series.std(axis=1, keepdims=True)
    deviations: Array = np.abs(sums - expected) / np.maximum(scale, 1e-12)
    return deviations
