"""Money as people read and write it. Amounts are integers in the currency's minor units; ISO 4217 says how many of
them make one: pages, mails and filters all ask here."""

import re
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import NumberPattern, get_currency_precision, get_currency_symbol, parse_pattern
from iso4217 import Currency

LOCALE = Locale("en")
DIGITS_MAX = 15
AMOUNT = re.compile(r"[0-9]+(?:[.,'’][0-9]+)*")
SEPARATORS = re.compile(r"[.,'’]")
GROUPED = re.compile(r"[0-9]+|[0-9]{1,3}(?:[.,'’][0-9]{2,3})*[.,'’][0-9]{3}")
GROUP = 3
BLANKS = re.compile(r"\s+")


class NotMoney(ValueError):
    """The text is no amount of this currency. Its message is for people."""


def exponent(currency: str) -> int:
    """Digits after the decimal separator by ISO 4217: 2 for GBP, 0 for JPY, 3 for KWD."""
    try:
        return Currency(currency).exponent or 0
    except ValueError:  # gone from the list in force, such as BGN: orders of its day still have it
        return get_currency_precision(currency)


def symbol(currency: str) -> str:
    """What stands before an amount: a sign, or the code of a currency that has none of its own."""
    return get_currency_symbol(currency, LOCALE)


def spoken(amount: int, currency: str) -> str:
    """1299 GBP is £12.99, 1200 JPY is ¥1,200, -1500 KWD is -KWD 1.500."""
    value = Decimal(amount).scaleb(-exponent(currency))
    shown: str = _pattern(currency).apply(value, LOCALE, currency=currency, currency_digits=False)
    return shown


def plain(amount: int, currency: str) -> str:
    """As a field of a form takes it: digits, a decimal point where the currency has minor units."""
    return f"{Decimal(amount).scaleb(-exponent(currency)):f}"


@lru_cache(maxsize=64)
def _pattern(currency: str) -> NumberPattern:
    """CLDR's, with the digits of ISO 4217: CLDR leaves out minor units that are out of use as cash."""
    written = LOCALE.currency_formats["standard"].pattern
    if symbol(currency)[-1].isalpha():
        written = written.replace("¤", "¤\N{NO-BREAK SPACE}")
    pattern = parse_pattern(written)
    digits = exponent(currency)
    pattern.frac_prec = (digits, digits)
    return pattern


def parse(text: str, currency: str) -> int:
    """Minor units from what somebody typed: 10.50, 10,50, £10.50, 10,50 €, 1 234,50, 1.234. Raises NotMoney."""
    digits = _without_currency(text, currency)
    whole, fraction = _split(digits, exponent(currency)) if AMOUNT.fullmatch(digits) else ("", "")
    if not whole:
        raise NotMoney(f"“{text.strip()[:40]}” is not a price. Enter an amount like {_sample(currency)}.")
    if len(fraction) > exponent(currency):
        raise NotMoney(f"{currency} has {_places(currency)}. Enter an amount like {_sample(currency)}.")
    if len(whole) > DIGITS_MAX:
        raise NotMoney(f"That is more than anything costs. Enter an amount like {_sample(currency)}.")
    return int(whole + fraction.ljust(exponent(currency), "0"))


def _without_currency(text: str, currency: str) -> str:
    """The digits and separators: the currency may stand on either side, by code or sign, and blanks group."""
    bare = BLANKS.sub("", text)
    for name in (currency, symbol(currency), get_currency_symbol(currency, Locale("en", "US"))):
        folded = name.casefold()
        if bare.casefold().startswith(folded):
            return bare[len(name) :]
        if bare.casefold().endswith(folded):
            return bare[: -len(name)]
    return bare


def _split(digits: str, places: int) -> tuple[str, str]:
    """Whole and fraction; no whole where the separators make no sense. The last separator is the decimal one unless it
    can only group: it comes more than once, or three digits follow it in a currency that does not have three."""
    found = SEPARATORS.findall(digits)
    if not found:
        return digits, ""
    last = found[-1]
    head, _, tail = digits.rpartition(last)
    once, three = found.count(last) == 1, len(tail) == GROUP
    groups = not once or last in "'’" or (three and (places != GROUP or last == ","))
    return (_ungrouped(digits), "") if groups else (_ungrouped(head), tail)


def _ungrouped(whole: str) -> str:
    """Without separators, or nothing if they do not group: thousands, or as in India 1,00,000."""
    if not GROUPED.fullmatch(whole) or len(set(SEPARATORS.findall(whole))) > 1:
        return ""
    return SEPARATORS.sub("", whole)


def _places(currency: str) -> str:
    places = exponent(currency)
    return f"at most {places} decimal places" if places else "no decimal places"


def _sample(currency: str) -> str:
    return plain(1050 if exponent(currency) else 1200, currency)
