"""Owns the judgement on two groups of runs: which figures changed, beyond what runs of the same code differ by. At
least five runs a side, made in turns; every route and metric is asked at once and Holm's method pays for asking; what
is smaller than three per cent is not worth a word, however sure it is."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from workloads.results.figures import ALL_ROUTES, METRICS, MORE_IS_BETTER, Difference, Figures, is_positive
from workloads.results.reader import finite
from workloads.results.run_statistics import ALPHA, Effect, holm, neighbour_correlation, relative_change

RUNS_A_SIDE_MIN = 5
WORTH_MENTIONING = 0.03
# A share of failures has no ratio to nothing: so many more of all requests are worth a word.
SHARE_WORTH_MENTIONING = 0.001
# "The same" is said where the interval leaves no room for more than this.
SAME_WITHIN = 3 * WORTH_MENTIONING
# Runs that were not made in turns are taken to be at least so alike as their neighbours: a machine drifts.
CORRELATION_OUT_OF_TURN_MIN = 0.5
# What stands for no failure at all, and for a percentile that does not exist because too much failed.
FLOOR, CEILING = 1e-4, 1e9


def judge(a: Sequence[Figures], b: Sequence[Figures], *, in_turns: bool = True) -> list[Difference]:
    """One difference for every route and metric that both sides have in every run, those of the whole first. Sides in
    the order of time."""
    shared = [key for key in a[0] if all(key in run for run in (*a, *b))]
    keys = sorted(shared, key=lambda key: (key[0] != ALL_ROUTES, key[0], METRICS.index(key[1])))
    pairs = [([run[key] for run in a], [run[key] for run in b]) for key in keys]
    effects = [_effect(x, y, len(keys), in_turns) for x, y in pairs]
    adjusted = holm([p for _, p in effects])
    return [
        _difference(key, x, y, effect, p)
        for key, (x, y), (effect, _), p in zip(keys, pairs, effects, adjusted, strict=True)
    ]


def taken_in_turns(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether runs started at these times alternate (ABBA, ABAB): what drifts then hits both sides alike."""
    sides = [side for _, side in sorted([*((at, "a") for at in a), *((at, "b") for at in b)])]
    changes = sum(left != right for left, right in pairwise(sides))
    return changes >= min(len(a), len(b))


def _effect(a: list[float], b: list[float], tests: int, in_turns: bool) -> tuple[Effect | None, float]:
    """The effect where figures have a ratio, and its p; the p alone where nothing and infinity have none."""
    if not all(map(is_positive, (*a, *b))):
        bounded = [np.clip(side, FLOOR, CEILING).tolist() for side in (a, b)]
        return None, relative_change(bounded[0], bounded[1], tests=tests).p
    correlation = 0.0 if in_turns else max(CORRELATION_OUT_OF_TURN_MIN, neighbour_correlation(a, b))
    effect = relative_change(a, b, correlation=correlation, tests=tests)
    return effect, effect.p


def _difference(key: tuple[str, str], a: list[float], b: list[float], effect: Effect | None, p: float) -> Difference:
    route, metric = key
    if effect is None:
        middle_a, middle_b = float(np.median(a)), float(np.median(b))
        worth = metric != "failureShare" or abs(middle_b - middle_a) >= SHARE_WORTH_MENTIONING
        sure = p <= ALPHA and middle_a != middle_b and worth
        verdict = _direction(metric, middle_b > middle_a) if sure else "same" if sorted(a) == sorted(b) else "unsure"
        return Difference(
            route, metric, finite(middle_a, 6), finite(middle_b, 6), None, None, None, verdict, finite(p, 5)
        )
    mean_a, mean_b = (finite(float(np.exp(np.log(side).mean()))) for side in (a, b))
    change, low, high = (finite(number, 4) for number in (effect.change, effect.low, effect.high))
    detectable = finite(max(effect.detectable, WORTH_MENTIONING), 4)
    verdict = _verdict(metric, effect, p)
    return Difference(route, metric, mean_a, mean_b, change, low, high, verdict, finite(p, 5), detectable)


def _verdict(metric: str, effect: Effect, p: float) -> str:
    if p <= ALPHA and abs(effect.change) >= WORTH_MENTIONING:
        return _direction(metric, effect.change > 0)
    return "same" if max(abs(effect.low), abs(effect.high)) < SAME_WITHIN else "unsure"


def _direction(metric: str, more: bool) -> str:
    return "better" if more == (metric in MORE_IS_BETTER) else "worse"
