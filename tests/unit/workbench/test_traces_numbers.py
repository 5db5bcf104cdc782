"""Numbers of traces: the format is decided once a column, and what stays ambiguous is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.traces.faults import FilePlaces, TraceError
from workloads.traces.numbers import COMMA, POINT, read_numbers, written


def read(*texts, decimal=None):
    places = FilePlaces(np.arange(2, len(texts) + 2))
    return read_numbers(pd.Series(texts, dtype="str"), "UnitPrice", places, decimal).column_of_numbers()


STYLES = {
    "1,234.50": (",", "."),
    "1.234,50": (".", ","),
    "1 234,50": (" ", ","),
    "1\u202f234,50": ("\u202f", ","),
    "1'234.50": ("'", "."),
    "1’234.50": ("’", "."),
    "1234.50": ("", "."),
    "1234,50": ("", ","),
}


def styled(cents, style):
    group, decimal = STYLES[style]
    whole, part = divmod(abs(cents), 100)
    digits = f"{whole:,}".replace(",", group) + f"{decimal}{part:02d}"
    return f"-{digits}" if cents < 0 else digits


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=20), st.sampled_from(list(STYLES)))
def test_a_column_with_two_decimals_is_read_exactly_in_every_style(cents, style):
    found = read(*(styled(each, style) for each in cents))
    assert np.rint(found.values * 100).astype(np.int64).tolist() == cents
    assert found.decimal == (POINT if STYLES[style][1] == "." else COMMA)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.sampled_from([",", ".", " ", "'", ""]))
def test_whole_numbers_with_thousands_are_read_exactly_or_refused_never_wrong(numbers, group):
    try:
        found = read(*(f"{each:,}".replace(",", group) for each in numbers))
    except TraceError:
        assert group in (",", ".")
        assert all(each < 10**6 for each in numbers)  # a second separator would have decided
    else:
        assert found.values.tolist() == numbers


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=12) | st.text("0123456789.,-+()' $€Ee%", max_size=12))
def test_any_text_is_a_finite_number_or_unreadable(text):
    found = written(text.strip())
    assert all(value is None or np.isfinite(value) for value in (found.if_point, found.if_comma))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(12.50)", -12.5),
        ("12.50-", -12.5),
        ("−12.50", -12.5),
        ("+12.50", 12.5),
        ("£12.50", 12.5),
        ("-£12.50", -12.5),
        ("($12.50)", -12.5),
        ("12.50 €", 12.5),
        ("EUR 12.50", 12.5),
        ("12.50 usd", 12.5),
        ("US$12.50", 12.5),
        ("$12.50 USD", 12.5),
        ("kr. 12.50", 12.5),
        ("Rs.12.50", 12.5),
        ("1,23,456.50", 123456.5),
        ("12.-", 12.0),
        ("１２.５０", 12.5),
        ("٣", 3.0),
        (".5", 0.5),
        ("0.500", 0.5),
    ],
)
def test_signs_currencies_and_digits_of_all_scripts_are_understood(text, value):
    assert read(text).values.tolist() == [value]


@pytest.mark.parametrize(
    "text",
    ["1e5", "1E+05", "inf", "-Infinity", "NaN", "1.2.3", "12%", "5 pcs", "--5", "(5", "½", "5²", "0x10", "1/2", "$5€",
     "1,2,3", "abc", "#REF!", "9" * 50],
)  # fmt: skip
def test_what_is_no_plain_number_is_unreadable_and_not_blank(text):
    found = read(text)
    assert np.isnan(found.values[0])
    assert not found.blank[0]


@pytest.mark.parametrize("text", ["1.000", "1,000", "12.345", "-999,999", "£1.000"])
def test_a_number_with_two_meanings_alone_is_refused_with_line_column_and_option(text):
    with pytest.raises(TraceError, match=r"line 3, column UnitPrice: .*--decimal-point or --decimal-comma"):
        read("3", text)
    assert read("3", text, decimal=POINT).values[1] != read("3", text, decimal=COMMA).values[1]


@pytest.mark.parametrize(("decider", "value"), [("2.55", 1000.0), ("2,55", 1.0), ("1.234.567", 1.0), ("0,500", 1.0)])
def test_one_value_decides_for_the_column(decider, value):
    assert read("1,000", decider).values[0] == value


def test_two_formats_in_one_column_are_refused_naming_both_lines():
    with pytest.raises(TraceError, match=r"line 4, column UnitPrice: '1\.50' on line 2 .* '2,50' on line 4"):
        read("1.50", "3", "2,50")
