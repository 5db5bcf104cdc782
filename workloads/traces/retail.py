"""Owns the retail trace: real invoices with their real lines, in the order they happened. Everything that replays,
seeds or measures demand reads traces through here. Documented in the README with the data set's attribution."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from workloads.trace_cleaning import clean
from workloads.trace_table import Repairs, TraceError, parse_columns, read_table

__all__ = ["CatalogueItem", "Invoice", "Line", "Trace", "TraceError", "parse_columns", "read_trace"]

ATTRIBUTION = (
    "Chen, D. (2015). Online Retail [data set]. UCI Machine Learning Repository. "
    "https://doi.org/10.24432/C5BW33, licensed CC BY 4.0"
)
PENCE_MAX = 100_000_000


@dataclass(frozen=True, slots=True)
class Line:
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
    sku: str
    name: str
    price_pence: int


@dataclass(frozen=True, slots=True)
class Trace:
    """`rows` has one line item a row: line, invoice, sku, description, quantity, customer, at, price, returned."""

    rows: pd.DataFrame
    begins_at: datetime
    repairs: Repairs

    def invoices(self) -> list[Invoice]:
        return list(_invoices(self.rows, self.begins_at))

    def catalogue(self) -> list[CatalogueItem]:
        """One item per stock code, most ordered first, with its most usual name and its median price."""
        by_sku = self.rows.groupby("sku", sort=False)
        names = by_sku["description"].agg(_usual_name)
        pence = (by_sku["price"].median() * 100).round().clip(1, PENCE_MAX).astype(int)
        popularity = by_sku.size().sort_values(ascending=False, kind="stable")
        return [CatalogueItem(sku, names[sku] or sku, int(pence[sku])) for sku in popularity.index]


def read_trace(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    month: str | None = None,
    limit: int | None = None,
    drop_bad_rows: bool = False,
    drop_duplicates: bool = False,
) -> Trace:
    """The trace at `path` (CSV or Parquet), mended; `month` is `2010-12`, `limit` a number of invoices.

    Raises TraceError naming line and column for what cannot be mended. Rows that repeat an earlier row of their invoice
    exactly are kept, since a basket may list an item twice, and counted; `drop_duplicates` leaves them out."""
    repairs = Repairs()
    rows = clean(read_table(Path(path), columns or {}, repairs), repairs, drop_bad_rows=drop_bad_rows)
    rows = _without_duplicates(rows, repairs, drop=drop_duplicates)
    rows = _first_invoices(_month(rows, month), limit)
    if rows.empty:
        raise TraceError(f"no invoice is left to replay in {path}" + (f" for {month}" if month else ""))
    return Trace(rows.reset_index(drop=True), rows["at"].iloc[0].to_pydatetime(), repairs)


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
        raise TraceError(f"a month is written like 2010-12, not {month!r}") from None
    return rows[rows["at"].dt.to_period("M") == wanted]


def _first_invoices(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if limit is None:
        return rows
    order = rows.groupby(["invoice", "returned"], sort=False).ngroup()
    return rows[order < limit]


def _invoices(rows: pd.DataFrame, begins_at: datetime) -> Iterator[Invoice]:
    seconds = (rows["at"] - begins_at).dt.total_seconds().to_numpy()
    columns = (rows[name].tolist() for name in ("invoice", "returned", "customer", "sku", "quantity"))
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


def _usual_name(names: pd.Series) -> str:
    named = names[names != ""]
    return str(named.mode().iloc[0]) if len(named) else ""
