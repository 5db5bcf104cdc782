"""Owns what a number written by a person's tool means: `1,234.50`, `1.234,50`, `1 234,50`, `1'234.50`, `(12)`, `12-`,
`£3`, `3 EUR`. Which sign stands before the fraction is decided once for a column, never value by value, and what no
value of the column decides is refused."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workloads.traces.faults import RowPlaces, TraceError

POINT, COMMA = "point", "comma"
SIGN = {POINT: ".", COMMA: ","}
OPTION = "--decimal-point or --decimal-comma"
LENGTH_MAX = 40

_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR
ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES
VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
_ISO_4217 = frozenset(_CODES.split())
_SHORT = "kr zł kč fr sfr us$ a$ c$ ca$ au$ nz$ hk$ s$ r$ mx$ rs ft lei tl лв руб р rp rm"
_ABBREVIATIONS = frozenset(_SHORT.split())
_BODY = re.compile(r"(?P<before>[^\d.,]*)(?P<body>(?:\d[\d.,' _]*|[.,]\d+))(?P<after>[^\d.,]*)", re.ASCII)
_ABBREVIATING_POINT = re.compile(r"(?<=[^\W\d_])\.")
_WHOLE_AMOUNT = re.compile(r"(\d)[.,]\s?-{1,2}(?=\D*\Z)")  # `12,-` is how Germans write 12.00
_LETTERS = str.maketrans({"−": "-", "–": "-", "—": "-", "’": "'", "‘": "'", "´": "'", "`": "'", "٫": ".", "٬": "'"})
_READINGS = {
    POINT: re.compile(
        r"(?:\d+|[1-9]\d{0,2}(?:([,' _])\d{3})(?:\1\d{3})*|[1-9]\d?(?:,\d\d)+,\d{3})?(?:\.\d*)?", re.ASCII
    ),
    COMMA: re.compile(r"(?:\d+|[1-9]\d{0,2}(?:([.' _])\d{3})(?:\1\d{3})*)?(?:,\d*)?", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Written:
    """One number as it was written: its value if the point stands before the fraction, and if the comma does; None
    where it cannot be read so."""

    if_point: float | None
    if_comma: float | None
    currency: str = ""

    def value(self, decimal: str) -> float | None:
        return self.if_point if decimal == POINT else self.if_comma

    @property
    def readable(self) -> bool:
        return self.if_point is not None or self.if_comma is not None

    @property
    def proves(self) -> str | None:
        """The decimal sign without which this cannot be read, if there is one."""
        if (self.if_point is None) == (self.if_comma is None):
            return None
        return POINT if self.if_comma is None else COMMA

    @property
    def ambiguous(self) -> bool:
        return self.if_point is not None and self.if_comma is not None and self.if_point != self.if_comma


UNREADABLE = Written(None, None)


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers, NaN where blank or unreadable. `decimal` is None where no value told and none had to."""

    values: NDArray[np.float64]
    blank: NDArray[np.bool_]
    decimal: str | None = None
    currencies: tuple[str, ...] = ()


@lru_cache(maxsize=65_536)
def written(text: str) -> Written:
    """What `text`, stripped, can mean. Exponents, infinities, percentages and units of measure are not understood."""
    if len(text) > LENGTH_MAX:
        return UNREADABLE
    if not text.isascii():
        text = _plain_letters(text)
    text = _ABBREVIATING_POINT.sub("", _WHOLE_AMOUNT.sub(r"\1", text))
    enclosed = text.startswith("(") and text.endswith(")")
    found = _BODY.fullmatch(text[1:-1].strip() if enclosed else text)
    if found is None:
        return UNREADABLE
    around = found["before"] + "\0" + found["after"]
    signs = around.count("-") + enclosed
    currency = _currency(around.replace("-", "", 1).replace("+", "", 1) if not enclosed else around)
    if signs > 1 or currency is None:
        return UNREADABLE
    body, factor = found["body"].strip(), -1.0 if signs else 1.0
    return Written(_value(body, POINT, factor), _value(body, COMMA, factor), currency)


def read_numbers(texts: "pd.Series[str]", column: str, places: RowPlaces, decimal: str | None = None) -> "Undecided":
    """The numbers of a column of stripped texts. `decimal` is the user's word.

    Raises TraceError where one value proves the point and another the comma."""
    codes, distinct = pd.factorize(texts)
    found = [written(text) for text in distinct]
    first = np.full(len(found), -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    column_found = Undecided(column, codes, list(distinct), found, first, places)
    return column_found.decided(decimal or column_found.proven())


@dataclass(slots=True)
class Undecided:
    """A column of which it may still be open what its ambiguous values mean."""

    column: str
    codes: NDArray[np.int64]
    texts: list[str]
    found: list[Written]
    first: NDArray[np.int64]
    places: RowPlaces
    decimal: str | None = None

    def decided(self, decimal: str | None) -> "Undecided":
        self.decimal = decimal
        return self

    def proven(self) -> str | None:
        """The decimal sign that some value proves. Raises TraceError where values disagree."""
        at = {POINT: -1, COMMA: -1}
        for number, each in enumerate(self.found):
            if each.proves and at[each.proves] < 0:
                at[each.proves] = number
        if min(at.values()) >= 0:
            point, comma = (self._quoted(at[sign]) for sign in (POINT, COMMA))
            raise self._error(
                f"{point} has a decimal point and {comma} a decimal comma; one column is written one way: {OPTION} "
                "says which, with --drop-bad-rows for the others",
                max(at.values()),
            )
        return next((sign for sign in (POINT, COMMA) if at[sign] >= 0), None)

    def grouped_by(self, decimal: str | None) -> bool:
        """Whether every ambiguous value is a whole number when `decimal`, proven elsewhere in the file, holds here
        too: the tool that wrote 2.55 there meant twelve thousand by 12,000 here."""
        other = "," if decimal == POINT else "."
        return decimal is not None and all(
            other in text for text, each in zip(self.texts, self.found, strict=True) if each.ambiguous
        )

    @property
    def ambiguous(self) -> bool:
        return self.decimal is None and any(each.ambiguous for each in self.found)

    def column_of_numbers(self) -> NumberColumn:
        """Raises TraceError where a value could mean two numbers and nothing has decided."""
        if self.ambiguous:
            number = next(n for n, each in enumerate(self.found) if each.ambiguous)
            one, other = self.found[number].if_point, self.found[number].if_comma
            raise self._error(
                f"{self.texts[number]!r} can be {one:,.10g} or {other:,.10g}, and no other value of the column "
                f"decides: say {OPTION}",
                number,
            )
        values = [each.value(self.decimal or POINT) for each in self.found]
        by_code = np.array([np.nan if value is None else value for value in values] or [np.nan], dtype=np.float64)
        blank = np.array([text == "" for text in self.texts] or [True])
        currencies = tuple(dict.fromkeys(each.currency for each in self.found if each.currency))
        return NumberColumn(by_code[self.codes], blank[self.codes], self.decimal, currencies)

    def _quoted(self, number: int) -> str:
        return f"{self.texts[number]!r} on {self.places.place(int(self.first[number]))}"

    def _error(self, problem: str, number: int) -> TraceError:
        return self.places.error(problem, int(self.first[number]), self.column)


def _plain_letters(text: str) -> str:
    """Full-width and other scripts' digits as ASCII; `²` and `½` are no digits of a number."""
    if any(unicodedata.category(letter) == "No" for letter in text):
        return "?"
    text = unicodedata.normalize("NFKC", text).translate(_LETTERS)
    text = "".join(str(unicodedata.digit(letter)) if letter.isdecimal() else letter for letter in text)
    return text.replace("\u00a0", " ")


def _currency(around: str) -> str | None:
    """The currency named beside a number, empty where none is, None where what stands there is something else."""
    parts = [part for part in re.split(r"[\s\0]+", around) if part]
    if not parts:
        return ""
    name = parts[0]
    known = name.upper() in _ISO_4217 or name.lower() in _ABBREVIATIONS or all(_is_sign(letter) for letter in name)
    same = all(first == second or _is_sign(first[0]) for first, second in pairwise(parts))
    return name if known and same and len(parts) <= 2 and (len(parts) == 1 or parts[1].upper() in _ISO_4217) else None


def _is_sign(letter: str) -> bool:
    return unicodedata.category(letter) == "Sc"


def _value(body: str, decimal: str, factor: float) -> float | None:
    if not _READINGS[decimal].fullmatch(body) or not any(letter.isdigit() for letter in body):
        return None
    kept = re.sub(rf"[^\d{SIGN[decimal]}]", "", body).replace(",", ".")
    return factor * float(kept)
