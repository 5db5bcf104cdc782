"""Owns getting a retail trace off the disk: a CSV or Parquet file becomes one table of texts under the standard column
names, each row with the line it stands on, so that every later complaint can name line and column."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FILE_BYTES_MAX = 2 << 30
ROWS_MAX = 20_000_000
REQUIRED = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate")
OPTIONAL = ("Description", "UnitPrice", "CustomerID")
# The second edition of the data set, and spreadsheets saved from it, call the same columns by these names.
ALSO_CALLED = {
    "invoice": "InvoiceNo",
    "invoicenumber": "InvoiceNo",
    "sku": "StockCode",
    "price": "UnitPrice",
    "customer": "CustomerID",
    "date": "InvoiceDate",
}


class TraceError(Exception):
    """A trace that cannot be used. The message names the line and the column, and what to do about it."""

    def __init__(self, problem: str, *, line: int | None = None, column: str | None = None) -> None:
        place = ", ".join(
            part for part in (f"line {line}" if line else "", f"column {column}" if column else "") if part
        )
        super().__init__(f"{place}: {problem}" if place else problem)
        self.line, self.column = line, column


class Repairs:
    """What was mended on the way in: per kind, how many rows and where the first one stands."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.first_line: dict[str, int] = {}

    def add(self, kind: str, rows: int, first_line: int = 0) -> None:
        if rows:
            self.rows[kind] = self.rows.get(kind, 0) + rows
            self.first_line.setdefault(kind, first_line)

    def add_where(self, kind: str, mask: pd.Series, lines: pd.Series) -> None:
        if mask.any():
            self.add(kind, int(mask.sum()), int(lines[mask].iloc[0]))

    def as_dict(self) -> dict[str, dict[str, int]]:
        return {kind: {"rows": count, "firstLine": self.first_line[kind]} for kind, count in sorted(self.rows.items())}


def read_table(path: Path, columns: Mapping[str, str], repairs: Repairs) -> pd.DataFrame:
    """The file's rows under the standard names, plus `line`. `columns` maps a standard name to the file's own.

    Text columns stay text; a Parquet column of timestamps or numbers keeps its type. Raises TraceError."""
    _check_file(path)
    table = _read_parquet(path) if _is_parquet(path) else _read_csv(path, repairs)
    return _named(table, columns, repairs)


def parse_columns(text: str | None) -> dict[str, str]:
    """`InvoiceNo=order,StockCode=item` as a mapping from the standard name to the file's own."""
    mapping = {}
    for pair in filter(None, (text or "").split(",")):
        standard, found, theirs = (part.strip() for part in pair.partition("="))
        if not found or standard not in REQUIRED + OPTIONAL or not theirs:
            raise TraceError(f"--columns wants NAME=COLUMN with NAME one of {', '.join(REQUIRED + OPTIONAL)}: {pair!r}")
        mapping[standard] = theirs
    return mapping


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise TraceError(f"there is no file {path}")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise TraceError(f"{path} is larger than {FILE_BYTES_MAX >> 20} MiB; split it by month")
    if path.suffix.lower() in {".xlsx", ".xls", ".ods"}:
        raise TraceError(f"{path} is a spreadsheet; save it as CSV first")


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TraceError(f"{path} is not a readable Parquet file: {error}") from None
    return table.reset_index(drop=True).assign(line=np.arange(1, len(table) + 1))


def _read_csv(path: Path, repairs: Repairs) -> pd.DataFrame:
    text = _decoded(path.read_bytes(), repairs)
    if not text.strip():
        raise TraceError(f"{path} is empty", line=1)
    header_line = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=header_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(rows)]
    return _table(header, rows, repairs)


def _table(header: list[str], rows: Any, repairs: Repairs) -> pd.DataFrame:
    kept, lines, line_before = [], [], rows.line_num
    try:
        for row in rows:
            line, line_before = line_before + 1, rows.line_num
            if not any(field.strip() for field in row):
                repairs.add("blank_lines_dropped", 1, line)
                continue
            kept.append(_fitted(row, header, line))
            lines.append(line)
            if len(kept) > ROWS_MAX:
                raise TraceError(f"more than {ROWS_MAX:,} rows; split the file by month", line=line)
    except csv.Error as error:
        raise TraceError(f"not readable as CSV: {error}", line=line_before + 1) from None
    table = pd.DataFrame(kept, columns=pd.Index(header), dtype="str")
    table["line"] = np.array(lines, dtype=np.int64)
    return table


def _fitted(row: list[str], header: list[str], line: int) -> list[str]:
    if len(row) == len(header):
        return row
    while len(row) > len(header) and not row[-1].strip():
        row.pop()
    if len(row) > len(header):
        raise TraceError(f"{len(row)} fields where the header has {len(header)}; quote the separator", line=line)
    if len(row) < len(header):
        raise TraceError(f"the row ends after {len(row)} of {len(header)} fields", line=line, column=header[len(row)])
    return row


def _decoded(raw: bytes, repairs: Repairs) -> str:
    """The text of a file whose lines may differ in encoding: UTF-8 where a line is, else Windows-1252, else Latin-1."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        repairs.add("utf16_file_reencoded", 1, 1)
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "".join(_decoded_line(line, number, repairs) for number, line in enumerate(raw.split(b"\n"), 1))


def _decoded_line(line: bytes, number: int, repairs: Repairs) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8") + "\n"
    except UnicodeDecodeError:
        repairs.add("lines_reencoded", 1, number)
    try:
        return line.decode("cp1252") + "\n"
    except UnicodeDecodeError:
        return line.decode("latin-1") + "\n"


def _named(table: pd.DataFrame, columns: Mapping[str, str], repairs: Repairs) -> pd.DataFrame:
    theirs = {_plain(name): name for name in reversed(table.columns) if name != "line"}
    found = {}
    for standard in REQUIRED + OPTIONAL:
        name = columns.get(standard)
        if name is not None and name not in table.columns:
            raise TraceError(
                f"--columns names it for {standard}, but the file has {_listed(table)}", column=name, line=1
            )
        found[standard] = name or theirs.get(_plain(standard)) or _by_other_name(standard, theirs)
    for standard in REQUIRED:
        if found[standard] is None:
            raise TraceError(
                f"missing; the file has {_listed(table)}. Say --columns {standard}=NAME", column=standard, line=1
            )
    named = pd.DataFrame({s: table[found[s]] if found[s] else "" for s in REQUIRED + OPTIONAL}, index=table.index)
    for standard in OPTIONAL:
        if found[standard] is None:
            repairs.add(f"column_{standard}_missing", len(table), 1)
    return named.assign(line=table["line"])


def _by_other_name(standard: str, theirs: Mapping[str, str]) -> str | None:
    return next((theirs[other] for other, name in ALSO_CALLED.items() if name == standard and other in theirs), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _listed(table: pd.DataFrame) -> str:
    return ", ".join(str(name) for name in table.columns if name != "line") or "no columns"
