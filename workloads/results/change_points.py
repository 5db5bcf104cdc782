"""Owns finding where a benchmark's history changed level: the most telling split of the series, kept only if shuffled
series hardly ever split as well, then the same again on both sides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEGMENT_MIN = 3
SHUFFLES = 499
P_MAX = 0.01

Array = NDArray[np.float64]


def change_points(history: Sequence[float], seed: int = 1, p_max: float = P_MAX) -> list[int]:
    """The indices at which a new level begins, in order. Values are in the order of time; ranks are compared, so one
    wild run is no change."""
    values = np.asarray(history, dtype=float)
    return _split(values, 0, np.random.default_rng(seed), p_max)


def levels(history: Sequence[float], points: Sequence[int]) -> list[float]:
    """The median of each stretch between the change points."""
    parts = np.split(np.asarray(history, dtype=float), list(points))
    return [float(np.median(part)) for part in parts if part.size]


def _split(values: Array, offset: int, random: np.random.Generator, p_max: float) -> list[int]:
    if len(values) < 2 * SEGMENT_MIN or np.ptp(values) == 0:
        return []
    ranks = values.argsort(kind="stable").argsort(kind="stable").astype(float)
    at, strength = _best_split(ranks)
    shuffled = sum(_best_split(random.permutation(ranks))[1] >= strength for _ in range(SHUFFLES))
    if (shuffled + 1) / (SHUFFLES + 1) > p_max:
        return []
    left = _split(values[:at], offset, random, p_max)
    right = _split(values[at:], offset + at, random, p_max)
    return [*left, offset + at, *right]


def _best_split(ranks: Array) -> tuple[int, float]:
    """Where the mean ranks of the two sides differ most, in units of what chance would do (Mann-Whitney)."""
    n = len(ranks)
    sizes = np.arange(SEGMENT_MIN, n - SEGMENT_MIN + 1)
    sums = np.cumsum(ranks)[sizes - 1]
    expected = sizes * (n - 1) / 2
    deviation = np.abs(sums - expected) / np.sqrt(sizes * (n - sizes) * (n + 1) / 12)
    best = int(deviation.argmax())
    return int(sizes[best]), float(deviation[best])
