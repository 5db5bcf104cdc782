"""Owns the comparison of runs: two are described beside each other, groups of at least five a side are judged. What
must not be compared, and what could not have been found, is said in plain words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from workloads.results.describing import CONFIDENCE, describe
from workloads.results.figures import ALL_ROUTES, Difference, figures_of
from workloads.results.judging import RUNS_A_SIDE_MIN, judge, taken_in_turns
from workloads.results.reader import Run

MACHINE = ("processor", "cores", "memoryBytes")
LABELS = {"p50Ms": "p50", "p95Ms": "p95", "p99Ms": "p99", "requestsPerSecond": "throughput", "failureShare": "failures"}
WARNINGS_MAX = 20


def compare(a: Run | Sequence[Run], b: Run | Sequence[Run], seed: int = 1) -> dict[str, Any]:
    """`{a, b, judged, verdict, warnings, confidence, metrics: [Difference]}`. A side of fewer than five runs is not
    judged: its first run is described."""
    side_a, side_b = _in_time(a), _in_time(b)
    judged = min(len(side_a), len(side_b)) >= RUNS_A_SIDE_MIN
    in_turns = taken_in_turns(_starts(side_a), _starts(side_b))
    if judged:
        figures = [[figures_of(run.requests) for run in side] for side in (side_a, side_b)]
        differences = judge(figures[0], figures[1], in_turns=in_turns)
    else:
        differences = describe(side_a[0].requests, side_b[0].requests, seed)
    return {
        "a": _headline(side_a),
        "b": _headline(side_b),
        "judged": judged,
        "verdict": _verdict(differences, _headline(side_b)["name"]) if judged else _described(side_a, side_b),
        "warnings": list(_warnings(side_a, side_b, judged, in_turns))[:WARNINGS_MAX],
        "confidence": CONFIDENCE,
        "metrics": [asdict(difference) for difference in differences],
    }


def _in_time(side: Run | Sequence[Run]) -> list[Run]:
    runs = [side] if isinstance(side, Run) else list(side)
    return sorted(runs, key=_start)


def _start(run: Run) -> float:
    return float(run.manifest.get("startedAtEpochSeconds") or 0.0)


def _starts(side: Sequence[Run]) -> list[float]:
    return [_start(run) for run in side]


def _headline(side: Sequence[Run]) -> dict[str, Any]:
    verdicts = [run.manifest.get("verdict") for run in side]
    commits = dict.fromkeys(run.manifest.get("commit", {}).get("id") for run in side)
    counts: Counter[str] = Counter()
    for run in side:
        counts.update(run.summary.get("outcomes", {}))
    return {
        "name": ", ".join(run.name for run in side),
        "runs": [run.name for run in side],
        "scenario": side[0].manifest.get("scenario"),
        "commit": next(iter(commits)) if len(commits) == 1 else None,
        "requests": sum(len(run.requests) for run in side),
        "outcomes": dict(counts),
        "verdict": next((verdict for verdict in verdicts if verdict != "ok"), "ok"),
        "auditOk": None if any(run.stock.get("ok") is None for run in side) else all(run.stock["ok"] for run in side),
    }


def _warnings(a: Sequence[Run], b: Sequence[Run], judged: bool, in_turns: bool) -> Iterator[str]:
    for run in (*a, *b):
        if run.manifest.get("verdict") not in ("ok", "failed"):
            reasons = "; ".join(run.manifest.get("reasons", [])) or "nobody says why"
            yield f"{run.name} is {run.manifest.get('verdict')}: {reasons}"
        if run.stock.get("ok") is False:
            yield f"the books of {run.name} do not balance"
    if judged and not in_turns:
        yield "the runs were not made in turns (ABBA): a drift of the machine looks like a change; intervals are wider"
    yield from _unlike(a[0], [*a[1:], *b])


def _unlike(first: Run, others: Sequence[Run]) -> Iterator[str]:
    """Everything in which runs differ that ought not to, each once."""
    facts = [run.manifest | (run.manifest.get("options") or {}) for run in (first, *others)]
    for name in ("scenario", "driver", *(first.manifest.get("options") or {})):
        values = list(dict.fromkeys(str(fact.get(name)) for fact in facts))
        if len(values) > 1:
            yield f"the runs differ in {name}: {' and '.join(values[:3])}"
    for name in MACHINE:
        if len({str((fact.get("machine") or {}).get(name)) for fact in facts}) > 1:
            yield f"the runs were made on machines that differ in {name}"


def _described(a: Sequence[Run], b: Sequence[Run]) -> str:
    return (
        f"{b[0].name} beside {a[0].name}: described, not judged. Runs of the same code differ too, and {len(a)} against"
        f" {len(b)} cannot say by how much: make at least {RUNS_A_SIDE_MIN} a side, in turns, and give them with"
        " --against. The intervals know the noise inside each run only"
    )


def _verdict(differences: list[Difference], name: str) -> str:
    changed = [d for d in differences if d.verdict in ("better", "worse")]
    told = [_told(d) for d in changed if d.route == ALL_ROUTES] or [_told(d) for d in changed]
    if told:
        return f"{name}: " + "; ".join(told)
    total = [d for d in differences if d.route == ALL_ROUTES]
    if all(d.verdict == "same" for d in total):
        return f"{name}: no difference worth a word"
    blind = "; ".join(f"{LABELS[d.metric]} {d.detectable:.0%}" for d in total if d.detectable is not None)
    return f"{name}: no difference that these runs can prove. Smaller changes than these are seldom found: {blind}"


def _told(d: Difference) -> str:
    label = LABELS[d.metric] if d.route == ALL_ROUTES else f"{LABELS[d.metric]} of {d.route}"
    if d.change is None or d.low is None or d.high is None:
        return f"{label} {d.verdict}: {_shown(d.a)} and {_shown(d.b)}"
    return f"{label} {d.verdict} by {abs(d.change) * 100:.0f} % ({d.low * 100:+.0f} to {d.high * 100:+.0f} %)"


def _shown(value: float | None) -> str:
    return "none, too much failed" if value is None else f"{value:g}"
