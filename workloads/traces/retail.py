"""Owns the retail trace: real invoices with their real lines, in the order they happened. Everything that replays,
seeds or measures demand reads traces through here, by name or from files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.traces.cleaning import Cleaned, clean
from workloads.traces.columns import parse_columns
from workloads.traces.faults import Repairs, TraceError
from workloads.traces.names import packaged_name, trace_file
from workloads.traces.options import Join, ReadOptions, Returns
from workloads.traces.reading import RawTrace, Source, read_raw
from workloads.traces.spread import EVENLY, over_their_days

__all__ = [
    "CatalogueItem",
    "Invoice",
    "InvoiceLine",
    "ReadOptions",
    "Trace",
    "TraceError",
    "parse_columns",
    "read_trace",
]

PRICE_MINOR_MAX = 1_000_000_000
ATTRIBUTION_LENGTH_MAX = 2_000


class InvoiceLine(NamedTuple):
    """One line item. A trace has a million of them, and a tuple is made three times as fast as a dataclass."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One checkout, or one return of goods. `at_seconds` counts from the trace's first invoice. A SKU listed twice
    stays listed twice."""

    number: str
    at_seconds: float
    customer: str
    lines: tuple[InvoiceLine, ...]
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
class Trace:
    """`rows` has one line item a row: line, invoice, sku, description, quantity, customer, at, price (major units),
    returned, and of a packaged trace category and brand. `provenance` says where it comes from and how it was read;
    `understood` what was decided on the way."""

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
        by_sku, codes = pd.factorize(self.rows["sku"])
        skus = codes.tolist()
        price = (
            (self.rows["price"].groupby(by_sku).median() * 100).round().clip(1, PRICE_MINOR_MAX).astype(int).tolist()
        )
        lines = np.bincount(by_sku, minlength=len(skus))
        names, categories, brands = (
            self._usual(each, by_sku, len(skus)) for each in ("description", "category", "brand")
        )
        return [
            CatalogueItem(skus[at], names[at] or skus[at], price[at], int(lines[at]), categories[at], brands[at])
            for at in np.argsort(-lines, kind="stable").tolist()
        ]

    def first_seconds(self, seconds: float) -> "Trace":
        """What happened less than `seconds` after the first invoice."""
        ends_at = self.begins_at + timedelta(seconds=seconds)
        return replace(self, rows=self.rows[self.rows["at"] < ends_at].reset_index(drop=True))

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
    """The trace called `files`, by name or from files (CSV, JSON, Parquet or spreadsheet, packed or not; several follow
    one another), mended. The options are those of `ReadOptions`.

    Raises TraceError naming line and column for what cannot be mended. Rows that repeat an earlier row of their invoice
    exactly are kept, since a basket may list an item twice, and counted; `drop_duplicates` leaves them out."""
    options = ReadOptions(
        columns or {}, tuple(joins), day_first, decimal, returns, encoding, month, limit, drop_bad_rows,
        drop_duplicates, spread, attribution,
    )  # fmt: skip
    return read_with([files] if isinstance(files, str | Path) else files, options)


def read_with(files: Sequence[str | Path], options: ReadOptions) -> Trace:
    """`read_trace`, with its options as one. Raises TraceError."""
    name = packaged_name(files)
    trace = _packaged(name, options) if name else _from_files([trace_file(each) for each in files], options)
    rows = _first_invoices(_month(trace.rows, options.month), options.limit).reset_index(drop=True)
    if rows.empty:
        of_month = f" for {options.month}" if options.month else ""
        raise TraceError(f"no invoice is left to replay in {', '.join(map(str, files))[:200]}{of_month}")
    return replace(trace, rows=rows, begins_at=rows["at"].iloc[0].to_pydatetime())


def _from_files(paths: Sequence[Path], options: ReadOptions) -> Trace:
    repairs = Repairs()
    raw = read_raw(paths, options, repairs)
    cleaned = clean(raw, options, repairs)
    rows = _without_duplicates(cleaned.rows, repairs, drop=options.drop_duplicates)
    _say_if_without_time(cleaned, options, repairs)
    return Trace(
        rows,
        datetime.min,
        repairs,
        cleaned.has_time,
        options.spread,
        _provenance(raw, options),
        cleaned.understood
        | {"files": [{"name": each.name, "rows": each.rows} | each.understood for each in raw.sources]},
    )


def _packaged(name: str, options: ReadOptions) -> Trace:
    """A packaged trace needs no explanation: only `--month`, `--limit` and `--spread` say something about it."""
    from workloads.traces import complete_journey

    said = _said(options)
    if about_files := sorted(set(said) - {"month", "limit", "spread"}):
        raise TraceError(f"--{about_files[0].replace('_', '-')} is for files: {name} is understood as it is")
    repairs = Repairs()
    rows, provenance, understood = complete_journey.read_year(repairs)
    provenance |= {"name": name, "options": said, "month": options.month, "limit": options.limit}
    return Trace(rows, datetime.min, repairs, True, options.spread, provenance, understood)


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
        raise TraceError(f"a month is written like 2017-12, not {month!r}") from None
    of_month: pd.DataFrame = rows[rows["at"].dt.to_period("M") == wanted]
    return of_month


def _first_invoices(rows: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    if limit is None:
        return rows
    begins = (rows["invoice"] != rows["invoice"].shift()) | (rows["returned"] != rows["returned"].shift())
    return rows[begins.cumsum() <= limit]


def _invoices(rows: pd.DataFrame, begins_at: datetime) -> Iterator[Invoice]:
    """Neighbouring rows of one number and one direction are one invoice."""
    numbers, returned = (pd.factorize(rows[name])[0] for name in ("invoice", "returned"))
    begins = np.flatnonzero(np.diff(numbers, prepend=-1).astype(bool) | np.diff(returned, prepend=-1).astype(bool))
    seconds = (rows["at"] - begins_at).dt.total_seconds().to_numpy()[begins].tolist()
    heads = rows[["invoice", "returned"]].iloc[begins]
    skus, quantities, customers = (_shared(rows[name]) for name in ("sku", "quantity", "customer"))
    ends = [*begins[1:].tolist(), len(rows)]
    for number, back, at, begin, end in zip(heads["invoice"], heads["returned"], seconds, begins, ends, strict=True):
        # A customer named on any row of the invoice is the customer of the whole.
        customer = next(filter(None, customers[begin:end]), "")
        lines = tuple(map(InvoiceLine, skus[begin:end], quantities[begin:end]))
        yield Invoice(number, at, customer, lines, bool(back))


def _shared(values: "pd.Series[Any]") -> list[Any]:
    """The values as Python objects, equal ones the same object: a year has a million SKUs, of which few differ."""
    codes, different = pd.factorize(values)
    return list(np.array([*different.tolist(), None], dtype=object)[codes])


def _usual_hours() -> tuple[float, ...]:
    from workloads.model.demand import load_profile

    return tuple(load_profile().arrival_share_by_hour)
