"""Owns reading files of any kind into one table under the standard names, with a record of where each row stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.traces.column_names import known_names
from workloads.traces.columns import standard_frame
from workloads.traces.csv_file import read_csv
from workloads.traces.encodings import to_utf8
from workloads.traces.faults import Repairs, TraceError, listed
from workloads.traces.files import Content, read_content
from workloads.traces.json_file import looks_like_json, read_json
from workloads.traces.options import Join, ReadOptions
from workloads.traces.table import ROWS_MAX, Table, without_blank_rows
from workloads.traces.texts import ids_of, texts_of
from workloads.traces.typed_files import read_parquet, read_spreadsheet

FILES_MAX = 1_000


@dataclass(slots=True)
class Source:
    """One file of a trace, and what it was understood as. `standard_form` says that `trace convert` wrote it."""

    name: str
    path: str
    sha256: str
    file_bytes: int
    rows: int
    unit: str
    understood: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def standard_form(self) -> bool:
        return self.metadata.get("version") == 1


@dataclass(slots=True)
class RawTrace:
    """`frame` under the standard names, not yet trusted; of each row the source and the line in it."""

    frame: pd.DataFrame
    lines: "pd.Series[int]"
    source_of_row: NDArray[np.int32]
    sources: list[Source]
    joined: list[Source] = field(default_factory=list)

    def place(self, row: int) -> str:
        source = self.sources[self.source_of_row[row]]
        where = f"{source.unit} {self.lines.iloc[row]}"
        return where if len(self.sources) == 1 else f"{source.name} {where}"

    def error(self, problem: str, row: int, column: str) -> TraceError:
        source = self.sources[self.source_of_row[row]]
        return TraceError(
            problem,
            line=int(self.lines.iloc[row]),
            column=column,
            file=source.name if len(self.sources) > 1 else None,
            unit=source.unit,
        )


def read_raw(paths: Sequence[Path], options: ReadOptions, repairs: Repairs) -> RawTrace:
    """All files one after the other. Raises TraceError."""
    if not paths or len(paths) > FILES_MAX:
        raise TraceError(f"a trace is 1 to {FILES_MAX:,} files, not {len(paths):,}")
    joined = [(join, *_read(Path(join.path), options, repairs)) for join in options.joins]
    parts, frames = [], []
    for path in paths:
        try:
            content, table = _read(path, options, repairs)
            for join, _, other in joined:
                table = _joined(table, join, other, repairs)
            frame = standard_frame(table, options.columns, options.returns.column if options.returns else None, repairs)
        except TraceError as error:
            raise _of_file(error, path) if len(paths) > 1 else error from None
        frames.append(frame)
        parts.append((path, content, table))
    if sum(len(frame) for frame in frames) > ROWS_MAX:
        raise TraceError(f"more than {ROWS_MAX:,} rows in all; give fewer files")
    return RawTrace(
        _concatenated(frames),
        pd.Series(np.concatenate([table.lines for _, _, table in parts])),
        np.repeat(np.arange(len(parts), dtype=np.int32), [len(frame) for frame in frames]),
        [_source(path, content, table) for path, content, table in parts],
        [_source(Path(join.path), content, table) for join, content, table in joined],
    )


def _of_file(error: TraceError, path: Path) -> TraceError:
    return error if path.name in str(error) else TraceError(f"{path.name}, {error}", line=None)


def _source(path: Path, content: Content, table: Table) -> Source:
    return Source(
        path.name, str(path), content.sha256, content.file_bytes, len(table.frame), table.unit, table.understood,
        table.metadata,
    )  # fmt: skip


def _read(path: Path, options: ReadOptions, repairs: Repairs) -> tuple[Content, Table]:
    content = read_content(path)
    table = _table(content, options, repairs)
    table.understood = {"packed": content.packed, **table.understood}
    content.data = b""
    if table.frame.columns.empty:
        raise TraceError(f"{path} has no columns")
    return content, without_blank_rows(table, repairs)


def _table(content: Content, options: ReadOptions, repairs: Repairs) -> Table:
    if content.kind == "parquet":
        return _named("Parquet", read_parquet(content))
    if content.kind == "spreadsheet":
        return _named("spreadsheet", read_spreadsheet(content, repairs))
    content.data, encoding = to_utf8(content.data, options.encoding, repairs)
    if looks_like_json(content.data):
        return _named("JSON", read_json(content.data, repairs), encoding)
    return _named("CSV", read_csv(content.data, known_names, repairs), encoding)


def _named(kind: str, table: Table, encoding: str | None = None) -> Table:
    table.understood = {"format": kind} | ({"encoding": encoding} if encoding else {}) | table.understood
    return table


def _joined(table: Table, join: Join, other: Table, repairs: Repairs) -> Table:
    """The table with the other's columns, by key. Its own columns win where both have a name."""
    ours = ids_of(_column(table, join.key, "the trace"))
    theirs = ids_of(_column(other, join.other_key, join.path))
    repeated = theirs.duplicated() & (theirs != "")
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise TraceError(
            f"{Path(join.path).name} has {theirs.iloc[row]!r} more than once, so it does not say what a row gets",
            line=int(other.lines[row]),
            column=join.other_key,
        )
    at = pd.Index(theirs).get_indexer(pd.Index(ours))
    missing = pd.Series(at < 0)
    lines = pd.Series(table.lines)
    repairs.add_where("rows_without_a_match_in_join", missing, lines, f"{Path(join.path).name} has no such key")
    new = [name for name in other.frame.columns if name not in table.frame.columns]
    taken = other.frame[new].take(np.maximum(at, 0)).reset_index(drop=True) if len(other.frame) else other.frame[new]
    table.frame = pd.concat([table.frame, taken.mask(missing) if missing.any() else taken], axis=1)
    return table


def _column(table: Table, name: str, whose: str) -> "pd.Series[Any]":
    if name not in table.frame.columns:
        raise TraceError(f"--join wants column {name!r}, but {whose} has {listed(list(table.frame.columns))}")
    return table.frame[name]


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One below the other; a column that is of one type here and of another there becomes texts."""
    if len(frames) == 1:
        return frames[0]
    columns: Mapping[str, list[pd.Series[Any]]] = {
        name: [frame[name] for frame in frames] for name in frames[0].columns
    }
    return pd.DataFrame(
        {
            name: pd.concat(
                parts if len({str(part.dtype) for part in parts}) == 1 else [texts_of(part) for part in parts],
                ignore_index=True,
            )
            for name, parts in columns.items()
        }
    )
