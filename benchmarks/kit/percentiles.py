"""Exact percentiles from all samples. Nothing is bucketed or rounded: tails are what is being measured."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all samples do not exceed (nearest rank)."""
    assert samples, "a percentile of nothing"
    rank = max(1, math.ceil(len(samples) * percent / 100))
    return sorted(samples)[rank - 1]


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Between which two samples the true median lies, 95 times in 100, whatever the distribution (order statistics).
    Fewer than six samples cannot say that much: then the least and the greatest."""
    assert samples, "an interval of nothing"
    count, below, rank = len(samples), 0, 0
    while (below := below + math.comb(count, rank)) <= 0.025 * 2**count:
        rank += 1
    ordered = sorted(samples)
    at = max(0, rank - 1)
    return ordered[at], ordered[count - 1 - at]
