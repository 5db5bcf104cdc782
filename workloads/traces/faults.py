"""Owns what reading a trace may say: the one error, which names file, line and column, and the list of repairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class TraceError(Exception):
    """A trace that cannot be used. The message names the line and the column, and what to do about it."""

    def __init__(
        self,
        problem: str,
        *,
        line: int | None = None,
        column: str | None = None,
        file: str | None = None,
        unit: str = "line",
    ) -> None:
        named = (file, f"{unit} {line}" if line else None, f"column {column}" if column else None)
        place = ", ".join(part for part in named if part)
        super().__init__(_printable(f"{place}: {problem}" if place else problem))
        self.line, self.column, self.file = line, column, file


def _printable(text: str) -> str:
    """A file's own words must not steer the terminal that shows them."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Repairs:
    """What was mended or chosen on the way in: per kind, how many rows, where the first one stands, and a sentence
    where the name of the kind does not say it all."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.first_line: dict[str, int] = {}
        self.sentences: dict[str, str] = {}

    def add(self, kind: str, rows: int, first_line: int = 0, sentence: str = "") -> None:
        if rows:
            self.rows[kind] = self.rows.get(kind, 0) + rows
            self.first_line.setdefault(kind, first_line)
            if sentence:
                self.sentences.setdefault(kind, sentence)

    def add_where(self, kind: str, mask: "pd.Series[bool]", lines: "pd.Series[int]", sentence: str = "") -> None:
        if mask.any():
            self.add(kind, int(mask.sum()), int(lines[mask].iloc[0]), sentence)

    def as_dict(self) -> dict[str, dict[str, int | str]]:
        return {kind: self._entry(kind) for kind in sorted(self.rows)}

    def _entry(self, kind: str) -> dict[str, int | str]:
        entry: dict[str, int | str] = {"rows": self.rows[kind], "firstLine": self.first_line[kind]}
        return entry | ({"says": self.sentences[kind]} if kind in self.sentences else {})


class RowPlaces(Protocol):
    """Where rows stand: what a sentence about one row needs."""

    def place(self, row: int) -> str: ...

    def error(self, problem: str, row: int, column: str) -> TraceError: ...


@dataclass(frozen=True, slots=True)
class FilePlaces:
    """The places of the rows of one file."""

    lines: "NDArray[np.int64]"
    unit: str = "line"

    def place(self, row: int) -> str:
        return f"{self.unit} {self.lines[row]}"

    def error(self, problem: str, row: int, column: str) -> TraceError:
        return TraceError(problem, line=int(self.lines[row]), column=column, unit=self.unit)


def listed(names: Sequence[object], most: int = 40) -> str:
    """Names for a sentence; a header of ten thousand columns does not become one of ten thousand words."""
    shown = ", ".join(str(name)[:60] for name in names[:most]) or "no columns"
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")
