"""Owns when things happened: one column of texts becomes moments in UTC. Day or month first is decided once for the
column: by a value that fits one order only, else by the user, else by what is usual, and that is said."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.traces.date_texts import DAY_US, NO_ZONE, Fields, Ints, read_fields
from workloads.traces.faults import RowPlaces, TraceError

YEAR_MIN, YEAR_MAX = 1970, 2100
UNDERSTOOD = (
    "understood are 2010-12-31 08:26:00 (also with T, fractions, Z or an offset), 12/31/2010 or 31/12/2010 (also with "
    "dots or dashes, two-digit years, AM and PM), 31 Dec 2010, 20101231, Excel's serial days, epoch seconds and "
    "milliseconds"
)
EXCEL_EPOCH = np.datetime64("1899-12-30", "us").astype(np.int64)
NOT_A_TIME = np.iinfo(np.int64).min
# Of a number's digits, how many microseconds one step is; serial days are told by their size.
_EPOCH_STEPS_US = ((10**9, 5 * 10**11, 1_000_000.0), (10**12, 10**14, 1_000.0), (10**14, 10**17, 1.0))
_SERIAL_MIN, _SERIAL_MAX = 25_569, 73_415


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that the data did not decide, or that was changed on the way: the rows it concerns, and the words."""

    kind: str
    rows: NDArray[np.bool_]
    sentence: str


@dataclass(slots=True)
class DateColumn:
    """`at` is datetime64[us] in UTC, NaT where blank or unreadable. `order` says how the column was read."""

    at: NDArray[np.datetime64]
    blank: NDArray[np.bool_]
    out_of_range: NDArray[np.bool_]
    has_time: bool
    order: str
    choices: list[Choice] = field(default_factory=list)


def read_dates(
    texts: "pd.Series[str]", column: str, places: RowPlaces, day_first: bool | None, *, usual: bool = False
) -> DateColumn:
    """The moments of a column of stripped texts. `day_first` is the user's word, `usual` what to take where neither
    word nor data decide. Raises TraceError where one value proves one order and another the other."""
    codes, distinct = pd.factorize(texts)
    first = np.full(len(distinct), -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    found = read_fields(list(distinct))
    open_order = _OpenOrder(column, list(distinct), found, first, places)
    open_order.refuse_mixed_kinds()
    chosen, by_choice = open_order.order(day_first, usual)
    moments, has_time = _moments(found, chosen)
    years_ok = (moments >= _year_begins(YEAR_MIN)) & (moments < _year_begins(YEAR_MAX + 1))
    read = moments != NOT_A_TIME
    at = np.where(read & years_ok, moments, NOT_A_TIME).view("datetime64[us]")[codes]
    result = DateColumn(
        at,
        np.array([text == "" for text in distinct], dtype=np.bool_)[codes],
        (read & ~years_ok)[codes],
        bool(has_time[read].any()),
        _order_name(found, read, chosen),
    )
    result.choices = [
        Choice(each.kind, each.rows[codes], each.sentence) for each in _choices(found, read, by_choice, chosen)
    ]
    return result


@dataclass(slots=True)
class _OpenOrder:
    column: str
    texts: list[str]
    found: Fields
    first: Ints
    places: RowPlaces

    def refuse_mixed_kinds(self) -> None:
        """Serial days beside written dates are what a spreadsheet of the other date order leaves: it has taken the
        days up to 12 for months, and nobody can tell which."""
        counted, said = self.found.read & (self.found.number >= 0), self.found.read & (self.found.number < 0)
        if counted.any() and said.any():
            one, other = self._quoted(counted), self._quoted(said)
            raise self._error(
                f"{one} is a number of days or seconds and {other} a written date; a spreadsheet that misread a part "
                "of the dates leaves such columns: export them as one kind",
                counted,
                said,
            )

    def order(self, day_first: bool | None, usual: bool) -> tuple[bool, bool]:
        """Whether the day stands first, and whether that was a choice."""
        a, b = self.found.a, self.found.b
        open_rows = self.found.read & (a > 0)
        fits_day = open_rows & (a <= 31) & (b <= 12)
        fits_month = open_rows & (a <= 12) & (b <= 31)
        day_only, month_only = fits_day & ~fits_month, fits_month & ~fits_day
        if day_first is not None:
            return day_first, False
        if day_only.any() and month_only.any():
            raise self._error(
                f"{self._quoted(day_only)} fits day/month only and {self._quoted(month_only)} month/day only; one "
                "column is written one way: --day-first or --month-first says which, with --drop-bad-rows for the "
                "others",
                day_only,
                month_only,
            )
        if day_only.any() or month_only.any():
            return bool(day_only.any()), False
        return usual or bool(self.found.dotted[open_rows].any()), bool((open_rows & (a != b)).any())

    def _quoted(self, mask: NDArray[np.bool_]) -> str:
        number = int(np.flatnonzero(mask)[0])
        return f"{self.texts[number]!r} on {self.places.place(int(self.first[number]))}"

    def _error(self, problem: str, *masks: NDArray[np.bool_]) -> TraceError:
        """The fault stands where the second kind of value appears."""
        row = max(int(self.first[np.flatnonzero(mask)[0]]) for mask in masks)
        return self.places.error(problem, row, self.column)


def _moments(found: Fields, day_first: bool) -> tuple[Ints, NDArray[np.bool_]]:
    """Microseconds since 1970 in UTC, NOT_A_TIME where there is no such day; and where a time of day is written."""
    open_rows = found.a > 0
    day = np.where(open_rows, found.a if day_first else found.b, found.day)
    month = np.where(open_rows, found.b if day_first else found.a, found.month)
    real = found.read & (found.number < 0) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    real &= (found.year >= 1) & (found.year <= 9999)
    months = (np.where(real, found.year, 1970) - 1970) * 12 + np.where(real, month, 1) - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (np.where(real, day, 1) - 1)
    real &= days.astype("datetime64[M]").astype(np.int64) == months
    moments = days.astype(np.int64) * DAY_US + found.microseconds
    moments -= np.where((found.zone == NO_ZONE) | ~found.has_time, 0, found.zone) * 60_000_000
    counted, clocked = _counted(found)
    return np.where(real, moments, np.where(found.number >= 0, counted, NOT_A_TIME)), found.has_time | clocked


def _counted(found: Fields) -> tuple[Ints, NDArray[np.bool_]]:
    """Moments counted from an epoch: Excel's days since 1899-12-30, or seconds, milliseconds, … since 1970."""
    number = found.number
    moments = np.full(number.shape, NOT_A_TIME)
    serial = (number >= _SERIAL_MIN) & (number < _SERIAL_MAX)
    seconds = np.rint(found.rest * 86_400).astype(np.int64)  # what a spreadsheet's fraction is good for
    moments[serial] = EXCEL_EPOCH + number[serial] * DAY_US + seconds[serial] * 1_000_000
    clocked = ~serial | (found.rest > 0)
    for least, most, step_us in _EPOCH_STEPS_US:
        mine = (number >= least // 10) & (number < most)
        mine &= moments == NOT_A_TIME
        moments[mine] = (number[mine] * step_us).astype(np.int64) + np.rint(found.rest[mine] * step_us).astype(np.int64)
    nanoseconds = number >= 10**17
    moments[nanoseconds] = number[nanoseconds] // 1_000
    return moments, clocked & (number >= 0)


def _choices(found: Fields, read: NDArray[np.bool_], by_choice: bool, day_first: bool) -> list[Choice]:
    choices = []
    if by_choice:
        order, other = ("day", "--month-first") if day_first else ("month", "--day-first")
        rows = read & (found.a > 0)
        sentence = f"every date fits dd/mm and mm/dd; read with the {order} first, {other} says otherwise"
        choices.append(Choice(f"dates_read_{order}_first", rows, sentence))
    zoned = read & (found.zone != NO_ZONE)
    moved = zoned & (found.zone != 0)
    choices.append(Choice("dates_turned_to_utc", moved, "times with an offset are told in UTC"))
    bare = read & ~zoned & (found.number < 0)
    if zoned.any():
        choices.append(Choice("dates_without_zone_taken_as_utc", bare, "other dates of the column name a zone"))
    return choices


def _order_name(found: Fields, read: NDArray[np.bool_], day_first: bool) -> str:
    if (read & (found.number >= 0)).any():
        serial = (read & (found.number >= 0) & (found.number < _SERIAL_MAX)).any()
        return "Excel serial days" if serial else "seconds since 1970, or parts of them"
    if (read & (found.a > 0)).any():
        return "day/month/year" if day_first else "month/day/year"
    return "year-month-day, or named months"


def _year_begins(year: int) -> int:
    return int(np.datetime64(f"{year}-01-01", "us").astype(np.int64))
