"""Owns the retail trace: real invoices with their real lines, in the order they happened. Everything that replays,
seeds or measures demand reads traces through here. Documented in the README with the data set's attribution."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from workloads.traces.cleaning import Cleaned, clean
from workloads.traces.columns import parse_columns
from workloads.traces.faults import Repairs, TraceError
from workloads.traces.options import Join, ReadOptions, Returns
from workloads.traces.reading import RawTrace, Source, read_raw
from workloads.traces.spread import EVENLY, over_their_days

__all__ = ["CatalogueItem", "Invoice", "Line", "ReadOptions", "Trace", "TraceError", "parse_columns", "read_trace"]

ATTRIBUTION = (
    "Chen, D. (2015). Online Retail [data set]. UCI Machine Learning Repository. "
    "https://doi.org/10.24432/C5BW33, licensed CC BY 4.0"
)
PENCE_MAX = 1_000_000_000
ATTRIBUTION_LENGTH_MAX = 2_000


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
    """`rows` has one line item a row: line, invoice, sku, description, quantity, customer, at, price, returned.
    `provenance` says where it comes from and how it was read; `understood` what was decided on the way."""

    rows: pd.DataFrame
    begins_at: datetime
    repairs: Repairs
    has_time: bool = True
    spread: bool | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    understood: dict[str, Any] = field(default_factory=dict)

    @property
    def attribution(self) -> str | None:
        """To whom the data is owed, where that is known."""
        return self.provenance.get("attribution")

    def invoices(self) -> list[Invoice]:
        """In the order of time. Where no row has a time of day they are spread over each day, unless `spread` is
        False: by the hours of the demand profile, or evenly when it is True."""
        found = list(_invoices(self.rows, self.begins_at))
        if self.has_time or self.spread is False:
            return found
        return over_their_days(found, EVENLY if self.spread else _usual_hours())

    def catalogue(self) -> list[CatalogueItem]:
        """One item per stock code, most ordered first, with its most usual name and its median price."""
        by_sku = self.rows.groupby("sku", sort=False)
        names = _usual_names(self.rows)
        pence = (by_sku["price"].median() * 100).round().clip(1, PENCE_MAX).astype(int)
        popularity = by_sku.size().sort_values(ascending=False, kind="stable")
        return [CatalogueItem(sku, names.get(sku, sku), int(pence[sku])) for sku in popularity.index]


def read_trace(
    files: str | Path | Sequence[str | Path],
    columns: Mapping[str, str] | None = None,
    *,
    joins: Sequence[Join] = (),
    day_first: bool | None = None,
    decimal: str | None = None,
    returns: Returns | None = None,
    encoding: str | None = None,
    month: str | None = None,
    limit: int | None = None,
    drop_bad_rows: bool = False,
    drop_duplicates: bool = False,
    spread: bool | None = None,
    attribution: str | None = None,
) -> Trace:
    """The trace in `files` (CSV, JSON, Parquet or spreadsheet, packed or not; several follow one another), mended.
    The options are those of `ReadOptions`.

    Raises TraceError naming line and column for what cannot be mended. Rows that repeat an earlier row of their invoice
    exactly are kept, since a basket may list an item twice, and counted; `drop_duplicates` leaves them out."""
    options = ReadOptions(
        columns or {}, tuple(joins), day_first, decimal, returns, encoding, month, limit, drop_bad_rows,
        drop_duplicates, spread, attribution,
    )  # fmt: skip
    paths = [Path(files)] if isinstance(files, str | Path) else [Path(each) for each in files]
    return read_with(paths, options)


def read_with(paths: Sequence[Path], options: ReadOptions) -> Trace:
    """`read_trace`, with its options as one. Raises TraceError."""
    repairs = Repairs()
    raw = read_raw(paths, options, repairs)
    cleaned = clean(raw, options, repairs)
    rows = _without_duplicates(cleaned.rows, repairs, drop=options.drop_duplicates)
    _say_if_without_time(cleaned, options, repairs)
    rows = _first_invoices(_month(rows, options.month), options.limit)
    if rows.empty:
        of_month = f" for {options.month}" if options.month else ""
        raise TraceError(f"no invoice is left to replay in {', '.join(map(str, paths))[:200]}{of_month}")
    return Trace(
        rows.reset_index(drop=True),
        rows["at"].iloc[0].to_pydatetime(),
        repairs,
        cleaned.has_time,
        options.spread,
        _provenance(raw, options),
        cleaned.understood
        | {"files": [{"name": each.name, "rows": each.rows} | each.understood for each in raw.sources]},
    )


def _say_if_without_time(cleaned: Cleaned, options: ReadOptions, repairs: Repairs) -> None:
    if cleaned.has_time or cleaned.rows.empty:
        return
    ways = {
        None: "invoices are spread over each day by the hours of the demand profile (--spread: evenly)",
        True: "invoices are spread evenly over each day",
        False: "each day's invoices come at once",
    }
    sentence = f"no row has a time of day; {ways[options.spread]}"
    repairs.add("dates_without_time", len(cleaned.rows), int(cleaned.rows["line"].min()), sentence)


def _provenance(raw: RawTrace, options: ReadOptions) -> dict[str, Any]:
    """What a result must say to be had again: the files with their hashes, and all that was said about them."""
    written = [source.metadata.get("attribution") for source in (*raw.sources, *raw.joined)]
    found = "; ".join(dict.fromkeys(text for text in written if isinstance(text, str) and text))
    return {
        "name": ", ".join(source.name for source in raw.sources)[:200],
        "files": [_file(source) for source in raw.sources],
        "joined": [_file(source) for source in raw.joined],
        "columns": raw.sources[0].understood.get("columns", {}),
        "options": _said(options),
        "month": options.month,
        "limit": options.limit,
        "attribution": (options.attribution or found or "")[:ATTRIBUTION_LENGTH_MAX] or None,
    }


def _said(options: ReadOptions) -> dict[str, Any]:
    """The options that differ from what they are by themselves."""
    usual = asdict(ReadOptions())
    said = {name: value for name, value in asdict(options).items() if value != usual[name] and name != "attribution"}
    if options.returns is not None:
        said["returns"] = asdict(options.returns) | {"words": sorted(options.returns.words)}
    return said


def _file(source: Source) -> dict[str, Any]:
    entry = {"name": source.name, "path": source.path, "sha256": source.sha256, "bytes": source.file_bytes}
    return entry | ({"madeOf": source.metadata.get("sources")} if source.standard_form else {})


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


def _usual_names(rows: pd.DataFrame) -> dict[str, str]:
    """Of each SKU the name most of its rows have; of two alike the first in the alphabet."""
    named = rows[rows["description"] != ""]
    counts = named.groupby(["sku", "description"], sort=True).size().rename("rows").reset_index()
    first = counts.sort_values("rows", ascending=False, kind="stable").drop_duplicates("sku")
    return dict(zip(first["sku"], first["description"], strict=True))


def _usual_hours() -> tuple[float, ...]:
    from workloads.model.demand import load_profile

    return tuple(load_profile().arrival_share_by_hour)
