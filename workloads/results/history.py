"""Owns the history of a benchmark: one figure over all runs of the same experiment in a folder, where its level
changed, and which change these runs could not have shown."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from workloads.results.change_points import SEGMENT_MIN, change_points, detectable, levels
from workloads.results.reader import Run, finite

METRICS = ("p50Ms", "p95Ms", "p99Ms", "requestsPerSecond")
# What an experiment is the same without: another seed is another sample of it.
NOT_THE_EXPERIMENT = frozenset({"seed", "tokens", "master_port"})


def history(runs: Sequence[Run], metric: str, scenario: str | None = None) -> dict[str, Any]:
    """`{metric, series: [{scenario, options, runs: [{name, startedAt, commit, value}], changes: [{run, commit, before,
    after, change}], power}], skipped}`; a series holds the runs of one scenario with one set of options.

    Runs are in the order of time. Left out are runs that prove nothing, other scenarios and runs without the
    figure."""
    assert metric in METRICS, f"{metric} is not one of {METRICS}"
    usable = [run for run in runs if _is_usable(run, metric, scenario)]
    experiments: dict[str, list[Run]] = defaultdict(list)
    for run in usable:
        experiments[_experiment(run)].append(run)
    return {
        "metric": metric,
        "series": [_series(group, metric) for group in experiments.values()],
        "skipped": len(runs) - len(usable),
    }


def _is_usable(run: Run, metric: str, scenario: str | None) -> bool:
    wanted = scenario is None or run.manifest.get("scenario") == scenario
    return wanted and run.manifest.get("verdict") in ("ok", "failed") and bool(run.summary.get(metric))


def _experiment(run: Run) -> str:
    trace = run.manifest.get("trace") or {}
    facts = [run.manifest.get("scenario"), run.manifest.get("driver"), _options(run), trace.get("files")]
    return json.dumps(facts, sort_keys=True, default=str)


def _options(run: Run) -> dict[str, Any]:
    options = run.manifest.get("options") or {}
    return {name: value for name, value in options.items() if name not in NOT_THE_EXPERIMENT}


def _series(runs: Sequence[Run], metric: str) -> dict[str, Any]:
    values = [float(run.summary[metric]) for run in runs]
    points = change_points(values)
    return {
        "scenario": runs[0].manifest.get("scenario"),
        "options": _options(runs[0]),
        "runs": [_entry(run, value) for run, value in zip(runs, values, strict=True)],
        "changes": _changes(runs, points, levels(values, points)),
        "power": _power(values, points),
    }


def _power(values: Sequence[float], points: Sequence[int]) -> dict[str, Any]:
    """What a change had to be to be found four times in five: in the newest runs, and halfway."""
    newest, halfway = (detectable(values, points, last) for last in (SEGMENT_MIN, len(values) // 2))
    if halfway is None:
        told = f"{len(values)} runs cannot show a change of level, however large: make more"
    elif newest is None:
        told = (
            f"a change halfway is found from {halfway:.0%} on; one in the last {SEGMENT_MIN} runs cannot be found yet"
        )
    else:
        told = f"a change is found from {halfway:.0%} on halfway, from {newest:.0%} on in the last {SEGMENT_MIN} runs"
    return {
        "newest": finite(newest, 4) if newest else None,
        "halfway": finite(halfway, 4) if halfway else None,
        "told": told,
    }


def _entry(run: Run, value: float) -> dict[str, Any]:
    commit = run.manifest.get("commit", {}).get("id")
    return {"name": run.name, "startedAt": run.manifest.get("startedAt"), "commit": commit, "value": value}


def _changes(runs: Sequence[Run], points: Sequence[int], medians: Sequence[float]) -> list[dict[str, Any]]:
    changes = []
    for point, before, after in zip(points, medians, medians[1:], strict=False):
        run = runs[point]
        changes.append(
            {
                "run": run.name,
                "commit": run.manifest.get("commit", {}).get("id"),
                "before": before,
                "after": after,
                "change": finite(after / before - 1, 4) if before else None,
            }
        )
    return changes
