"""Owns what a user can say about a trace before it is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from workloads.traces.column_names import plain
from workloads.traces.faults import TraceError

_RETURN_WORDS = """
return returned refund refunded cancelled canceled cancellation credit creditnote yes true y 1 retoure storno
gutschrift retour remboursement devolucion reembolso reso rimborso devolucao
"""
RETURN_WORDS = frozenset(_RETURN_WORDS.split())
RETURNS_HELP = "auto, negative, none, prefix=R-, column=NAME or column=NAME:word|word"
_CANCELLED = re.compile(r"[cC]\d+")
_PARTS = re.compile(r"(?s)([^=:]*)([=:]?)(.*)")


@dataclass(frozen=True, slots=True)
class Returns:
    """Which rows are goods coming back. `auto`: a negative quantity, or an invoice of C and digits. `negative`: the
    former only. `none`: nothing is; rows below zero are left out. `prefix` and `column` besides a negative quantity."""

    kind: str = "auto"
    prefixes: tuple[str, ...] = ()
    column: str | None = None
    words: frozenset[str] = RETURN_WORDS

    @property
    def pattern(self) -> str | None:
        """What an invoice number that means a return looks like."""
        if self.kind == "auto":
            return _CANCELLED.pattern
        return "(?:" + "|".join(map(re.escape, self.prefixes)) + ").*" if self.prefixes else None

    def says(self, text: str) -> bool:
        return plain(text) in self.words


def parse_returns(text: str | None) -> Returns:
    """Raises TraceError for what is none of RETURNS_HELP."""
    kind, found, rest = (part.strip() for part in _PARTS.findall(text or "auto")[0])
    if not found and kind in ("auto", "negative", "none"):
        return Returns(kind)
    if kind == "prefix" and rest:
        prefixes = tuple(filter(None, (part.strip() for part in rest.split(","))))
        return Returns(kind, prefixes) if prefixes else _refuse(text)
    if kind == "column" and rest:
        column, _, words = rest.partition(":")
        chosen = frozenset(plain(word) for word in words.split("|") if plain(word))
        return Returns(kind, (), column.strip(), chosen or RETURN_WORDS) if column.strip() else _refuse(text)
    return _refuse(text)


def _refuse(text: str | None) -> Returns:
    raise TraceError(f"--returns wants {RETURNS_HELP}: {text!r}")


@dataclass(frozen=True, slots=True)
class Join:
    """Columns of a second file beside the rows whose `key` equals its `other_key`."""

    path: str
    key: str
    other_key: str


def parse_join(text: str) -> Join:
    """`products.csv:sku` or `products.csv:item=product_id`. Raises TraceError."""
    path, found, keys = text.rpartition(":")
    key, _, other = (part.strip() for part in keys.partition("="))
    if not found or not path or not key:
        raise TraceError(f"--join wants FILE:COLUMN or FILE:COLUMN=ITS_COLUMN: {text!r}")
    return Join(path, key, other or key)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`day_first` and `decimal` are None where the data shall decide. `month` is `2010-12`, `limit` a number of
    invoices. `spread` says what a date without a time means: None the hours of the demand profile, True all hours
    alike, False midnight."""

    columns: Mapping[str, str] = field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    day_first: bool | None = None
    decimal: str | None = None
    returns: Returns | None = None
    encoding: str | None = None
    month: str | None = None
    limit: int | None = None
    drop_bad_rows: bool = False
    drop_duplicates: bool = False
    spread: bool | None = None
    attribution: str | None = None
