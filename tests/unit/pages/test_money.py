"""Money as people read and write it, for currencies with none, two, three and four minor digits."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import money

CURRENCIES = ("GBP", "EUR", "USD", "JPY", "KWD", "HUF", "IQD", "RSD", "CLF", "ISK", "MXN")


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1299, "GBP", "£12.99"),
        (1200, "JPY", "¥1,200"),
        (1234, "KWD", "KWD\xa01.234"),
        (123456, "HUF", "HUF\xa01,234.56"),
        (150000, "IQD", "IQD\xa0150.000"),
        (100, "RSD", "RSD\xa01.00"),
        (12345, "CLF", "CLF\xa01.2345"),
        (-500, "GBP", "-£5.00"),
        (-1200, "JPY", "-¥1,200"),
        (0, "EUR", "€0.00"),
        (100, "BGN", "BGN\xa01.00"),
        (10**12, "USD", "$10,000,000,000.00"),
    ],
)
def test_an_amount_is_shown_with_the_digits_of_its_currency(amount: int, currency: str, shown: str) -> None:
    assert money.spoken(amount, currency) == shown


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("10.50", "GBP", 1050),
        ("10,50", "GBP", 1050),
        ("£10.50", "GBP", 1050),
        ("10,50 €", "EUR", 1050),
        ("GBP 10", "GBP", 1000),
        ("10 gbp", "GBP", 1000),
        ("1,234.50", "GBP", 123450),
        ("1.234,50", "GBP", 123450),
        ("1 234,5", "GBP", 123450),
        ("1'234.50", "GBP", 123450),
        ("1,234", "GBP", 123400),
        ("1.234", "EUR", 123400),
        ("1,234,567", "GBP", 123456700),
        ("¥1,200", "JPY", 1200),
        ("1.200", "JPY", 1200),
        ("1.234", "KWD", 1234),
        ("KWD\xa01.5", "KWD", 1500),
        (" 7 ", "HUF", 700),
        ("٣", "GBP", None),
        ("abc", "GBP", None),
        ("-5", "GBP", None),
        ("10.5", "JPY", None),
        ("1.2345", "KWD", None),
        ("$5", "GBP", None),
        ("1e3", "GBP", None),
        ("10.505.1", "GBP", None),
        ("1,2,3", "GBP", None),
        ("1.234,567.89", "GBP", None),
        ("1,00,000", "INR", 10000000),
        ("", "GBP", None),
        ("9" * 16, "GBP", None),
    ],
)
def test_a_typed_price_is_understood_or_refused_in_a_sentence(text: str, currency: str, amount: int | None) -> None:
    if amount is not None:
        assert money.parse(text, currency) == amount
        return
    with pytest.raises(money.NotMoney, match=r"Enter an amount like [0-9.]+\.$"):
        money.parse(text, currency)


@given(st.integers(0, 10**12), st.sampled_from(CURRENCIES))
def test_what_is_shown_can_be_typed_back(amount: int, currency: str) -> None:
    assert money.parse(money.plain(amount, currency), currency) == amount
    if money.exponent(currency) != 3 or amount >= 10**6 or amount < 1000:
        assert money.parse(money.spoken(amount, currency), currency) == amount


@given(st.text(max_size=40), st.sampled_from(CURRENCIES))
def test_no_text_does_more_than_be_refused(text: str, currency: str) -> None:
    with contextlib.suppress(money.NotMoney):
        assert money.parse(text, currency) >= 0
