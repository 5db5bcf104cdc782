"""Owns what every kind of file becomes first: columns of texts or of typed values under the file's own names, each row
with the line it stands on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from workloads.traces.faults import Repairs, TraceError

ROWS_MAX = 20_000_000
COLUMNS_MAX = 1_000


@dataclass(slots=True)
class Table:
    """`frame` has unique column names; `repeated` are names that the header has more than once, and where. `unit` is
    what `lines` count: lines of a text, rows of a sheet, items of a list."""

    frame: pd.DataFrame
    lines: NDArray[np.int64]
    unit: str = "line"
    header_line: int | None = 1
    repeated: dict[str, list[int]] = field(default_factory=dict)
    understood: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def unique_names(header: list[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Names for all fields, those of unnamed and repeated ones made up; and where the repeated ones stand."""
    places: dict[str, list[int]] = {}
    for number, name in enumerate(header, 1):
        places.setdefault(name, []).append(number)
    taken, names = set(places), []
    for number, name in enumerate(header, 1):
        made = name if name and places[name][0] == number else _free(f"{name or 'column'} {number}", taken)
        taken.add(made)
        names.append(made)
    return names, {name: found for name, found in places.items() if name and len(found) > 1}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    return name


def check_size(columns: int, rows: int, line: int | None = None) -> None:
    if columns > COLUMNS_MAX:
        raise TraceError(f"{columns:,} columns; a trace has {COLUMNS_MAX:,} at most", line=line)
    if rows > ROWS_MAX:
        raise TraceError(f"more than {ROWS_MAX:,} rows; split the file by month", line=line)


def texts_frame(table: pa.Table) -> pd.DataFrame:
    """A frame over columns of Arrow strings, without copies."""
    return pd.DataFrame(
        {
            name: pd.Series(pd.array(table.column(name).cast(pa.large_string()), dtype="str"))
            for name in table.column_names
        }
    )


def without_blank_rows(table: Table, repairs: Repairs) -> Table:
    """Rows in which nothing stands: what a spreadsheet leaves below its last line."""
    blank = np.ones(len(table.frame), dtype=np.bool_)
    for name in table.frame.columns:
        column = table.frame[name]
        left = column.iloc[np.flatnonzero(blank)]
        blank[blank] = (left.str.strip() == "" if left.dtype == "str" else left.isna()).to_numpy()
        if not blank.any():
            return table
    if len(table.frame.columns):
        repairs.add("blank_lines_dropped", int(blank.sum()), int(table.lines[blank][0]))
        table.frame, table.lines = table.frame[~blank].reset_index(drop=True), table.lines[~blank]
    return table
