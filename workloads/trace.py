"""Owns the retail trace: real invoices with their real lines, in the order they happened. Everything that replays,
seeds or measures demand reads traces through here, by name or from a file."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.trace_cleaning import clean
from workloads.trace_names import is_packaged, trace_file
from workloads.trace_table import Repairs, TraceError, parse_columns, read_table

__all__ = ["CatalogueItem", "Invoice", "Line", "Source", "Trace", "TraceError", "parse_columns", "read_trace"]

PRICE_MINOR_MAX = 100_000_000


class Line(NamedTuple):
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One checkout, or one return of goods. `at_seconds` counts from the trace's first invoice. A SKU listed twice
    stays listed twice."""

    number: str
    at_seconds: float
    customer: str
    lines: tuple[Line, ...]
    is_return: bool

    def units_by_sku(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in self.lines:
            units[line.sku] += line.quantity
        return units


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One SKU, bought on `lines` line items. Category and brand are empty where the trace does not know them."""

    sku: str
    name: str
    price_minor: int
    lines: int
    category: str = ""
    brand: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a trace came from. `attribution` is known of packaged traces; of a file, its owner knows it."""

    name: str
    sha256: str
    attribution: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "sha256": self.sha256, "attribution": self.attribution}


@dataclass(frozen=True, slots=True)
class Trace:
    """`rows` has one line item a row: line, invoice, sku, description, quantity, customer, at, price (major units),
    returned, and of a packaged trace category and brand."""

    rows: pd.DataFrame
    begins_at: datetime
    repairs: Repairs
    source: Source

    def invoices(self) -> list[Invoice]:
        return list(_invoices(self.rows, self.begins_at))

    def first_seconds(self, seconds: float) -> "Trace":
        """What happened less than `seconds` after the first invoice."""
        ends_at = self.begins_at + timedelta(seconds=seconds)
        return replace(self, rows=self.rows[self.rows["at"] < ends_at].reset_index(drop=True))

    def catalogue(self) -> list[CatalogueItem]:
        """One item per stock code, most ordered first, with its most usual name and its median price."""
        by_sku, skus = pd.factorize(self.rows["sku"])
        price = (self.rows["price"].groupby(by_sku).median() * 100).round().clip(1, PRICE_MINOR_MAX).astype(int)
        lines = np.bincount(by_sku, minlength=len(skus))
        names, categories, brands = (
            self._usual(each, by_sku, len(skus)) for each in ("description", "category", "brand")
        )
        return [
            CatalogueItem(skus[at], names[at] or skus[at], int(price[at]), int(lines[at]), categories[at], brands[at])
            for at in np.argsort(-lines, kind="stable")
        ]

    def _usual(self, column: str, by_sku: NDArray[np.intp], skus: int) -> list[str]:
        """What most rows of each SKU have there; the first in the alphabet of those that are as frequent."""
        if column not in self.rows:
            return [""] * skus
        codes, values = pd.factorize(self.rows[column], sort=True)
        said = (self.rows[column] != "").to_numpy()
        pairs, counts = np.unique(by_sku[said] * len(values) + codes[said], return_counts=True)
        sku, value = np.divmod(pairs, len(values))
        best = np.lexsort((-value, counts))  # the last one written wins
        usual = np.full(skus, "", dtype=object)
        usual[sku[best]] = values.to_numpy(dtype=object)[value[best]]
        return usual.tolist()


def read_trace(
    trace: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    month: str | None = None,
    limit: int | None = None,
    drop_bad_rows: bool = False,
    drop_duplicates: bool = False,
) -> Trace:
    """The trace called `trace`, by name or from a file (CSV or Parquet), mended; `month` is `2017-12`, `limit` a number
    of invoices, and `columns` maps standard names to a file's own.

    Raises TraceError naming line and column for what cannot be mended. Rows that repeat an earlier row of their invoice
    exactly are kept, since a basket may list an item twice, and counted; `drop_duplicates` leaves them out."""
    repairs = Repairs()
    if is_packaged(trace):
        rows, source = _packaged(str(trace), columns, repairs)
    else:
        rows, source = _from_file(trace_file(trace), columns or {}, repairs, drop_bad_rows=drop_bad_rows)
        rows = _without_duplicates(rows, repairs, drop=drop_duplicates)
    rows = _first_invoices(_month(rows, month), limit)
    if rows.empty:
        raise TraceError(f"no invoice is left to replay in {trace}" + (f" for {month}" if month else ""))
    return Trace(rows.reset_index(drop=True), rows["at"].iloc[0].to_pydatetime(), repairs, source)


def _packaged(name: str, columns: Mapping[str, str] | None, repairs: Repairs) -> tuple[pd.DataFrame, Source]:
    from workloads import complete_journey

    if columns:
        raise TraceError(f"--columns is for files: {name} has columns of its own")
    rows, digest = complete_journey.read_year(repairs)
    return rows, Source(name, digest, complete_journey.ATTRIBUTION)


def _from_file(
    path: Path, columns: Mapping[str, str], repairs: Repairs, *, drop_bad_rows: bool
) -> tuple[pd.DataFrame, Source]:
    rows = clean(read_table(path, columns, repairs), repairs, drop_bad_rows=drop_bad_rows)
    with path.open("rb") as file:
        return rows, Source(path.name, hashlib.file_digest(file, "sha256").hexdigest())


def _without_duplicates(rows: pd.DataFrame, repairs: Repairs, *, drop: bool) -> pd.DataFrame:
    repeated = rows.duplicated([name for name in rows.columns if name != "line"])
    repairs.add_where("duplicate_rows_dropped" if drop else "duplicate_rows_kept", repeated, rows["line"])
    return rows[~repeated] if drop else rows


def _month(rows: pd.DataFrame, month: str | None) -> pd.DataFrame:
    if month is None:
        return rows
    try:
        wanted = pd.Period(datetime.strptime(month, "%Y-%m"), freq="M")
    except ValueError:
        raise TraceError(f"a month is written like 2017-12, not {month!r}") from None
    return rows[rows["at"].dt.to_period("M") == wanted]


def _first_invoices(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if limit is None:
        return rows
    begins = (rows["invoice"] != rows["invoice"].shift()) | (rows["returned"] != rows["returned"].shift())
    return rows[begins.cumsum() <= limit]


def _invoices(rows: pd.DataFrame, begins_at: datetime) -> Iterator[Invoice]:
    seconds = (rows["at"] - begins_at).dt.total_seconds().to_numpy()
    columns = (_shared(rows[name]) for name in ("invoice", "returned", "customer", "sku", "quantity"))
    lines: list[Line] = []
    head: tuple[str, bool, str, float] | None = None
    for number, returned, customer, sku, quantity, at_seconds in zip(*columns, seconds.tolist(), strict=True):
        if head is not None and head[:2] != (number, returned):
            yield _invoice(head, lines)
            head, lines = None, []
        # A customer named on any row of the invoice is the customer of the whole.
        head = (number, returned, head[2] or customer, head[3]) if head else (number, returned, customer, at_seconds)
        lines.append(Line(sku, quantity))
    if head is not None:
        yield _invoice(head, lines)


def _invoice(head: tuple[str, bool, str, float], lines: list[Line]) -> Invoice:
    number, returned, customer, at_seconds = head
    return Invoice(number, at_seconds, customer, tuple(lines), returned)


def _shared(values: "pd.Series[Any]") -> list[Any]:
    """The values as Python objects, equal ones the same object: a year has a million SKUs, of which few differ."""
    codes, different = pd.factorize(values)
    return np.array([*different.tolist(), None], dtype=object)[codes].tolist()
