"""Files of rows: CSV as spreadsheets save it, or JSON Lines. Read row by row with line numbers, written page by page.

A fault in a row is told for that row; only what makes the whole file unreadable is raised."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from service.errors import Invalid, Malformed, Problem, TooLarge
from service.infra import json
from service.web.http.reading import converted

CSV, JSON_LINES, NDJSON = "text/csv", "application/jsonl", "application/x-ndjson"
ROW_CHARACTERS_MAX = 20_000
DELIMITERS = ",;\t"  # whichever the header has most of
SEPARATORS = re.compile(r"[\s_-]+")
FORMULA = re.compile(r"['=+\-@\t\r\n]")  # what a spreadsheet takes for more than text, and our own mark


class Row(NamedTuple):
    """What stands in one row, or what is wrong with it. `line` is where it begins, the first one being 1."""

    line: int
    taken: Any
    fault: Problem | None = None


class Columns(NamedTuple):
    """What a file may name its fields: `shape` is what a row is converted to, `aliases` are other names of its fields
    and `ignored` columns that an export has and an import does not change."""

    shape: type[msgspec.Struct]
    aliases: Mapping[str, str] = {}
    ignored: frozenset[str] = frozenset()
    cells: Mapping[str, Callable[[str], Any]] = {}  # what stands in a cell that is no plain value

    @property
    def known(self) -> dict[str, str]:
        """Field by name, however it is written: `onHand`, `on_hand`, `On hand`."""
        own = {field.encode_name: field.encode_name for field in msgspec.structs.fields(self.shape)}
        named = {**own, **self.aliases, **dict.fromkeys(self.ignored, "")}
        return {plain(name): field for name, field in named.items()}


def plain(name: str) -> str:
    return SEPARATORS.sub("", name).lower()


def read_rows(body: bytes, media: str, columns: Columns, lines_max: int) -> Iterator[Row]:
    """Raises Malformed, TooLarge or Invalid, before the first row, about the file as a whole."""
    if body.count(b"\n") > lines_max:
        raise TooLarge(f"A file may have at most {lines_max} lines: send it in parts")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Malformed(f"Line {line} is not UTF-8: save the file as CSV UTF-8") from None
    if not text.strip():
        raise Malformed("The file is empty")
    return _json_rows(text, columns) if media != CSV else _csv_rows(text, columns)


def _csv_rows(text: str, columns: Columns) -> Iterator[Row]:
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    cells = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(row for row in cells if any(row))
    except csv.Error as error:
        raise Malformed(f"The header cannot be read: {error}") from None
    return _rows_below(cells, _fields_of(header, columns), columns)


def _fields_of(header: Sequence[str], columns: Columns) -> list[str]:
    """The field of each column; "" is for one that is not read. Raises Invalid."""
    known, faults = columns.known, []
    fields = [known.get(plain(name)) for name in header]
    for name, field in zip(header, fields, strict=True):
        if field is None:
            faults.append({"path": name[:100], "message": "Is no column of this file"})
        elif field and fields.count(field) > 1:
            faults.append({"path": name[:100], "message": f"Stands for {field}, as another column does"})
    faults += [
        {"path": field.encode_name, "message": "Is a column that the file needs"}
        for field in msgspec.structs.fields(columns.shape)
        if field.required and field.encode_name not in fields
    ]
    if faults:
        raise Invalid(f"The header: {faults[0]['path']}: {faults[0]['message']}", errors=faults)
    return [field or "" for field in fields]


def _rows_below(cells: Any, fields: Sequence[str], columns: Columns) -> Iterator[Row]:
    while True:
        line = cells.line_num + 1
        try:
            row = next(cells, None)
        except csv.Error as error:
            yield Row(line, None, Malformed(f"Cannot be read from here on: {error}"))
            return
        if row is None:
            return
        if any(row):
            yield _checked(line, lambda row=row: _cells(row, fields, columns.cells), columns.shape, strict=False)  # type: ignore[misc]


def _cells(row: Sequence[str], fields: Sequence[str], parsed: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    if len(row) > len(fields):
        raise Invalid(f"Has {len(row)} cells, the header {len(fields)}")
    given = {field: unguarded(cell.strip()) for field, cell in zip(fields, row, strict=False) if field and cell.strip()}
    return {field: parsed[field](cell) if field in parsed else cell for field, cell in given.items()}


def _json_rows(text: str, columns: Columns) -> Iterator[Row]:
    known = columns.known
    for line, written in enumerate(io.StringIO(text), 1):
        if written.strip():
            yield _checked(line, lambda written=written: _members(written, known), columns.shape, strict=True)  # type: ignore[misc]


def _members(written: str, known: Mapping[str, str]) -> dict[str, Any]:
    if len(written) > ROW_CHARACTERS_MAX:
        raise TooLarge(f"Is longer than {ROW_CHARACTERS_MAX} characters")
    try:
        given = msgspec.json.decode(written)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"Is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Malformed("Is not a JSON object")
    named = [(known.get(plain(name), name), value) for name, value in given.items() if value is not None]
    return {field: value for field, value in named if field}


def _checked(line: int, read: Callable[[], dict[str, Any]], shape: type[Any], *, strict: bool) -> Row:
    try:
        fields = read()
        if sum(len(value) for value in fields.values() if isinstance(value, str)) > ROW_CHARACTERS_MAX:
            raise TooLarge(f"Is longer than {ROW_CHARACTERS_MAX} characters")
        return Row(line, converted(fields, shape, strict=strict))
    except Problem as fault:
        return Row(line, None, fault)


def guarded(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula is marked as text; numbers are numbers."""
    return "'" + cell if isinstance(cell, str) and FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def written(rows: Iterable[Mapping[str, Any]], names: Sequence[str], media: str, *, header: bool) -> bytes:
    """A page of a file. Fields that are None are empty cells."""
    if media != CSV:
        return b"".join(json.encode(row) + b"\n" for row in rows)
    page = io.StringIO(newline="")
    cells = csv.writer(page)
    if header:
        cells.writerow(names)
    cells.writerows([guarded(_cell(row[name])) for name in names] for row in rows)
    return page.getvalue().encode()


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
