"""Owns the proof that `compare` accuses nobody falsely and finds what there is: pairs of groups of identical code under
three kinds of noise, and how often changes of growing size are found."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.results.figures import ALL_ROUTES, Figures
from workloads.results.judging import RUNS_A_SIDE_MIN, judge

PAIRS = 400
ACCUSED_MAX = 0.05
EFFECTS = (0.05, 0.1, 0.2, 0.5, 1.0)
REQUESTS = 1_000
RUN_TO_RUN = 0.1
# Of a slow AR(1): a bad moment lasts for a tenth of the run.
MEMORY, MEMORY_SPREAD = 0.98, 0.3

Array = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Array]


def independent(random: np.random.Generator, runs: int) -> Array:
    """Log latencies, a row a run: every request for itself."""
    return random.normal(1.5, 0.6, (runs, REQUESTS))


def run_to_run(random: np.random.Generator, runs: int) -> Array:
    """As `independent`, and every run a tenth faster or slower than the last."""
    return independent(random, runs) + random.normal(0, RUN_TO_RUN, (runs, 1))


def remembering(random: np.random.Generator, runs: int) -> Array:
    """As `independent`, with a mood that wanders through the run and from each run into the next."""
    from scipy.signal import lfilter

    shocks = random.normal(0, MEMORY_SPREAD * np.sqrt(1 - MEMORY**2), runs * REQUESTS)
    return independent(random, runs) + lfilter([1.0], [1.0, -MEMORY], shocks).reshape(runs, REQUESTS)


NOISES: dict[str, Noise] = {
    "independent": independent,
    "runToRun": run_to_run,
    "remembering": remembering,
}


def self_test(
    pairs: int = PAIRS,
    runs: int = RUNS_A_SIDE_MIN,
    seed: int = 1,
    effects: Sequence[float] = EFFECTS,
    on_step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """`{ok, pairs, runsPerSide, accusedMax, noises: [{noise, accused, power: {"+5%": ...}}]}`; shares of 1."""
    rows, ok = [], True
    for name, noise in NOISES.items():
        power = {f"+{effect:.0%}": _found(noise, effect, pairs, runs, seed) for effect in effects}
        accused = _found(noise, 0.0, pairs, runs, seed)
        ok = ok and accused <= ACCUSED_MAX
        rows.append({"noise": name, "accused": accused, "power": power})
        on_step()
    return {"ok": ok, "pairs": pairs, "runsPerSide": runs, "accusedMax": ACCUSED_MAX, "noises": rows}


def _found(noise: Noise, effect: float, pairs: int, runs: int, seed: int) -> float:
    """The share of pairs in which anything is called better or worse; of no effect, the falsely accused."""
    random, found = np.random.default_rng(seed), 0
    for _ in range(pairs):
        found += any(d.verdict in ("better", "worse") for d in judge(*_pair(noise, random, runs, effect)))
    return found / pairs


def _pair(noise: Noise, random: np.random.Generator, runs: int, effect: float) -> tuple[list[Figures], list[Figures]]:
    """Two groups of runs made in turns, ABBA; the second is `effect` slower."""
    slower = _turns(runs)
    sides: tuple[list[Figures], list[Figures]] = ([], [])
    for is_b, figures in zip(slower, _figures(np.exp(noise(random, 2 * runs)), effect, slower), strict=True):
        sides[is_b].append(figures)
    return sides


def _turns(runs: int) -> list[bool]:
    return [number % 4 in (1, 2) for number in range(2 * runs)]


def _figures(latencies: Array, effect: float, slower: list[bool]) -> Iterator[Figures]:
    latencies = latencies * np.where(slower, 1 + effect, 1.0)[:, None]
    ranks = [REQUESTS // 2, REQUESTS * 95 // 100, REQUESTS * 99 // 100]
    ordered = np.partition(latencies, ranks, axis=1)[:, ranks]
    for p50, p95, p99 in ordered.tolist():
        yield {(ALL_ROUTES, "p50Ms"): p50, (ALL_ROUTES, "p95Ms"): p95, (ALL_ROUTES, "p99Ms"): p99}
