"""Owns turning the texts of a trace into values that can be trusted. Each kind of dirt is either mended, and counted in
the repairs, or refused with the line and the column; a row is left out only when the caller said so."""

import re
from collections.abc import Callable
from datetime import UTC

import numpy as np
import pandas as pd

from workloads.trace_table import Repairs, TraceError

# The first that reads every date of the file wins, so that one file is never read month-first here and day-first there.
DATE_FORMATS = (
    "%m/%d/%y %H:%M",
    "%m/%d/%Y %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%y %H:%M:%S",
    "%m/%d/%Y",
    "%Y-%m-%d",
)
DAY_FIRST_FORMATS = tuple(text.replace("%m/%d", "%d/%m") for text in DATE_FORMATS if "%m/%d" in text)
QUANTITY_MAX = 1_000_000_000
SKU_LENGTH_MAX = 64


def clean(table: pd.DataFrame, repairs: Repairs, *, drop_bad_rows: bool) -> pd.DataFrame:
    """Columns line, invoice, sku, description, quantity (above 0), returned (bool), at, price (pounds), customer; rows
    in the order of time, those of one minute in the order of the file."""
    cleaner = _Cleaner(table.reset_index(drop=True), repairs, drop_bad_rows)
    rows = pd.DataFrame({"line": cleaner.table["line"]})
    rows["invoice"] = cleaner.required_text("InvoiceNo")
    rows["sku"] = cleaner.skus()
    rows["description"] = _text(cleaner.table["Description"])
    rows["quantity"] = cleaner.quantities()
    rows["customer"] = _customers(cleaner.table["CustomerID"])
    rows["at"] = cleaner.dates(rows["invoice"])
    rows["price"] = cleaner.prices(rows["sku"])
    return _ordered(_signed(cleaner.kept(rows), repairs), repairs)


class _Cleaner:
    """One pass over one table; `bad` marks the rows to leave out where bad rows may be dropped."""

    def __init__(self, table: pd.DataFrame, repairs: Repairs, drop_bad_rows: bool) -> None:
        self.table, self.repairs, self.drop_bad_rows = table, repairs, drop_bad_rows
        self.bad = pd.Series(False, index=table.index)

    def kept(self, rows: pd.DataFrame) -> pd.DataFrame:
        self.repairs.add_where("bad_rows_dropped", self.bad, self.table["line"])
        return rows[~self.bad].reset_index(drop=True)

    def required_text(self, column: str) -> pd.Series:
        texts = _text(self.table[column])
        self.refuse(texts == "", column, lambda row: "blank")
        return texts

    def skus(self) -> pd.Series:
        """Stock codes as SKUs that fit into a URL: `BANK CHARGES` becomes `BANK-CHARGES`."""
        codes = self.required_text("StockCode")
        skus = codes.str.replace(r"[^A-Za-z0-9._-]+", "-", regex=True).str.lstrip("._-").str.slice(0, SKU_LENGTH_MAX)
        self.repairs.add_where("stock_codes_made_skus", (skus != codes) & ~self.bad, self.table["line"])
        self.refuse(skus == "", "StockCode", lambda row: f"no letter or digit in {codes[row]!r}")
        return skus

    def quantities(self) -> pd.Series:
        numbers = pd.to_numeric(_numeric_text(self.table["Quantity"]), errors="coerce")
        unusable = numbers.isna() | (numbers % 1 != 0) | (numbers.abs() > QUANTITY_MAX)
        self.refuse(unusable, "Quantity", lambda row: f"not a whole number of units: {self.table['Quantity'][row]!r}")
        return numbers.where(~unusable, 0).astype("int64")

    def dates(self, invoices: pd.Series) -> pd.Series:
        """Blank dates take the date of the invoice's other rows; a date that no format reads is refused."""
        raw = self.table["InvoiceDate"]
        if pd.api.types.is_datetime64_any_dtype(raw):
            dates = raw.dt.tz_convert(UTC).dt.tz_localize(None) if raw.dt.tz is not None else raw
            blank = dates.isna()
        else:
            texts = _text(raw)
            blank = texts == ""
            dates = parse_dates(texts)
        unread = dates.isna() & ~blank
        self.refuse(unread, "InvoiceDate", lambda row: f"not a date this file's other dates agree with: {raw[row]!r}")
        filled = dates.fillna(dates.groupby(invoices).transform("min"))
        self.repairs.add_where("blank_dates_filled", blank & filled.notna(), self.table["line"])
        self.refuse(
            blank & filled.isna(), "InvoiceDate", lambda row: f"blank, and no row of invoice {invoices[row]} has a date"
        )
        return filled.astype("datetime64[us]")

    def prices(self, skus: pd.Series) -> pd.Series:
        """Prices feed the catalogue only: one that is blank, zero or negative takes the SKU's median price."""
        prices = pd.to_numeric(_numeric_text(self.table["UnitPrice"]), errors="coerce")
        lines = self.table["line"]
        if "column_UnitPrice_missing" not in self.repairs.rows:
            self.repairs.add_where("blank_prices_replaced", prices.isna(), lines)
        self.repairs.add_where("negative_prices_replaced", prices < 0, lines)
        self.repairs.add_where("zero_prices_replaced", prices == 0, lines)
        usable = prices.where((prices > 0) & np.isfinite(prices))
        return usable.fillna(usable.groupby(skus).transform("median")).fillna(usable.median()).fillna(1.0)

    def refuse(self, unusable: pd.Series, column: str, problem: Callable[[int], str]) -> None:
        fresh = unusable & ~self.bad
        if not fresh.any():
            return
        if self.drop_bad_rows:
            self.bad |= fresh
            return
        row = int(np.flatnonzero(fresh)[0])
        more = int(fresh.sum()) - 1
        others = f" ({more:,} more rows like it)" if more else ""
        raise TraceError(
            f"{problem(row)}{others}. Mend it, or leave such rows out with --drop-bad-rows",
            line=int(self.table["line"][row]),
            column=column,
        )


def parse_dates(texts: pd.Series) -> pd.Series:
    """Dates of `texts`, NaT where blank or unreadable. Formats are explicit: guessing per value costs a hundredfold."""
    distinct = pd.Series(texts[texts != ""].unique())
    best = pd.Series(pd.NaT, index=distinct.index, dtype="datetime64[us]")
    for family in (DATE_FORMATS, DAY_FIRST_FORMATS):
        parsed = _parse_family(distinct, family)
        if parsed.notna().sum() > best.notna().sum():
            best = parsed
        if best.notna().all():
            break
    return texts.map(dict(zip(distinct, best, strict=True))).astype("datetime64[us]")


def _parse_family(distinct: pd.Series, formats: tuple[str, ...]) -> pd.Series:
    parsed = pd.Series(pd.NaT, index=distinct.index, dtype="datetime64[us]")
    for text in formats:
        left = parsed.isna()
        if not left.any():
            break
        parsed[left] = pd.to_datetime(distinct[left], format=text, errors="coerce").astype("datetime64[us]")
    return parsed


def _signed(rows: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    """A row is a return when its quantity is negative or its invoice begins with C; quantities become positive."""
    nothing = rows["quantity"] == 0
    repairs.add_where("zero_quantities_dropped", nothing, rows["line"])
    rows = rows[~nothing].copy()
    cancelled = rows["invoice"].str.match(re.compile("c", re.IGNORECASE))
    repairs.add_where("returns_with_positive_quantity", cancelled & (rows["quantity"] > 0), rows["line"])
    rows["returned"] = cancelled | (rows["quantity"] < 0)
    rows["quantity"] = rows["quantity"].abs()
    return rows


def _ordered(rows: pd.DataFrame, repairs: Repairs) -> pd.DataFrame:
    """An invoice happens once, at its first row's time, whole; rows that came out of order are put back."""
    key = [rows["invoice"], rows["returned"]]
    rows["at"] = rows["at"].groupby(key).transform("min")
    repairs.add_where("out_of_order_rows_moved", rows["at"] < rows["at"].cummax(), rows["line"])
    rows["_first"] = rows["line"].groupby(key).transform("min")
    return rows.sort_values(["at", "_first", "line"], kind="stable").drop(columns="_first").reset_index(drop=True)


def _text(values: pd.Series) -> pd.Series:
    texts = values.astype("object").where(values.notna(), "").astype("str")
    return texts.str.replace("\x00", "", regex=False).str.strip()


def _numeric_text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values):
        return values
    texts = _text(values).str.replace(r"[£$€\s]", "", regex=True)
    decimal_comma = ~texts.str.contains(".", regex=False)
    return texts.where(~decimal_comma, texts.str.replace(",", ".", regex=False)).str.replace(",", "", regex=False)


def _customers(values: pd.Series) -> pd.Series:
    """`17850.0` is how a spreadsheet writes customer 17850; blank is a guest."""
    return _text(values).str.replace(r"\.0$", "", regex=True).replace({"nan": "", "None": "", "<NA>": ""})
