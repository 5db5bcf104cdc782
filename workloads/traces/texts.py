"""Owns values as texts: stripped, and a whole number without the `.0` that a spreadsheet gives it."""

from typing import Any

import pandas as pd


def texts_of(values: "pd.Series[Any]") -> "pd.Series[str]":
    if values.dtype == "str":
        return values.fillna("").str.strip()
    if pd.api.types.is_datetime64_any_dtype(values):
        shown: pd.Series[str] = values.dt.strftime("%Y-%m-%d %H:%M:%S.%f").fillna("").astype("str")
        return shown
    if pd.api.types.is_float_dtype(values):
        return pd.Series([_number(value) for value in values], index=values.index, dtype="str")
    return values.astype("object").where(values.notna(), "").astype("str").str.strip()


def ids_of(values: "pd.Series[Any]") -> "pd.Series[str]":
    """`17850.0` is how a spreadsheet writes the number 17850; where all numbers end so, none of them means it."""
    texts = texts_of(values)
    whole = texts.str.fullmatch(r"\d+\.0")
    if whole.any() and not texts.str.fullmatch(r"\d+").any():
        return texts.where(~whole, texts.str.replace(".0", "", regex=False))
    return texts


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - the one value that is not itself
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e18 else repr(value)
