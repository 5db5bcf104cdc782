"""Owns stock codes as SKUs that fit into a URL. Two codes never become one SKU: what a code loses on the way is made up
for by a mark that depends on the code alone, so that the same code is the same SKU in every file."""

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SKU_LENGTH_MAX = 64
MARK_LENGTH = 8
_OUTSIDE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Skus:
    """`skus` is empty where a code has no letter and no digit. `changed` and `told_apart` mark rows."""

    skus: "pd.Series[str]"
    changed: NDArray[np.bool_]
    told_apart: NDArray[np.bool_]


def skus_of(codes: "pd.Series[str]") -> Skus:
    """One SKU for each distinct code; codes that differ in case only are distinct, as they are to the shop."""
    numbers, found = pd.factorize(codes)
    distinct = [unicodedata.normalize("NFC", str(code)) for code in found]
    plain = [_plain(code) for code in distinct]
    rivals = Counter(sku for sku, _ in dict(zip(distinct, plain, strict=True)).values())
    skus = [
        _marked(sku, code) if sku != code and (lost or rivals[sku] > 1) else sku
        for code, (sku, lost) in zip(distinct, plain, strict=True)
    ]
    marked = np.array([sku != before for sku, (before, _) in zip(skus, plain, strict=True)], dtype=np.bool_)
    changed = np.array([sku != code for sku, code in zip(skus, distinct, strict=True)], dtype=np.bool_)
    made = pd.Series(pd.array(skus, dtype="str")).take(numbers).set_axis(codes.index)
    return Skus(made, changed[numbers], marked[numbers])


def _plain(code: str) -> tuple[str, bool]:
    """The code, in NFC, in the letters of a SKU, and whether a letter or digit was lost or put for another."""
    if not any(letter.isalnum() for letter in code):
        return "", False
    ascii_only = unicodedata.normalize("NFKD", code).encode("ascii", "ignore").decode()
    sku = _OUTSIDE.sub("-", ascii_only).lstrip("._-")
    lost = not all(letter.isascii() or not letter.isalnum() for letter in code)
    return sku[:SKU_LENGTH_MAX], lost or len(sku) > SKU_LENGTH_MAX


def _marked(sku: str, code: str) -> str:
    if not sku and not any(letter.isalnum() for letter in code):
        return ""
    mark = hashlib.sha256(code.encode()).hexdigest()[:MARK_LENGTH]
    return f"{sku[: SKU_LENGTH_MAX - MARK_LENGTH - 1].rstrip('-') or 'sku'}-{mark}"
