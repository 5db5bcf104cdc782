"""Owns JSON as shops export it: one object a line, a list of objects, or one object that holds the list. Objects inside
become `outer.inner`, and a list of line items becomes one row an item."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from workloads.traces.faults import Repairs, TraceError
from workloads.traces.table import Table, check_size, unique_names

DEPTH_MAX = 6
INT64_MAX = 2**63 - 1


def looks_like_json(data: bytes) -> bool:
    return data[:1024].lstrip()[:1] in (b"{", b"[")


def read_json(data: bytes, repairs: Repairs) -> Table:
    """Raises TraceError naming the line or the item."""
    objects, unit = _objects(data)
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for line, found in objects:
        if not isinstance(found, dict):
            raise TraceError(f"an object is wanted, not {str(found)[:40]!r}", line=line, unit=unit)
        for row in _rows(found, line, unit):
            _append(columns, row, len(lines))
            lines.append(line)
        check_size(len(columns), len(lines), line)
    if not lines:
        raise TraceError("there is no object in the file", line=1)
    names, _ = unique_names(list(columns))
    frame = pd.DataFrame(
        {name: _series(values, len(lines)) for name, values in zip(names, columns.values(), strict=True)}
    )
    return Table(frame, np.array(lines, dtype=np.int64), unit=unit, header_line=None)


def _objects(data: bytes) -> tuple[Iterable[tuple[int, Any]], str]:
    """The objects with where they stand, and whether that is a line or an item."""
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return _by_line(data), "line"
    found = whole if isinstance(whole, list) else _list_in(whole)
    return list(enumerate(found, 1)), "item"


def _list_in(whole: Any) -> list[Any]:
    lists = [value for value in whole.values() if _is_list_of_objects(value)] if isinstance(whole, dict) else []
    return lists[0] if len(lists) == 1 and not _looks_like_an_order(whole) else [whole]


def _looks_like_an_order(whole: dict[str, Any]) -> bool:
    """An order with its line items is one object; a page of orders has little beside them."""
    return sum(not isinstance(value, dict | list) for value in whole.values()) > 2


def _by_line(data: bytes) -> Iterator[tuple[int, Any]]:
    for line, text in enumerate(data.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            yield line, msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TraceError(f"not readable as JSON: {str(error)[:120]}", line=line) from None


def _rows(found: dict[str, Any], line: int, unit: str) -> list[dict[str, Any]]:
    flat: dict[str, Any] = {}
    _flatten(found, "", flat, DEPTH_MAX, line, unit)
    lists = [name for name, value in flat.items() if _is_list_of_objects(value)]
    flat = {name: value for name, value in flat.items() if not isinstance(value, list) or name in lists}
    if not lists:
        return [flat]
    items = max(lists, key=lambda name: ("item" in name.lower()) + ("line" in name.lower()))
    rest = {name: value for name, value in flat.items() if name not in lists}
    rows = []
    for item in flat[items]:
        inner: dict[str, Any] = {}
        _flatten(item, f"{items}.", inner, DEPTH_MAX, line, unit)
        rows.append(rest | {name: value for name, value in inner.items() if not isinstance(value, list)})
    return rows


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _flatten(found: dict[str, Any], prefix: str, into: dict[str, Any], depth: int, line: int, unit: str) -> None:
    if depth == 0:
        raise TraceError(f"objects lie deeper than {DEPTH_MAX} levels", line=line, unit=unit)
    for name, value in found.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{name}.", into, depth - 1, line, unit)
        else:
            into[f"{prefix}{name}".strip()] = value


def _append(columns: dict[str, list[Any]], row: dict[str, Any], at: int) -> None:
    for name, value in row.items():
        values = columns.setdefault(name, [])
        values.extend([None] * (at - len(values)))
        values.append(value)


def _series(values: list[Any], size: int) -> "pd.Series[Any]":
    """Numbers stay numbers where all are; everything else becomes text."""
    values.extend([None] * (size - len(values)))
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and all(value is None or abs(value) <= INT64_MAX for value in values):
        return pd.Series(values, dtype="Int64") if None in values else pd.Series(values, dtype="int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([float("nan") if value is None else float(value) for value in values], dtype="float64")
    return pd.Series(["" if value is None else _text(value) for value in values], dtype="str")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.encode(errors="replace").decode() if isinstance(value, str) else str(value)
