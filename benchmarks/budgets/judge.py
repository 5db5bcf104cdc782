"""Judging figures against budgets, and saying it: a line each in a log, a table in Markdown, a document in JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.budgets.plan import Budget
from benchmarks.kit.outcome import RunInvalid, figure


@dataclass(frozen=True, slots=True)
class Verdict:
    budget: Budget
    value: float

    @property
    def holds(self) -> bool:
        return self.budget.holds(self.value)

    @property
    def word(self) -> str:
        if self.holds:
            return "holds"
        return "BROKEN" if self.budget.hard else "missed"


def judge(budgets: Sequence[Budget], figures: Mapping[str, float]) -> list[Verdict]:
    """A figure that no probe has reported makes the run invalid: a budget must never pass unmeasured."""
    if unmeasured := [budget.figure for budget in budgets if budget.figure not in figures]:
        raise RunInvalid(f"no probe reports {', '.join(unmeasured)}")
    return [Verdict(budget, figures[budget.figure]) for budget in budgets]


def broken(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.budget.hard and not verdict.holds]


def line(verdict: Verdict) -> str:
    budget = verdict.budget
    measured = f"{figure(float(verdict.value))} ({budget.limit})"
    return f"{verdict.word:<7} {budget.kind:<9} {budget.name:<30} {measured:<26} {budget.says}"


def markdown(verdicts: Sequence[Verdict], title: str = "Performance budgets") -> str:
    failed = broken(verdicts)
    summary = f"{len(failed)} of {len(verdicts)} broken" if failed else f"all {len(verdicts)} judged, none broken"
    rows = [f"| {v.word} | {v.budget.kind} | {v.budget.name} | {_cells(v)} | {v.budget.says} |" for v in verdicts]
    head = ["|  | kind | budget | measured | limit | what |", "|---|---|---|---:|---|---|"]
    return "\n".join([f"## {title}: {summary}", "", *head, *rows, ""])


def _cells(verdict: Verdict) -> str:
    return f"{figure(float(verdict.value))} | {verdict.budget.limit}"


def document(verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    return {
        "ok": not broken(verdicts),
        "seconds": round(seconds, 1),
        "budgets": [
            {
                "name": verdict.budget.name,
                "kind": verdict.budget.kind,
                "hard": verdict.budget.hard,
                "figure": verdict.budget.figure,
                "value": verdict.value,
                "limit": verdict.budget.limit,
                "ok": verdict.holds,
                "says": verdict.budget.says,
            }
            for verdict in verdicts
        ],
    }
