"""Owns which column of a file is which of the trace: by the user's `--columns`, else by name, else by content. What was
guessed is said in the repairs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workloads.traces.column_names import OPTIONAL, REQUIRED, STANDARD, TIMES, TOTALS, candidates, plain
from workloads.traces.dates import read_dates
from workloads.traces.faults import FilePlaces, Repairs, TraceError, listed
from workloads.traces.numbers import read_numbers, written
from workloads.traces.table import Table
from workloads.traces.texts import texts_of

NUMERIC = ("Quantity", "UnitPrice")
RETURNED = "Returned"
SAMPLE_ROWS = 200
_OPERATORS = {"Quantity": "*/+-", "UnitPrice": "*/+-"}
_MIDNIGHT = re.compile(r"[ T]00:00:00(?:\.0+)?(?= \d)")


@dataclass(frozen=True, slots=True)
class Expression:
    """A column, a constant, or two expressions with an operator between them."""

    text: str
    column: str | None = None
    constant: str | None = None
    operator: str = ""
    left: "Expression | None" = None
    right: "Expression | None" = None


def parse_columns(text: str | None) -> dict[str, str]:
    """`InvoiceNo=order,CustomerID='guest',UnitPrice=value/quantity` as a mapping from the standard name to what stands
    for it: a column, a constant in single quotes, or columns with an operator. Raises TraceError."""
    mapping: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in _split(text or "", ","))):
        standard, found, theirs = (part.strip() for part in pair.partition("="))
        if not found or standard not in STANDARD or not theirs:
            raise TraceError(f"--columns wants NAME=COLUMN with NAME one of {', '.join(STANDARD)}: {pair!r}")
        if standard in mapping:
            raise TraceError(f"--columns names {standard} twice")
        mapping[standard] = theirs
    return mapping


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside quotes."""
    parts, quote = [""], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == separator:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


def standard_frame(table: Table, columns: Mapping[str, str], returned: str | None, repairs: Repairs) -> pd.DataFrame:
    """The table under the standard names; an optional column that is not there is blank. Raises TraceError."""
    chosen = _chosen(table, columns, repairs)
    frame = {name: _values(table, name, chosen[name]) for name in STANDARD if chosen[name] is not None}
    blank = pd.Series([""] * len(table.frame), dtype="str")
    frame |= {name: blank for name in STANDARD if chosen[name] is None}
    if returned is not None:
        frame[RETURNED] = _values(table, RETURNED, _parsed(table, RETURNED, returned))
    table.understood["columns"] = {name: each.text for name, each in chosen.items() if each is not None}
    return pd.DataFrame(frame)


def _chosen(table: Table, columns: Mapping[str, str], repairs: Repairs) -> dict[str, Expression | None]:
    chosen = {name: _parsed(table, name, columns[name]) for name in STANDARD if name in columns}
    guesses = _Guesses(table, chosen, repairs)
    for standard in STANDARD:
        if standard not in chosen and (guess := guesses.of(standard)) is not None:
            chosen[standard] = guess
    for standard in REQUIRED:
        if standard not in chosen:
            raise TraceError(_missing(table, standard), column=standard, line=table.header_line, unit=table.unit)
    for standard in OPTIONAL:
        if standard not in chosen:
            repairs.add(f"column_{standard}_missing", len(table.frame), table.header_line or 1)
    return {standard: chosen.get(standard) for standard in STANDARD}


def _missing(table: Table, standard: str) -> str:
    hint = {"Quantity": ", or Quantity='1' where a row is one unit", "InvoiceNo": ", or InvoiceNo=CUSTOMER+DATE"}
    return f"missing; the file has {_names(table)}. Say --columns {standard}=NAME{hint.get(standard, '')}"


def _names(table: Table) -> str:
    return listed(list(table.frame.columns))


class _Guesses:
    """Guesses columns, each for one thing only, and says what it guessed."""

    def __init__(self, table: Table, chosen: Mapping[str, Expression], repairs: Repairs) -> None:
        self._table, self._repairs, self._chosen = table, repairs, chosen
        self._names = [str(name) for name in table.frame.columns]
        # A column that is part of a calculation may be one by itself too: value/quantity leaves quantity what it is.
        self._used = {each.column for each in chosen.values() if each.column is not None}

    def of(self, standard: str) -> Expression | None:
        by_name = next((name for name in candidates(standard, self._names) if name not in self._used), None)
        if by_name is not None:
            return self._take(standard, by_name)
        if standard == "StockCode":
            described = next((name for name in candidates("Description", self._names) if name not in self._used), None)
            return self._take(standard, described) if described else None
        if standard == "UnitPrice" and (total := self._total()) is not None:
            return total
        return self._by_content(standard)

    def _take(self, standard: str, name: str) -> Expression:
        _refuse_repeated(self._table, name)
        self._used.add(name)
        expression = Expression(name, column=name)
        if standard == "InvoiceDate":
            expression = self._with_time(expression)
        if plain(name) != plain(standard) or expression.operator:
            self._say(standard, expression.text)
        return expression

    def _with_time(self, date: Expression) -> Expression:
        """A date whose time of day stands in a column of its own."""
        values = self._sample(str(date.column))
        times = [name for name in self._names if plain(name) in TIMES and name not in self._used]
        if not times or values.dtype != "str" or values.str.contains(r"\d:\d\d", regex=True).any():
            return date
        self._used.add(times[0])
        return _plus(date, Expression(times[0], column=times[0]))

    def _total(self) -> Expression | None:
        quantity = self._chosen.get("Quantity")
        total = next((name for each in TOTALS for name in self._names if plain(name) == each), None)
        if total is None or total in self._used or quantity is None:
            return None
        _refuse_repeated(self._table, total)
        self._used.add(total)
        text = f"{total}/{quantity.text}"
        self._say("UnitPrice", text)
        return Expression(text, operator="/", left=Expression(total, column=total), right=quantity)

    def _by_content(self, standard: str) -> Expression | None:
        """The one column that can be it, if there is exactly one."""
        looks: dict[str, Callable[[pd.Series[Any]], bool]] = {
            "InvoiceDate": _looks_like_dates,
            "Quantity": _looks_like_units,
            "UnitPrice": _looks_like_prices,
        }
        if standard not in looks:
            return None
        free = [name for name in self._names if name not in self._used and name not in self._table.repeated]
        fitting = [name for name in free if looks[standard](self._sample(name))]
        return self._take(standard, fitting[0]) if len(fitting) == 1 else None

    def _sample(self, name: str) -> "pd.Series[Any]":
        return self._table.frame[name].iloc[:SAMPLE_ROWS]

    def _say(self, standard: str, text: str) -> None:
        line = self._table.header_line or 1
        self._repairs.add(f"column_{standard}_guessed", len(self._table.frame), line, f"{standard} is read from {text}")


def _looks_like_dates(values: "pd.Series[Any]") -> bool:
    if pd.api.types.is_datetime64_any_dtype(values):
        return True
    texts = texts_of(values)
    texts = texts[texts != ""]
    if texts.empty or not texts.str.contains(r"\d[-/.:年]", regex=True).all():
        return False
    try:
        return not np.isnat(read_dates(texts, "", FilePlaces(np.arange(len(texts))), None).at).any()
    except TraceError:
        return False


def _looks_like_units(values: "pd.Series[Any]") -> bool:
    texts = texts_of(values)
    return not texts.empty and bool(texts.str.fullmatch(r"-?\d{1,4}").all())


def _looks_like_prices(values: "pd.Series[Any]") -> bool:
    texts = texts_of(values)
    texts = texts[texts != ""]
    fractions = texts.str.contains(r"[.,]\d\d\b", regex=True)
    return not texts.empty and bool(fractions.mean() > 0.5) and all(written(text).readable for text in texts)


def _parsed(table: Table, standard: str, text: str) -> Expression:
    """What `--columns` says of one name. A text that is a column's whole name is that column."""
    found = _simple(table, text)
    if found is not None:
        return found
    for operator in _OPERATORS.get(standard, "+"):
        parts = _split(text, operator)
        for cut in range(1, len(parts)):
            left = _simple(table, operator.join(parts[:cut]).strip())
            rest = operator.join(parts[cut:]).strip()
            if left is not None and rest:
                right = _parsed(table, standard, rest)
                return Expression(text, operator=operator, left=left, right=right)
    raise TraceError(
        f"--columns names it for {standard}, but the file has {_names(table)}",
        column=text,
        line=table.header_line or 1,
    )


def _simple(table: Table, text: str) -> Expression | None:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return Expression(text, constant=text[1:-1])
    name = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
    names = [str(each) for each in table.frame.columns]
    if name not in names:
        alike = [each for each in names if plain(each) == plain(name)] if plain(name) else []
        if len(alike) != 1:
            return None
        name = alike[0]
    _refuse_repeated(table, name)
    return Expression(text, column=name)


def _refuse_repeated(table: Table, name: str) -> None:
    if name in table.repeated:
        places = " and ".join(str(number) for number in table.repeated[name])
        raise TraceError(
            f"the header names it more than once (fields {places}); rename one",
            line=table.header_line or 1,
            column=name,
        )


def _plus(left: Expression, right: Expression) -> Expression:
    return Expression(f"{left.text}+{right.text}", operator="+", left=left, right=right)


def _values(table: Table, standard: str, expression: Expression | None) -> "pd.Series[Any]":
    assert expression is not None
    if expression.constant is not None:
        return pd.Series([expression.constant] * len(table.frame), dtype="str")
    if expression.column is not None:
        return table.frame[expression.column]
    left, right = (_values(table, standard, part) for part in (expression.left, expression.right))
    if standard in NUMERIC:
        return _calculated(table, standard, expression, left, right)
    joined = texts_of(left) + " " + texts_of(right)
    if standard == "InvoiceDate":
        joined = joined.str.replace(_MIDNIGHT, "", regex=True)
    return joined.str.strip()


def _calculated(
    table: Table, standard: str, expression: Expression, left: "pd.Series[Any]", right: "pd.Series[Any]"
) -> "pd.Series[float]":
    """Two columns of numbers, each decided for itself. Blank where one is blank or the division is by nothing."""
    a, b = (_numbers(table, standard, values) for values in (left, right))
    with np.errstate(all="ignore"):
        result = {"/": np.divide, "*": np.multiply, "+": np.add, "-": np.subtract}[expression.operator](a, b)
    return pd.Series(np.where(np.isinf(result) & np.isfinite(a), np.nan, result))


def _numbers(table: Table, standard: str, values: "pd.Series[Any]") -> "np.typing.NDArray[np.float64]":
    if pd.api.types.is_numeric_dtype(values):
        return np.asarray(values.astype("float64"), dtype=np.float64)
    texts, places = texts_of(values), FilePlaces(table.lines, table.unit)
    found = read_numbers(texts, standard, places).column_of_numbers()
    bad = np.flatnonzero(np.isnan(found.values) & ~found.blank)
    if bad.size:
        row = int(bad[0])
        raise places.error(f"not a number: {texts.iloc[row]!r}", row, standard)
    return found.values
