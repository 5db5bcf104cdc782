"""Owns turning the values of a trace into ones that can be trusted. Each kind of dirt is either mended, and counted in
the repairs, or refused with the line and the column; a row is left out only when the caller said so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.traces.columns import RETURNED
from workloads.traces.dates import UNDERSTOOD, YEAR_MAX, YEAR_MIN, DateColumn, read_dates
from workloads.traces.faults import Repairs, TraceError
from workloads.traces.numbers import COMMA, NumberColumn, Undecided, read_numbers
from workloads.traces.options import ReadOptions, Returns
from workloads.traces.reading import RawTrace
from workloads.traces.skus import skus_of
from workloads.traces.texts import ids_of, texts_of

QUANTITY_MAX = 1_000_000_000
PRICE_MAX = 10_000_000.0
TEXT_LENGTH_MAX = 512
DAY = pd.Timedelta(days=1)


@dataclass(slots=True)
class Cleaned:
    """`rows`: line, invoice, sku, description, quantity (above 0), customer, at, price, returned; in the order of time,
    those of one moment in the order of the file. `understood` tells how numbers and dates were read."""

    rows: pd.DataFrame
    has_time: bool
    understood: dict[str, Any] = field(default_factory=dict)


def clean(raw: RawTrace, options: ReadOptions, repairs: Repairs) -> Cleaned:
    """Raises TraceError for what cannot be mended."""
    cleaner = _Cleaner(raw, options, repairs)
    rows = pd.DataFrame({"line": raw.lines})
    rows["invoice"] = cleaner.required_ids("InvoiceNo")
    rows["code"] = cleaner.required_ids("StockCode")
    rows["description"] = texts_of(raw.frame["Description"]).str.slice(0, TEXT_LENGTH_MAX)
    quantities, prices = cleaner.numbers()
    rows["quantity"] = cleaner.quantities(quantities)
    rows["customer"] = _customers(ids_of(raw.frame["CustomerID"]))
    rows["at"] = cleaner.dates(rows["invoice"], usual_day_first=prices.decimal == COMMA)
    rows["price"] = cleaner.prices(prices, rows["code"])
    rows["returned"] = cleaner.returned(rows)
    rows = cleaner.kept(rows)
    rows = _with_skus(_signed(rows, options.returns, repairs), repairs)
    return Cleaned(_ordered(rows, repairs), cleaner.has_time, cleaner.understood)


class _Cleaner:
    """One pass over one table; `bad` marks the rows to leave out where bad rows may be dropped."""

    def __init__(self, raw: RawTrace, options: ReadOptions, repairs: Repairs) -> None:
        self._raw, self._options, self._repairs = raw, options, repairs
        self._bad = np.zeros(len(raw.frame), dtype=np.bool_)
        self.has_time = True
        self.understood: dict[str, Any] = {}

    def kept(self, rows: pd.DataFrame) -> pd.DataFrame:
        self._repairs.add_where("bad_rows_dropped", pd.Series(self._bad), self._raw.lines)
        return rows[~self._bad].reset_index(drop=True)

    def required_ids(self, column: str) -> "pd.Series[str]":
        ids = ids_of(self._raw.frame[column])
        self._refuse(ids == "", column, lambda row: "blank")
        self._refuse(ids.str.len() > TEXT_LENGTH_MAX, column, lambda row: f"longer than {TEXT_LENGTH_MAX} characters")
        if column == "StockCode":
            hopeless = ~ids.str.contains(r"\w", regex=True) | ids.str.fullmatch(r"_+")
            self._refuse(hopeless, column, lambda row: f"no letter or digit in {ids.iloc[row]!r}")
        return ids

    def numbers(self) -> tuple[NumberColumn, NumberColumn]:
        """Quantities and prices. A column that proves its decimal sign decides for the other one too, as far as that
        makes whole thousands of it: 12,000 units beside a price of 2.55 are twelve thousand."""
        quantity, price = (self._open_numbers(column) for column in ("Quantity", "UnitPrice"))
        for one, other in ((quantity, price), (price, quantity)):
            if isinstance(one, Undecided) and isinstance(other, Undecided) and one.ambiguous:
                self._decide_by(one, other)
        found = [each if isinstance(each, NumberColumn) else each.column_of_numbers() for each in (quantity, price)]
        self.understood["decimal"] = {"Quantity": found[0].decimal, "UnitPrice": found[1].decimal}
        self.understood["currencies"] = list(found[1].currencies)
        if len(found[1].currencies) > 1:
            named = ", ".join(found[1].currencies[:5])
            self._say("prices_of_several_currencies", ~found[1].blank, f"{named}, taken as one")
        return found[0], found[1]

    def _decide_by(self, one: Undecided, other: Undecided) -> None:
        if other.decimal is not None and one.grouped_by(other.decimal):
            one.decided(other.decimal)
            rows = np.array([each.ambiguous for each in one.found])[one.codes]
            self._say(f"thousands_in_{one.column}", rows, f"{other.column} has a decimal {other.decimal}")

    def _open_numbers(self, column: str) -> Undecided | NumberColumn:
        values = self._raw.frame[column]
        if pd.api.types.is_numeric_dtype(values):
            numbers = np.asarray(values.astype("float64"), dtype=np.float64)
            return NumberColumn(numbers, np.isnan(numbers))
        return read_numbers(texts_of(values), column, self._raw, self._options.decimal)

    def quantities(self, found: NumberColumn) -> "pd.Series[int]":
        with np.errstate(invalid="ignore"):
            unusable = ~np.isfinite(found.values) | (found.values % 1 != 0) | (np.abs(found.values) > QUANTITY_MAX)
        self._refuse(
            unusable, "Quantity", lambda row: f"not a whole number of units: {self._raw_text('Quantity', row)!r}"
        )
        whole: NDArray[np.int64] = np.where(unusable, 0, found.values).astype(np.int64)
        return pd.Series(whole)

    def dates(self, invoices: "pd.Series[str]", *, usual_day_first: bool) -> "pd.Series[pd.Timestamp]":
        """Blank dates take the date of the invoice's other rows; a date that no format reads is refused."""
        found = self._dates(self._raw.frame["InvoiceDate"], usual_day_first)
        self._refuse(found.out_of_range, "InvoiceDate", self._year_problem)
        unread = np.isnat(found.at) & ~found.blank & ~found.out_of_range
        self._refuse(unread, "InvoiceDate", self._date_problem(found))
        dates = pd.Series(found.at)
        if found.blank.any():
            dates = self._filled(dates, found.blank, invoices)
        self.has_time = found.has_time and bool((dates.dt.normalize() != dates).any())
        self.understood["dates"] = found.order
        for choice in found.choices:
            self._say(choice.kind, choice.rows, choice.sentence)
        return dates

    def _dates(self, values: "pd.Series[Any]", usual_day_first: bool) -> DateColumn:
        if not pd.api.types.is_datetime64_any_dtype(values):
            day_first = self._options.day_first
            return read_dates(texts_of(values), "InvoiceDate", self._raw, day_first, usual=usual_day_first)
        moments = values.astype("datetime64[us]").to_numpy()
        years = values.dt.year.to_numpy()
        wrong = ~np.isnan(years) & ((years < YEAR_MIN) | (years > YEAR_MAX))
        at = np.where(wrong, np.datetime64("NaT"), moments)
        return DateColumn(at, np.isnat(moments), wrong, True, "moments, typed")

    def _year_problem(self, row: int) -> str:
        text = self._raw_text("InvoiceDate", row)
        return f"{text!r} is outside of the years {YEAR_MIN} to {YEAR_MAX}"

    def _date_problem(self, found: DateColumn) -> Callable[[int], str]:
        others = f", and this file's other dates are {found.order}" if not np.isnat(found.at).all() else ""
        return lambda row: f"not a date: {self._raw_text('InvoiceDate', row)!r}{others}; {UNDERSTOOD}"

    def _filled(
        self, dates: "pd.Series[pd.Timestamp]", blank: NDArray[np.bool_], invoices: "pd.Series[str]"
    ) -> "pd.Series[pd.Timestamp]":
        filled = dates.fillna(dates.groupby(invoices).transform("min"))
        self._say("blank_dates_filled", blank & filled.notna().to_numpy())
        self._refuse(
            blank & filled.isna().to_numpy(),
            "InvoiceDate",
            lambda row: f"blank, and no row of invoice {invoices.iloc[row]} has a date",
        )
        return filled

    def prices(self, found: NumberColumn, codes: "pd.Series[str]") -> "pd.Series[float]":
        """Prices feed the catalogue only: one that is blank, zero or negative takes its stock code's median price."""
        values = found.values
        unreadable = (np.isnan(values) & ~found.blank) | np.isinf(values)
        self._refuse(unreadable, "UnitPrice", lambda row: f"not a price: {self._raw_text('UnitPrice', row)!r}")
        huge = np.abs(np.where(unreadable, 0, values)) > PRICE_MAX
        self._refuse(huge, "UnitPrice", lambda row: f"above {PRICE_MAX:,.0f}: {self._raw_text('UnitPrice', row)!r}")
        if "column_UnitPrice_missing" not in self._repairs.rows:
            self._say("blank_prices_replaced", found.blank)
        self._say("negative_prices_replaced", values < 0)
        self._say("zero_prices_replaced", values == 0)
        usable = pd.Series(values).where((values > 0) & ~huge & ~unreadable)
        if usable.notna().all():
            return usable
        return usable.fillna(usable.groupby(codes).transform("median")).fillna(usable.median()).fillna(1.0)

    def returned(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Rows that come back whatever the sign of their quantity is."""
        returns = self._options.returns or Returns()
        found = np.zeros(len(rows), dtype=np.bool_)
        if RETURNED in self._raw.frame.columns:
            codes, distinct = pd.factorize(texts_of(self._raw.frame[RETURNED]))
            found |= np.array([returns.says(str(text)) for text in distinct] or [False])[codes]
        if returns.pattern is not None:
            by_name = rows["invoice"].str.fullmatch(returns.pattern).to_numpy(dtype=bool)
            if self._options.returns is None:  # what we wrote ourselves has its returns below zero, whatever the name
                ours = np.array([source.standard_form for source in self._raw.sources])
                by_name = by_name & ~ours[self._raw.source_of_row]
            found |= by_name
        return found

    def _raw_text(self, column: str, row: int) -> str:
        return str(self._raw.frame[column].iloc[row])[:60]

    def _say(self, kind: str, rows: "NDArray[np.bool_] | pd.Series[bool]", sentence: str = "") -> None:
        kept = pd.Series(np.asarray(rows, dtype=np.bool_) & ~self._bad)
        self._repairs.add_where(kind, kept, self._raw.lines, sentence)

    def _refuse(
        self, unusable: "NDArray[np.bool_] | pd.Series[bool]", column: str, problem: Callable[[int], str]
    ) -> None:
        fresh = np.asarray(unusable, dtype=np.bool_) & ~self._bad
        if not fresh.any():
            return
        if self._options.drop_bad_rows:
            self._bad |= fresh
            return
        row = int(np.flatnonzero(fresh)[0])
        more = int(fresh.sum()) - 1
        others = f" ({more:,} more rows like it)" if more else ""
        raise self._raw.error(
            f"{problem(row)}{others}. Mend it, or leave such rows out with --drop-bad-rows", row, column
        )


def _with_skus(rows: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    """Stock codes as SKUs that fit into a URL: `BANK CHARGES` becomes `BANK-CHARGES`."""
    found = skus_of(rows["code"])
    changed, apart = (pd.Series(mask, index=rows.index) for mask in (found.changed, found.told_apart))
    repairs.add_where("stock_codes_made_skus", changed, rows["line"])
    if apart.any():
        row = int(np.flatnonzero(apart)[0])
        sentence = f"{rows['code'].iloc[row]!r} is {found.skus.iloc[row]!r}, lest two codes become one SKU"
        repairs.add_where("stock_codes_told_apart", apart, rows["line"], sentence)
    _refuse_shared(rows["code"], found.skus, rows["line"])
    rows["sku"] = found.skus
    return rows.drop(columns="code")


def _refuse_shared(codes: "pd.Series[str]", skus: "pd.Series[str]", lines: "pd.Series[int]") -> None:
    pairs = pd.DataFrame({"code": codes, "sku": skus, "line": lines}).drop_duplicates(["code", "sku"])
    pairs["code"] = pairs["code"].str.normalize("NFC")
    pairs = pairs.drop_duplicates(["code", "sku"])
    shared = pairs[pairs["sku"].duplicated()]
    if not shared.empty:
        code, sku, line = shared.iloc[0]
        raise TraceError(
            f"{code!r} and another code both become {sku!r}; rename one", line=int(line), column="StockCode"
        )


def _signed(rows: pd.DataFrame, returns: Returns | None, repairs: Repairs) -> pd.DataFrame:
    """A row is a return when it says so or its quantity is negative; quantities become positive."""
    nothing = rows["quantity"] == 0
    repairs.add_where("zero_quantities_dropped", nothing, rows["line"])
    if returns is not None and returns.kind == "none":
        below = rows["quantity"] < 0
        repairs.add_where("negative_quantities_dropped", below, rows["line"], "--returns none")
        nothing |= below
    rows = rows[~nothing].reset_index(drop=True) if nothing.any() else rows
    repairs.add_where("returns_with_positive_quantity", rows["returned"] & (rows["quantity"] > 0), rows["line"])
    rows["returned"] |= rows["quantity"] < 0
    rows["quantity"] = rows["quantity"].abs()
    return rows


def _ordered(rows: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    """An invoice happens once, at its first row's time, whole; rows that came out of order are put back."""
    key = pd.factorize(rows["invoice"])[0] * 2 + rows["returned"].to_numpy()
    first_at = rows["at"].groupby(key).transform("min")
    late = rows["at"] - first_at >= DAY
    sentence = "moved to the first; where numbers begin anew each day, say --columns InvoiceNo=DATE+NUMBER"
    repairs.add_where("rows_a_day_after_their_invoice", late, rows["line"], sentence)
    rows["at"] = first_at
    repairs.add_where("out_of_order_rows_moved", rows["at"] < rows["at"].cummax(), rows["line"])
    order = pd.Series(np.arange(len(rows)))
    rows["_first"], rows["_order"] = order.groupby(key).transform("min"), order
    rows = rows.sort_values(["at", "_first", "_order"], kind="stable").drop(columns=["_first", "_order"])
    return rows.reset_index(drop=True)


def _customers(ids: "pd.Series[str]") -> "pd.Series[str]":
    """`17850.0` is how a spreadsheet writes customer 17850; blank is a guest."""
    whole = ids.str.fullmatch(r"\d+\.0")
    texts = ids.where(~whole, ids.str.replace(".0", "", regex=False)) if whole.any() else ids
    return texts.replace({"nan": "", "None": "", "<NA>": "", "NULL": "", "null": ""}).str.slice(0, TEXT_LENGTH_MAX)
