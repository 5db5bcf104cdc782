"""What a budget is, and reading them from the file where they are declared."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUDGETS = Path(__file__).resolve().parents[1] / "budgets.toml"
HARD = frozenset({"exact", "ratio"})
KINDS = HARD | {"absolute"}
FIELDS = frozenset({"kind", "figure", "min", "max", "fault", "says"})


class BadBudget(Exception):
    """A declaration that cannot be judged."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`figure` must not be below `minimum` nor above `maximum`; exactly one of them is set."""

    name: str
    kind: str
    figure: str
    says: str
    fault: str
    minimum: float | None
    maximum: float | None

    @property
    def hard(self) -> bool:
        return self.kind in HARD

    @property
    def probe(self) -> str:
        return self.figure.partition(".")[0]

    @property
    def limit(self) -> str:
        return f"at least {self.minimum:g}" if self.minimum is not None else f"at most {self.maximum:g}"

    def holds(self, value: float) -> bool:
        if self.minimum is not None:
            return value >= self.minimum
        assert self.maximum is not None
        return value <= self.maximum


def load(path: Path = BUDGETS) -> tuple[Budget, ...]:
    """Raises BadBudget, which names the entry."""
    return parse(tomllib.loads(path.read_text()))


def parse(document: Mapping[str, Mapping[str, Any]]) -> tuple[Budget, ...]:
    budgets = tuple(_budget(name, entry) for name, entry in document.items())
    if not budgets:
        raise BadBudget("no budget is declared")
    return budgets


def _budget(name: str, entry: Mapping[str, Any]) -> Budget:
    if unknown := sorted(set(entry) - FIELDS):
        raise BadBudget(f"{name}: {', '.join(unknown)} is not a field of a budget")
    if missing := sorted(FIELDS - {"min", "max"} - set(entry)):
        raise BadBudget(f"{name}: {', '.join(missing)} is missing")
    if entry["kind"] not in KINDS:
        raise BadBudget(f"{name}: {entry['kind']} is not a kind of budget")
    if ("min" in entry) == ("max" in entry):
        raise BadBudget(f"{name}: exactly one of min and max must be given")
    return Budget(
        name, entry["kind"], entry["figure"], entry["says"], entry["fault"], entry.get("min"), entry.get("max")
    )
