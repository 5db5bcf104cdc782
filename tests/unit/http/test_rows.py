"""Files of rows: what is written is read back as it was, and no cell is a formula to a spreadsheet."""

import csv
import io
from typing import Annotated

import msgspec
import pytest

from service.errors import Invalid, Malformed, TooLarge
from service.web.http.operation import Wire
from service.web.http.rows import (
    CSV,
    JSON_LINES,
    ROW_CHARACTERS_MAX,
    Columns,
    Row,
    guarded,
    read_rows,
    unguarded,
    written,
)


class Thing(Wire):
    sku: str
    how_many: int = 0
    note: Annotated[str, msgspec.Meta(max_length=100_000)] = ""


COLUMNS = Columns(Thing, aliases={"count": "howMany"}, ignored=frozenset({"total"}))


def rows(text: str, media: str = CSV) -> list[Row]:
    return list(read_rows(text.encode(), media, COLUMNS, 1_000))


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "'=1", "''", "'"]


@pytest.mark.parametrize("text", [*FORMULAS, "plain", "", "a=b", "1,5", 'say "x"', "two\nlines", "ø ß 日本"])
def test_text_is_never_a_formula_and_comes_back_as_it_was(text: str):
    cell = guarded(text)
    assert not cell or cell[0] not in "=+-@\t\r\n"
    assert unguarded(cell) == text


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell():
    page = written([{"a": -5, "b": None, "c": True, "d": "=x"}], ("a", "b", "c", "d"), CSV, header=True)
    assert list(csv.reader(io.StringIO(page.decode()))) == [["a", "b", "c", "d"], ["-5", "", "true", "'=x"]]


@pytest.mark.parametrize("media", [CSV, JSON_LINES])
def test_what_is_written_is_read_back(media: str):
    things = [{"sku": "A", "howMany": 3, "note": "=1+1"}, {"sku": "B", "howMany": 0, "note": 'a "b", c'}]
    page = written(things, ("sku", "howMany", "note"), media, header=True)
    read = [row.taken for row in read_rows(page, media, COLUMNS, 10)]
    assert read == [Thing(sku="A", how_many=3, note="=1+1"), Thing(sku="B", how_many=0, note='a "b", c')]


@pytest.mark.parametrize("header", ["sku,howMany", "SKU,How Many", "sku,how_many", "Sku,count", "sku,HOW-MANY"])
def test_a_column_is_known_however_it_is_written(header: str):
    assert [row.taken for row in rows(f"{header}\nA,3\n")] == [Thing(sku="A", how_many=3)]


def test_what_an_export_has_and_an_import_does_not_change_is_passed_over():
    assert [row.taken for row in rows("sku,total\nA,9\n")] == [Thing(sku="A")]
    assert [row.taken for row in rows('{"sku":"A","total":9}', JSON_LINES)] == [Thing(sku="A")]


def test_a_row_that_spans_lines_counts_as_the_line_where_it_begins():
    found = rows('sku,note\nA,"one\ntwo"\n\nB,x\nC\n')
    assert [(row.line, row.fault) for row in found] == [(2, None), (5, None), (6, None)]


@pytest.mark.parametrize("media", [CSV, JSON_LINES])
def test_a_row_without_end_is_refused_alone(media: str):
    long = "x" * (ROW_CHARACTERS_MAX + 1)
    text = f"sku,note\nA,{long}\nB,y\n" if media == CSV else f'{{"sku":"A","note":"{long}"}}\n{{"sku":"B"}}\n'
    long_one, other = rows(text, media)
    assert isinstance(long_one.fault, TooLarge)
    assert other.fault is None


def test_a_cell_beyond_every_limit_ends_the_file_with_a_sentence():
    found = rows("sku,note\nA,x\nB," + "y" * 200_000 + "\nC,z\n")
    assert [row.fault is None for row in found] == [True, False]
    assert "from here on" in str(found[1].fault)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"sku":' * 50_000, "{}", "null", "1", '{"sku":"A"'])
def test_json_that_is_no_row_is_told_and_nothing_breaks(text: str):
    (row,) = rows(text, JSON_LINES)
    assert row.taken is None
    assert isinstance(row.fault, TooLarge | Malformed | Invalid)
