"""Owns when things are meant to start: schedules of intended start times, in seconds from the start of a run, sorted.
Drivers obey a schedule whatever the server does; that is what makes a workload open."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from workloads.model.demand import Profile

Schedule = NDArray[np.float64]
ARRIVALS_MAX = 20_000_000
SECONDS_PER_DAY = 86_400.0


def constant(rate_per_second: float, seconds: float) -> Schedule:
    """One arrival every 1/rate seconds."""
    return np.arange(_bounded(rate_per_second * seconds), dtype=np.float64) / rate_per_second


def poisson(rate_per_second: float, seconds: float, seed: int) -> Schedule:
    """Independent arrivals: as many as chance gives, at random times."""
    random = np.random.default_rng(seed)
    count = random.poisson(_bounded(rate_per_second * seconds))
    return np.sort(random.uniform(0.0, seconds, count))


def ramp(from_rate_per_second: float, to_rate_per_second: float, seconds: float) -> Schedule:
    """The rate grows (or falls) in a straight line; arrivals are evenly spaced under it."""
    slope = (to_rate_per_second - from_rate_per_second) / seconds
    count = np.arange(_bounded((from_rate_per_second + to_rate_per_second) / 2 * seconds), dtype=np.float64)
    if slope == 0:
        return count / from_rate_per_second
    # The n-th arrival is where the integral of the rate, from·t + slope·t²/2, reaches n.
    root = np.sqrt(np.maximum(from_rate_per_second**2 + 2 * slope * count, 0.0))
    return (root - from_rate_per_second) / slope


def varying(rate_at: Callable[[Schedule], Schedule], rate_max: float, seconds: float, seed: int) -> Schedule:
    """Poisson arrivals whose rate changes: `rate_at` maps times to rates, none above `rate_max` (thinning)."""
    random = np.random.default_rng(seed)
    candidates = poisson(rate_max, seconds, int(random.integers(2**32)))
    kept: Schedule = candidates[random.uniform(0.0, rate_max, candidates.size) < rate_at(candidates)]
    return kept


def flash_sale(
    base_rate: float, peak_rate: float, seconds: float, seed: int, *, opens_at: float = 0.0, decay_seconds: float = 30.0
) -> Schedule:
    """A quiet shop, then at `opens_at` a crowd at `peak_rate` that thins out exponentially. Rates per second."""

    def rate_at(times: Schedule) -> Schedule:
        crowd = (peak_rate - base_rate) * np.exp(-np.maximum(times - opens_at, 0.0) / decay_seconds)
        return base_rate + np.where(times >= opens_at, crowd, 0.0)

    return varying(rate_at, max(base_rate, peak_rate), seconds, seed)


def daily(profile: Profile, orders_per_day: float, days: float, seed: int) -> Schedule:
    """Arrivals over `days` days from a Monday's midnight, with the real shop's hours and weekdays."""
    hours = np.array(profile.arrival_share_by_hour) * 24
    weekdays = np.array(profile.arrival_share_by_weekday) * 7
    mean_rate = orders_per_day / SECONDS_PER_DAY

    def rate_at(times: Schedule) -> Schedule:
        day, second = np.divmod(times, SECONDS_PER_DAY)
        rates: Schedule = mean_rate * hours[(second // 3600).astype(int)] * weekdays[day.astype(int) % 7]
        return rates

    return varying(rate_at, float(mean_rate * hours.max() * weekdays.max()), days * SECONDS_PER_DAY, seed)


def explicit(offsets_seconds: Iterable[float], speed: float = 1.0) -> Schedule:
    """Given start times, replayed `speed` times as fast; the first is the origin."""
    offsets = np.sort(np.fromiter(offsets_seconds, dtype=np.float64))
    _bounded(offsets.size)
    if offsets.size:
        offsets = (offsets - offsets[0]) / speed
    return offsets


def _bounded(count: float) -> int:
    if not 0 <= count <= ARRIVALS_MAX or not math.isfinite(count):
        raise ValueError(f"a schedule holds 0 to {ARRIVALS_MAX:,} arrivals, not {count:,.0f}")
    return round(count)
