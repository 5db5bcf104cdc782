"""Owns the history of a benchmark: one figure over all runs in a folder, and where its level changed."""

from collections.abc import Sequence
from typing import Any

from workloads.results.change_points import change_points, levels
from workloads.results.reader import Run, finite

METRICS = ("p50Ms", "p95Ms", "p99Ms", "requestsPerSecond")


def history(runs: Sequence[Run], metric: str, scenario: str | None = None) -> dict[str, Any]:
    """`{metric, runs: [{name, startedAt, commit, value}], changes: [{run, commit, before, after, change}], skipped}`.

    Runs are in the order of time. Left out are invalid runs, other scenarios, and runs without the figure."""
    assert metric in METRICS, f"{metric} is not one of {METRICS}"
    usable = [run for run in runs if _is_usable(run, metric, scenario)]
    values = [float(run.summary[metric]) for run in usable]
    points = change_points(values)
    return {
        "metric": metric,
        "runs": [_entry(run, value) for run, value in zip(usable, values, strict=True)],
        "changes": _changes(usable, points, levels(values, points)),
        "skipped": len(runs) - len(usable),
    }


def _is_usable(run: Run, metric: str, scenario: str | None) -> bool:
    wanted = scenario is None or run.manifest.get("scenario") == scenario
    return wanted and run.manifest.get("verdict") != "invalid" and run.summary.get(metric) is not None


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
