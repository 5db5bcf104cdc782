"""Owns what other tools and languages call the columns of a trace (column_names.toml), and recognises them."""

import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

REQUIRED = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate")
OPTIONAL = ("Description", "UnitPrice", "CustomerID")
STANDARD = REQUIRED + OPTIONAL

_NAMES = {
    use: tuple(names.split())
    for use, names in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
TOTALS, TIMES = _NAMES["totals"], _NAMES["times"]
_ALL = {name for names in _NAMES.values() for name in names}
_OF_AN_ITEM = ("StockCode", "Quantity", "Description", "UnitPrice")


def plain(name: object) -> str:
    """`Lineitem SKU`, `lineitem_sku` and `LINEITEM-SKU` are one name."""
    decomposed = unicodedata.normalize("NFKD", str(name).replace("#", "number").casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())


def known_names(names: Iterable[str]) -> int:
    """How many of these are names of columns that a trace has."""
    return len({plain(name) for name in names} & _ALL)


def candidates(standard: str, names: list[str]) -> list[str]:
    """The columns whose name means `standard`, the likeliest first."""
    rank = {name: number for number, name in enumerate(_NAMES[standard])}
    found = []
    for name in names:
        ranks = [rank[each] for each in _meanings(standard, name) if each in rank]
        if ranks:
            found.append((min(ranks), names.index(name), name))
    return [name for _, _, name in sorted(found)]


def _meanings(standard: str, name: str) -> list[str]:
    """`line_items.sku` is an item's sku; `line_items.id` is no invoice."""
    outer, dot, inner = name.rpartition(".")
    of_item = dot and any(word in outer.lower() for word in ("item", "line", "product"))
    if of_item:
        return [plain(inner)] if standard in _OF_AN_ITEM else []
    return [plain(name)]
