"""Owns the files whose cells have types already: Parquet, and spreadsheets (.xlsx, .xls, .xlsb, .ods)."""

import datetime as dt
import io
import json
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from workloads.traces.faults import Repairs, TraceError
from workloads.traces.files import FILE_BYTES_MAX, Content
from workloads.traces.table import Table, check_size, texts_frame, unique_names

METADATA_KEY = b"holdfast.trace"


def read_parquet(content: Content) -> Table:
    try:
        file = parquet.ParquetFile(pa.BufferReader(content.data))
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(number).total_byte_size for number in groups)
        check_size(file.metadata.num_columns, file.metadata.num_rows)
        if unpacked > FILE_BYTES_MAX:
            raise TraceError(f"{content.name} unpacks to more than {FILE_BYTES_MAX >> 20:,} MiB; split it by month")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        first_line = str(error).splitlines()[0][:120] if str(error) else "damaged"
        raise TraceError(f"{content.name} is not a readable Parquet file: {first_line}") from None
    names, repeated = unique_names([str(name) for name in table.column_names])
    frame = pd.DataFrame({name: _arrow_series(table.column(number)) for number, name in enumerate(names)})
    lines = np.arange(1, table.num_rows + 1)
    return Table(frame, lines, "row", None, repeated, {}, _metadata(table.schema.metadata or {}))


def _metadata(found: dict[bytes, bytes]) -> dict[str, Any]:
    """What `trace convert` wrote about the trace; nothing where it did not write this file."""
    try:
        document = json.loads(found.get(METADATA_KEY, b"{}"))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _arrow_series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _arrow_series(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = getattr(kind, "tz", None)
        moments: pd.Series[Any] = column.cast(pa.timestamp("us", tz=zone), safe=False).to_pandas()
        return moments.dt.tz_convert("UTC").dt.tz_localize(None) if zone else moments
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        floats: pd.Series[float] = column.cast(pa.float64(), safe=False).to_pandas()
        return floats
    if pa.types.is_integer(kind):
        series: pd.Series[Any] = column.to_pandas(
            types_mapper={pa.int64(): pd.Int64Dtype()}.get, integer_object_nulls=True
        )
        return series.astype("Int64") if column.null_count else series.astype("int64", errors="ignore")
    return _texts(column)


def _texts(column: pa.ChunkedArray) -> "pd.Series[Any]":
    try:
        texts = column.cast(pa.large_string())
    except (pa.ArrowException, ValueError):
        texts = pa.chunked_array([pa.array([_said(each) for each in column.to_pylist()], pa.large_string())])
    return texts_frame(pa.table({"texts": texts.fill_null("")}))["texts"]


def _said(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def read_spreadsheet(content: Content, repairs: Repairs) -> Table:
    """All sheets under the first one's header, as one table: a workbook of years is one trace."""
    try:
        import python_calamine as calamine
    except ModuleNotFoundError:
        raise TraceError(
            f"{content.name} is a spreadsheet, and reading one needs the extra: pip install 'holdfast[load]'"
        ) from None
    _refuse_bomb(content)
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content.data))
        sheets = [(name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in book.sheet_names]
    except Exception as error:  # noqa: BLE001 - a native reader raises kinds of its own, panics included
        raise TraceError(f"{content.name} is not a readable spreadsheet: {str(error)[:120]}") from None
    return _sheets_table(content.name, sheets, repairs)


def _refuse_bomb(content: Content) -> None:
    if not content.data.startswith(b"PK"):
        return
    with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
        unpacked = sum(each.file_size for each in archive.infolist())
    if unpacked > FILE_BYTES_MAX // 4:
        raise TraceError(f"{content.name} unpacks to {unpacked >> 20:,} MiB; save it as CSV, a month a file")


def _sheets_table(name: str, sheets: list[tuple[str, list[list[Any]]]], repairs: Repairs) -> Table:
    header: list[str] = []
    header_line, rows, lines, used = 1, list[list[Any]](), list[int](), list[str]()
    for sheet, cells in sheets:
        first = next((number for number, row in enumerate(cells) if sum(_filled(cell) for cell in row) > 1), None)
        if first is None:
            continue
        theirs = [str(cell).strip() for cell in cells[first]]
        if not header:
            header, header_line = theirs, first + 1
        if theirs != header:
            repairs.add("sheets_of_another_header_ignored", 1, first + 1, f"sheet {sheet[:60]}")
            continue
        used.append(sheet)
        rows += cells[first + 1 :]
        lines += range(first + 2, len(cells) + 1)
        check_size(len(header), len(rows))
    if not header:
        raise TraceError(f"{name} has no sheet with a header")
    names, repeated = unique_names(header)
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    frame = pd.DataFrame({name: _cells(column) for name, column in zip(names, columns, strict=True)})
    return Table(frame, np.array(lines, dtype=np.int64), "row", header_line, repeated, {"sheets": used})


def _filled(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _cells(column: tuple[Any, ...]) -> "pd.Series[Any]":
    """Numbers and moments where all cells are such; a column of many kinds becomes texts."""
    filled = [cell for cell in column if _filled(cell)]
    if filled and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in filled):
        return pd.Series([float(cell) if _filled(cell) else np.nan for cell in column], dtype="float64")
    if filled and all(isinstance(cell, dt.datetime | dt.date) for cell in filled):
        moments = [pd.Timestamp(cell).as_unit("us") if _filled(cell) else pd.NaT for cell in column]
        return pd.Series(moments, dtype="datetime64[us]")
    return pd.Series([_cell_text(cell) for cell in column], dtype="str")


def _cell_text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat(*([" "] if isinstance(cell, dt.datetime) else []))
    return "" if cell is None else str(cell)
