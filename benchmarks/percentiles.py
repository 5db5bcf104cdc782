"""Exact percentiles from all samples. Nothing is bucketed or rounded: tails are what is being measured."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all samples do not exceed (nearest rank)."""
    assert samples, "a percentile of nothing"
    rank = max(1, math.ceil(len(samples) * percent / 100))
    return sorted(samples)[rank - 1]
