"""Dates of traces: every form people's tools write, and one order for a column."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.traces.dates import read_dates
from workloads.traces.faults import FilePlaces, TraceError


def read(*texts, day_first=None):
    places = FilePlaces(np.arange(2, len(texts) + 2))
    return read_dates(pd.Series(texts, dtype="str"), "InvoiceDate", places, day_first)


@pytest.mark.parametrize(
    "text",
    [
        "2010-12-31 08:26",
        "2010-12-31T08:26:00",
        "2010-12-31T08:26:00Z",
        "2010-12-31T08:26:00.000Z",
        "2010-12-31T10:26:00+02:00",
        "2010-12-31 03:26:00 -0500",
        "2010-12-31T13:56:00+0530",
        "2010-12-31 08:26:00 UTC",
        "2010-12-31T09:26+01:00[Europe/Paris]",
        "2010/12/31 8:26",
        "2010.12.31 8.26",
        "12/31/10 8:26",
        "12/31/2010 8:26",
        "12/31/2010 08:26:00 AM",
        "12/31/2010, 8:26 a.m.",
        "31/12/2010 08:26",
        "31.12.2010 08:26:00",
        "31.12.10 8:26",
        "31-12-2010 08:26",
        "31 Dec 2010 08:26",
        "31-DEC-10 08:26",
        "31st December 2010 at 08:26",
        "Dec 31, 2010, 8:26:00 AM",
        "Dec 31 2010  8:26AM",
        "Friday, December 31, 2010 8:26 AM",
        "Fri, 31 Dec 2010 08:26:00 +0000",
        "Fri Dec 31 08:26:00 UTC 2010",
        "Fri Dec 31 2010 09:26:00 GMT+0100 (Central European Time)",
        "31. Dezember 2010 um 08:26",
        "31 déc. 2010 à 08h26",
        "31 de diciembre de 2010 08:26",
        "2010年12月31日 8時26分",
        "20101231 0826",
        "20101231T082600Z",
        "20101231082600",
        "40543.351388888889",
        "1293783960",
        "1293783960.0",
        "1293783960000",
        "1293783960000000",
    ],
)
def test_one_moment_in_every_form_that_tools_write(text):
    found = read(text)
    assert str(found.at[0]) == "2010-12-31T08:26:00.000000"
    assert found.has_time


FORMATS = {
    "%Y-%m-%dT%H:%M:%S": None,
    "%Y/%m/%d %H:%M:%S": None,
    "%m/%d/%Y %H:%M:%S": False,
    "%m-%d-%y %I:%M:%S %p": False,
    "%d/%m/%Y %H:%M:%S": True,
    "%d.%m.%y %H:%M:%S": True,
    "%d %b %Y %H:%M:%S": None,
    "%B %d, %Y %I:%M:%S %p": None,
    "%Y%m%d%H%M%S": None,
}
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2068, 12, 31)).map(lambda each: each.replace(microsecond=0))


@settings(deadline=None, max_examples=60)
@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from(list(FORMATS)))
def test_a_column_is_read_exactly_or_what_was_chosen_is_said(moments, form):
    texts = [each.strftime(form) for each in moments]
    found = read(*texts)
    choice = [each for each in found.choices if each.kind.startswith("dates_read_") and each.rows.any()]
    if not choice:
        assert found.at.tolist() == moments
    decided = read(*texts, day_first=FORMATS[form])
    assert decided.at.tolist() == moments


@settings(deadline=None, max_examples=60)
@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_every_offset_becomes_utc(moment, minutes):
    local = moment + timedelta(minutes=minutes)
    sign, (hours, left) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    found = read(f"{local:%Y-%m-%d %H:%M:%S}{sign}{hours:02d}:{left:02d}")
    if moment.year >= 1970:
        assert found.at.tolist() == [moment]


@settings(deadline=None, max_examples=60)
@given(MOMENTS)
def test_epochs_are_told_by_their_size(moment):
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    if seconds >= 10**9:
        assert read(str(seconds)).at.tolist() == [moment]
        assert read(f"{seconds}000").at.tolist() == [moment]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=30) | st.text("0123456789-/.:TZ +APMpm", max_size=25), max_size=5))
def test_any_texts_are_dates_or_unreadable_or_one_sentence(texts):
    try:
        found = read(*(text.strip() for text in texts))
    except TraceError as error:
        said = str(error)
    else:
        years = found.at[~np.isnat(found.at)].astype("datetime64[Y]").astype(int) + 1970
        assert ((years >= 1970) & (years <= 2100)).all()
        return
    assert "column InvoiceDate" in said


def test_where_all_dates_fit_both_orders_the_choice_is_said_and_day_first_decides():
    found = read("05/01/2011", "06/01/2011")
    (choice,) = [each for each in found.choices if each.rows.any()]
    assert (choice.kind, choice.rows.sum()) == ("dates_read_month_first", 2)
    assert "--day-first" in choice.sentence
    assert str(found.at[0])[:10] == "2011-05-01"
    assert str(read("05/01/2011", day_first=True).at[0])[:10] == "2011-01-05"
    assert str(read("05.01.2011").at[0])[:10] == "2011-01-05"


def test_one_date_decides_for_the_column_and_nothing_is_a_choice_then():
    found = read("05/01/2011", "13/01/2011")
    assert str(found.at[0])[:10] == "2011-01-05"
    assert not any(each.rows.any() for each in found.choices)


def test_both_orders_in_one_column_are_refused_naming_both_lines():
    with pytest.raises(
        TraceError, match=r"line 4, column InvoiceDate: .*13/01/2011' on line 4.*'01/13/2011' on line 3"
    ):
        read("05/01/2011", "01/13/2011", "13/01/2011")


def test_dates_beside_serial_days_are_what_a_spreadsheet_misread_and_refused():
    with pytest.raises(TraceError, match=r"line 3, column InvoiceDate: .*misread"):
        read("40543", "13/01/2011")


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01", "1969-12-31 23:59", "2101-01-01", "12/31/9999"])
def test_years_that_no_shop_has_seen_are_out_of_range(text):
    found = read(text)
    assert np.isnat(found.at[0])
    assert found.out_of_range[0]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2010-13-01", "31/02/2010", "2010-12-01T24:00", "2010-12-01 8:60", "13:00 PM", "1/2/3", "2010-12",
     "0", "99999", "2010-12-01 14:00 PM", "2010-12-01T08:26+99:00", "12/1-2010", "Foo 3, 2010"],
)  # fmt: skip
def test_what_is_no_date_is_unreadable(text):
    found = read(text)
    assert np.isnat(found.at[0])
    assert not found.out_of_range[0]


def test_times_of_many_zones_are_told_in_utc_and_those_without_one_are_taken_as_utc():
    found = read("2010-12-01 10:00+02:00", "2010-12-01 10:00Z", "2010-12-01 10:00")
    assert [str(each)[11:16] for each in found.at] == ["08:00", "10:00", "10:00"]
    said = {each.kind: int(each.rows.sum()) for each in found.choices}
    assert said == {"dates_turned_to_utc": 1, "dates_without_zone_taken_as_utc": 1}
