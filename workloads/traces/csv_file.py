"""Owns CSV as people's tools write it: any of four separators, `sep=;` on the first line, titles and blank lines above
the header, fields of several lines, rows that are too short or too long.

A clean file goes through Arrow's reader. Python's reads all others again, since it knows on which line it is."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from workloads.traces.faults import Repairs, TraceError
from workloads.traces.table import Table, check_size, texts_frame, unique_names

SEPARATORS = ",;\t|"
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD_BYTES, HEAD_RECORDS = 1 << 20, 50
TITLE_LINES_MAX = 20
ROWS_TOGETHER = 50_000


@dataclass(frozen=True, slots=True)
class Layout:
    """`header_line` is where the header stands, `lines_before_rows` how many lines end before the first row."""

    separator: str
    header: list[str]
    header_line: int
    lines_before_rows: int


def read_csv(data: bytes, known_names: Callable[[Iterable[str]], int], repairs: Repairs) -> Table:
    """`known_names` says how many of a line's fields are names of columns it knows. Raises TraceError."""
    data = _with_usual_line_ends(_without_nuls(data, repairs))
    layout = _layout(data, known_names, repairs)
    names, repeated = unique_names(layout.header)
    check_size(len(names), 0, layout.header_line)
    body = data[_offset_of_line(data, layout.lines_before_rows) :]
    table = _quickly(body, layout, names) or _carefully(body, layout, names, repairs)
    table.repeated = repeated
    table.understood |= {"separator": NAMES[layout.separator], "headerLine": layout.header_line}
    return table


def _without_nuls(data: bytes, repairs: Repairs) -> bytes:
    at = data.find(b"\0")
    if at < 0:
        return data
    repairs.add("nul_characters_removed", data.count(b"\0"), data.count(b"\n", 0, at) + 1)
    return data.replace(b"\0", b"")


def _with_usual_line_ends(data: bytes) -> bytes:
    """Old Macs, and some exports of today, end a line with a carriage return alone."""
    return data.replace(b"\r", b"\n") if b"\n" not in data else data


def _layout(data: bytes, known_names: Callable[[Iterable[str]], int], repairs: Repairs) -> Layout:
    head = data[:HEAD_BYTES].decode(errors="replace")
    if not head.strip():
        raise TraceError("the file is empty", line=1)
    declared, skipped = _declared_separator(head)
    chosen = declared or max(SEPARATORS, key=lambda separator: _fitness(head, separator))
    records = list(_records(head, chosen, HEAD_RECORDS))[1 if skipped else 0 :]
    filled = [each for each in records[: TITLE_LINES_MAX + 1] if any(field.strip() for field in each[1])]
    if not filled:
        raise TraceError("there is no header", line=1)
    known = [known_names(field.strip() for field in fields) for _, fields, _ in filled]
    header = 0 if known[0] >= 2 or max(known) < 3 else known.index(max(known))
    if header:
        repairs.add("lines_above_header_skipped", header, filled[0][0])
    line, fields, lines_done = filled[header]
    return Layout(chosen, [field.strip() for field in fields], line, lines_done)


def _declared_separator(head: str) -> tuple[str | None, bool]:
    """Excel's `sep=;` on the first line."""
    first = head.split("\n", 1)[0].strip().strip('"')
    if not first.lower().startswith("sep="):
        return None, False
    declared = first[4:].strip() or first[4:5]
    declared = {"\\t": "\t", "": "\t"}.get(declared, declared)
    if declared not in SEPARATORS:
        raise TraceError(f"sep={declared} is no separator of a trace; understood are , ; tab and |", line=1)
    return declared, True


def _fitness(head: str, separator: str) -> tuple[float, int]:
    """How alike the first records are under a separator, and how many fields they have."""
    lengths = [len(fields) for _, fields, _ in _records(head, separator, HEAD_RECORDS) if any(fields)]
    if len(lengths) > 1:
        lengths.pop()  # the sample may end within it
    most = max(lengths, default=1)
    return (round(lengths.count(most) / len(lengths), 1), most) if most > 1 else (0.0, 1)


def _records(text: str, separator: str, most: int) -> Iterator[tuple[int, list[str], int]]:
    """The first records with the line each begins on and the line it ends on; ends quietly where it is no CSV."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    before = 0
    try:
        for _, row in zip(range(most), rows, strict=False):
            yield before + 1, row, rows.line_num
            before = rows.line_num
    except csv.Error:
        return


def _offset_of_line(data: bytes, lines: int) -> int:
    at = 0
    for _ in range(lines):
        found = data.find(b"\n", at)
        if found < 0:
            return len(data)
        at = found + 1
    return at


def _quickly(body: bytes, layout: Layout, names: list[str]) -> Table | None:
    """Arrow's reading, if every line is one row of as many fields as the header has; None where it is not."""
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    if not body or b"\r" in body.replace(b"\r\n", b""):
        return None
    try:
        rows = arrow_csv.read_csv(
            pa.BufferReader(body),
            arrow_csv.ReadOptions(column_names=names, use_threads=True),
            arrow_csv.ParseOptions(delimiter=layout.separator, newlines_in_values=False),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowException:
        return None
    if rows.num_rows != lines:
        return None
    last = body.rstrip(b"\n").rsplit(b"\n", 1)[-1].decode(errors="replace")
    _refuse_open_quote(last, layout.lines_before_rows + lines, layout)
    check_size(len(names), rows.num_rows)
    first = layout.lines_before_rows + 1
    return Table(texts_frame(rows), np.arange(first, first + lines), header_line=layout.header_line)


def _carefully(body: bytes, layout: Layout, names: list[str], repairs: Repairs) -> Table:
    text = body.decode(errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=layout.separator)
    chunks: list[pa.Table] = []
    lines: list[int] = []
    kept: list[list[str]] = []
    before = layout.lines_before_rows
    try:
        for row in rows:
            line, before = before + 1, layout.lines_before_rows + rows.line_num
            if not any(field.strip() for field in row):
                repairs.add("blank_lines_dropped", 1, line)
                continue
            kept.append(_fitted(row, layout.header, line, repairs))
            lines.append(line)
            if len(kept) == ROWS_TOGETHER:
                chunks.append(_chunk(kept, names))
                check_size(len(names), len(lines), line)
                kept = []
    except csv.Error as error:
        raise TraceError(f"not readable as CSV: {error}", line=before + 1) from None
    if lines:
        last = text.split("\n", lines[-1] - layout.lines_before_rows - 1)[-1]
        _refuse_open_quote(last, lines[-1], layout)
    table = pa.concat_tables([*chunks, _chunk(kept, names)])
    return Table(texts_frame(table), np.array(lines, dtype=np.int64), header_line=layout.header_line)


def _chunk(rows: list[list[str]], names: list[str]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table([pa.array(column, pa.large_string()) for column in columns], names=names)


def _fitted(row: list[str], header: list[str], line: int, repairs: Repairs) -> list[str]:
    if len(row) == len(header):
        return row
    while len(row) > len(header) and not row[-1].strip():
        row.pop()
    if len(row) > len(header):
        raise TraceError(f"{len(row)} fields where the header has {len(header)}; quote the separator", line=line)
    if len(row) < len(header):
        raise TraceError(f"the row ends after {len(row)} of {len(header)} fields", line=line, column=header[len(row)])
    return row


def _refuse_open_quote(last: str, line: int, layout: Layout) -> None:
    """A quote that is never closed swallows the rest of the file in silence."""
    try:
        list(csv.reader(io.StringIO(last, newline=""), delimiter=layout.separator, strict=True))
    except csv.Error as error:
        if "end of data" in str(error):
            raise TraceError("a quote opened here is never closed", line=line) from None
