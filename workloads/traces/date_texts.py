"""Owns the written forms of a date: each known form is one pattern, and what matches becomes numbers. Nothing is chosen
here: whether 5/1 is a day of January or of May is a question to the whole column."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_TIME = (
    r"(?:(?:[T ,]| at | um | à )+(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d{2})(?:[:.m](?P<second>\d{2})"
    r"(?:[.,:](?P<fraction>\d{1,9}))?s?)?)? ?(?P<half>[AaPp][Mm])?)?"
)
_ZONE = r" ?(?P<zone>[Zz]|(?:UTC|GMT)?[+-]\d{1,2}:?(?:\d{2})?|UTC|GMT)?"
_WEEKDAY = r"(?:\p{L}{2,}\.?,? )?"
_ORDINAL = r"(?:st|nd|rd|th|er|º|\.)?"
_BETWEEN = r"[ ./,-]*(?:de |del )?"
_MONTH = r"(?P<named>\p{L}{3,})\.?"
_PATTERNS = (
    r"^(?P<a>\d{1,4})(?P<sep>[-./])(?P<b>\d{1,2})(?P<sep2>[-./])(?P<c>\d{1,4})" + _TIME + _ZONE + "$",
    r"^(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?:[T ]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})"
    r"(?:\.(?P<fraction>\d{1,9}))?)?)?" + _ZONE + "$",
    r"^(?P<number>[1-8]\d{18}|\d{9,11}|\d{13}|\d{15,18}|\d{5})(?:\.(?P<rest>\d{1,12}))?$",
    "^" + _WEEKDAY + r"(?P<day>\d{1,2})" + _ORDINAL + _BETWEEN + _MONTH + _BETWEEN + r"(?P<year>\d{4}|\d{2})" + _TIME
    + _ZONE + "$",
    "^" + _WEEKDAY + _MONTH + r"[ ./-]*(?P<day>\d{1,2})" + _ORDINAL + r"[ ./,-]+(?P<year>\d{4}|\d{2})" + _TIME + _ZONE
    + "$",
    r"^(?P<year>\d{4})[ ./-]" + _MONTH + r"[ ./-](?P<day>\d{1,2})" + _TIME + _ZONE + "$",
    "^" + _WEEKDAY + _MONTH + r" (?P<day>\d{1,2}) (?P<hour>\d{1,2}):(?P<minute>\d{2}):(?P<second>\d{2})"
    r"(?: (?P<zone>UTC|GMT|[+-]\d{4}))? (?P<year>\d{4})$",
)  # fmt: skip
_MONTHS_BY_LANGUAGE = """
january february march april may june july august september october november december
januar februar marz april mai juni juli august september oktober november dezember
janner februar maerz april mai juni juli august september oktober november dezember
janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
januari februari maart april mei juni juli augustus september oktober november december
januar februar mrt april maj juni juli augusti september oktober november december
"""


@dataclass(slots=True)
class Fields:
    """The parts of each date, -1 where a part is not written. `a`, `b` stand for day and month in an order still open;
    `number` is a day or moment counted from an epoch. `zone` is in minutes east of UTC, NO_ZONE where none is named."""

    year: Ints
    month: Ints
    day: Ints
    a: Ints
    b: Ints
    dotted: NDArray[np.bool_]
    number: Ints
    rest: NDArray[np.float64]
    microseconds: Ints
    has_time: NDArray[np.bool_]
    zone: Ints
    read: NDArray[np.bool_]


NO_ZONE = 100_000
TWO_DIGITS_OF_THIS_CENTURY = 68
DAY_US = 86_400_000_000


def read_fields(texts: list[str]) -> Fields:
    """The written parts of distinct, stripped texts; `read` is False where no pattern fits."""
    plain = pa.array([_plain(text) for text in texts], pa.string())
    found = _nothing(len(texts))
    for pattern in _PATTERNS:
        open_rows = np.flatnonzero(~found.read)
        if not open_rows.size:
            break
        struct = pc.extract_regex(plain.take(pa.array(open_rows)), pattern)
        matched = pc.is_valid(struct).to_numpy(zero_copy_only=False)
        if matched.any():
            _take(found, open_rows[matched], struct.filter(pa.array(matched)))
    return found


def _nothing(size: int) -> Fields:
    def minus() -> Ints:
        return np.full(size, -1, dtype=np.int64)

    def no() -> NDArray[np.bool_]:
        return np.zeros(size, dtype=np.bool_)

    return Fields(
        minus(), minus(), minus(), minus(), minus(), no(), minus(), np.zeros(size), np.zeros(size, dtype=np.int64),
        no(), np.full(size, NO_ZONE, dtype=np.int64), no(),
    )  # fmt: skip


def _plain(text: str) -> str:
    """One blank between words, no zone names in brackets, and Chinese and Japanese signs as the usual ones."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        for sign, usual in (("年", "-"), ("月", "-"), ("日", " "), ("時", ":"), ("时", ":"), ("分", ":"), ("秒", "")):
            text = text.replace(sign, usual)
        text = text.rstrip(": ")
    if "  " in text or "\t" in text or "\n" in text:
        text = " ".join(text.split())
    if "m." in text or "M." in text:
        text = re.sub(r"\b([AaPp])\. ?([Mm])\.", r"\1\2", text)
    if text.endswith((")", "]")):
        text = re.sub(r" ?[(\[][^()\[\]]*[)\]]$", "", text)
    return text


def _take(found: Fields, rows: Ints, struct: pa.StructArray) -> None:
    part = {field.name: struct.field(field.name) for field in struct.type}
    good = np.ones(len(rows), dtype=np.bool_)
    if "a" in part:
        good &= _triple(found, rows, part)
    for name in ("year", "month", "day", "number"):
        if name in part:
            getattr(found, name)[rows] = _ints(part[name])
    if "named" in part:
        found.month[rows] = [_MONTH_NUMBERS.get(_folded(name), -1) for name in part["named"].to_pylist()]
        good &= found.month[rows] > 0
    if "a" not in part and "year" in part:
        found.year[rows] = _full_year(found.year[rows], _lengths(part["year"]))
    if "rest" in part:
        rest = part["rest"].to_pylist()
        found.rest[rows] = [float(f"0.{digits}") if digits else 0.0 for digits in rest]
    if "hour" in part:
        good &= _time(found, rows, part)
    if "zone" in part:
        good &= _zones(found, rows, part["zone"])
    found.read[rows] = good


def _triple(found: Fields, rows: Ints, part: dict[str, pa.Array]) -> NDArray[np.bool_]:
    """Three numbers: the one of four digits is the year; if none has four, a first above 31 is, and else the last."""
    first, middle, last = (_ints(part[name]) for name in "abc")
    first_length, last_length = _lengths(part["a"]), _lengths(part["c"])
    year_first = (first_length == 4) | ((first > 31) & (last_length <= 2))
    found.year[rows] = np.where(year_first, _full_year(first, first_length), _full_year(last, last_length))
    found.month[rows] = np.where(year_first, middle, -1)
    found.day[rows] = np.where(year_first, last, -1)
    found.a[rows] = np.where(year_first, -1, first)
    found.b[rows] = np.where(year_first, -1, middle)
    found.dotted[rows] = _true(pc.equal(part["sep"], "."))
    lengths_fit = np.where(year_first, last_length <= 2, (first_length <= 2) & np.isin(last_length, (2, 4)))
    return lengths_fit & _true(pc.equal(part["sep"], part["sep2"]))


def _time(found: Fields, rows: Ints, part: dict[str, pa.Array]) -> NDArray[np.bool_]:
    hour, minute, second = (_ints(part[name]) for name in ("hour", "minute", "second"))
    half = pc.utf8_lower(part["half"]) if "half" in part else pa.array([""] * len(rows))
    morning, afternoon = _true(pc.equal(half, "am")), _true(pc.equal(half, "pm"))
    timed, halved = hour >= 0, morning | afternoon
    good = ~timed | ((hour < 24) & (minute < 60) & (second < 60) & ((minute >= 0) | halved))
    good &= ~halved | ((hour >= 1) & (hour <= 12))
    hour = np.where(halved, hour % 12 + 12 * afternoon, hour)
    seconds = (np.maximum(hour, 0) * 60 + np.maximum(minute, 0)) * 60 + np.maximum(second, 0)
    found.microseconds[rows] = seconds * 1_000_000
    if "fraction" in part:
        micros = pc.utf8_slice_codeunits(pc.utf8_rpad(part["fraction"], 6, "0"), 0, 6)
        found.microseconds[rows] += np.maximum(_ints(micros), 0)
    found.has_time[rows] = timed
    return good


def _zones(found: Fields, rows: Ints, zones: pa.Array) -> NDArray[np.bool_]:
    names = zones.dictionary_encode()
    minutes = np.array([_zone_minutes(name) for name in names.dictionary.to_pylist()], dtype=np.int64)
    found.zone[rows] = minutes[names.indices.to_numpy(zero_copy_only=False)]
    placed: NDArray[np.bool_] = np.abs(found.zone[rows]) != NO_ZONE + 1
    return placed


def _zone_minutes(name: str) -> int:
    """Minutes east of UTC; one more than NO_ZONE for an offset that no place has."""
    digits = name.upper().removeprefix("UTC").removeprefix("GMT").replace(":", "")
    if digits in ("", "Z"):
        return 0 if name else NO_ZONE
    hours, minutes = (digits[1:3], digits[3:5]) if len(digits) in (3, 5) else (digits[1:-2] or digits[1:], digits[-2:])
    if len(digits) <= 3:
        hours, minutes = digits[1:], "0"
    offset = int(hours) * 60 + int(minutes or 0)
    sign = -1 if digits[0] == "-" else 1
    return sign * offset if offset <= 14 * 60 and int(minutes or 0) < 60 else NO_ZONE + 1


def _full_year(year: Ints, length: Ints) -> Ints:
    century = np.where(year <= TWO_DIGITS_OF_THIS_CENTURY, 2000, 1900)
    return np.where(length == 2, year + century, year)


def _ints(texts: pa.Array) -> Ints:
    filled = pc.if_else(pc.equal(texts, ""), "-1", pc.fill_null(texts, "-1"))
    return np.asarray(filled.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _lengths(texts: pa.Array) -> Ints:
    return np.asarray(pc.utf8_length(texts).to_numpy(zero_copy_only=False)).astype(np.int64)


def _true(flags: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False))


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _month_numbers() -> dict[str, int]:
    """Every name and every beginning of one, of three letters and more, that means one month in all languages."""
    meanings: dict[str, set[int]] = {}
    for names in _MONTHS_BY_LANGUAGE.strip().splitlines():
        for number, name in enumerate(names.split(), 1):
            for length in range(3, len(name) + 1):
                meanings.setdefault(name[:length], set()).add(number)
    return {name: numbers.pop() for name, numbers in meanings.items() if len(numbers) == 1}


_MONTH_NUMBERS = _month_numbers()
