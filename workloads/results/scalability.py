"""Owns the Universal Scalability Law (Gunther): how throughput grows with concurrency, what holds it back, and where
its peak is predicted. Contention is waiting for one another, coherency is telling one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS_MIN = 4

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScalabilityLaw:
    """throughput(n) = rate·n / (1 + contention·(n - 1) + coherency·n·(n - 1)). Errors are standard errors."""

    rate_of_one: float
    contention: float
    coherency: float
    contention_error: float
    coherency_error: float
    r_squared: float

    def throughput(self, concurrency: Array | float) -> Any:
        n = np.asarray(concurrency, dtype=float)
        return usl(n, self.rate_of_one, self.contention, self.coherency)

    @property
    def peak_concurrency(self) -> float:
        """Where more concurrency begins to slow things down; infinite without a coherency term."""
        if self.coherency < 1e-12:
            return float("inf")
        return float(np.sqrt(max(0.0, 1 - self.contention) / self.coherency))

    @property
    def peak_throughput(self) -> float:
        """At the peak, or what it tends to when there is none."""
        if np.isfinite(self.peak_concurrency):
            return float(self.throughput(max(1.0, self.peak_concurrency)))
        return self.rate_of_one / self.contention if self.contention > 1e-12 else float("inf")


def usl(n: Array, rate_of_one: float, contention: float, coherency: float) -> Array:
    result: Array = rate_of_one * n / (1 + contention * (n - 1) + coherency * n * (n - 1))
    return result


def fit_scalability(concurrency: Sequence[float], throughput: Sequence[float]) -> ScalabilityLaw:
    """Least squares with all terms at least 0. Raises ValueError with fewer than four distinct concurrencies."""
    from scipy.optimize import curve_fit

    n, x = np.asarray(concurrency, dtype=float), np.asarray(throughput, dtype=float)
    if len(np.unique(n)) < POINTS_MIN:
        raise ValueError(f"a fit wants at least {POINTS_MIN} different concurrencies, not {len(np.unique(n))}")
    start = (float((x / n).max()), 0.05, 1e-4)
    # Scaled by the throughput, so that small and large points weigh alike.
    (rate, contention, coherency), covariance = curve_fit(
        usl, n, x, p0=start, sigma=np.maximum(x, 1e-9), bounds=(0, [np.inf, 1.0, np.inf]), maxfev=20_000
    )
    errors = np.sqrt(np.diag(covariance))
    residual = ((x - usl(n, rate, contention, coherency)) ** 2).sum()
    total = ((x - x.mean()) ** 2).sum()
    return ScalabilityLaw(
        float(rate),
        float(contention),
        float(coherency),
        float(errors[1]),
        float(errors[2]),
        float(1 - residual / total) if total else 1.0,
    )
