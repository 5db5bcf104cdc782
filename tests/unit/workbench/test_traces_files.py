"""Trace files of every kind and packing, whole and broken: rows, or one sentence."""

import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import sys
import tarfile
import zipfile

import pandas as pd
import pytest
import zstandard

from workloads.traces.csv_file import read_csv
from workloads.traces.faults import Repairs
from workloads.traces.options import Join
from workloads.traces.retail import TraceError, read_trace

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"
ROW = "1,A,HEART,6,2010-12-01 08:26,2.55,7\n"
TEXT = HEADER + ROW


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("xl__", "xl/"), content)
    return buffer.getvalue()


PACKED = {
    "gzip": gzip.compress(TEXT.encode()),
    "gzip of two members": gzip.compress(HEADER.encode()) + gzip.compress(ROW.encode()),
    "zstd": zstandard.compress(TEXT.encode()),
    "zstd of two frames": zstandard.compress(HEADER.encode()) + zstandard.compress(ROW.encode()),
    "bzip2": bz2.compress(TEXT.encode()),
    "xz": lzma.compress(TEXT.encode()),
    "zip": zipped(trace=TEXT.encode()),
    "zip of a Mac": zipped(trace=TEXT.encode(), **{"__MACOSX/._trace": b"x"}),
    "gzip in a zip": zipped(trace=gzip.compress(TEXT.encode())),
}


def only_row(path, **options):
    (invoice,) = read_trace(path, **options).invoices()
    return invoice


@pytest.mark.parametrize("how", list(PACKED))
def test_packed_files_are_read_whatever_their_name(write, how):
    assert only_row(write(PACKED[how], "export.data")).units_by_sku() == {"A": 6}


@pytest.mark.parametrize("how", ["gzip", "zstd", "bzip2", "xz", "zip"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_torso_of_an_archive_is_one_sentence(write, how, kept):
    torso = PACKED[how][: int(len(PACKED[how]) * kept)]
    with pytest.raises(TraceError, match="ends early or is damaged"):
        read_trace(write(torso))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bz2.compress, lambda b: zipped(trace=b)])
def test_what_unpacks_to_far_more_than_a_table_would_is_refused(write, pack, monkeypatch):
    monkeypatch.setattr("workloads.traces.files.RATIO_COUNTS_FROM_BYTES", 1 << 20)
    with pytest.raises(TraceError, match=r"unpacks to more than \d+ MiB"):
        read_trace(write(pack(b"\0" * (8 << 20))))


def test_an_archive_of_several_files_is_named(write):
    with pytest.raises(TraceError, match=r"holds 2 files \(a, b\); a trace is one"):
        read_trace(write(zipped(a=b"x", b=b"y")))
    with pytest.raises(TraceError, match="holds 0 files"):
        read_trace(write(zipped()))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?>", "an XML"),
        (b"SQLite format 3\0", "an SQLite"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"PAR1" + b"\0" * 20 + b"PAR1", "not a readable Parquet"),
        (b"PAR1", "not a readable Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "not a readable spreadsheet"),
        (zipped(xl__workbook=b"", **{"xl__workbook.xml": b"<workbook/>"}), "not a readable spreadsheet|no sheet"),
        (b"", "line 1: the file is empty"),
        (b"\xef\xbb\xbf", "line 1: the file is empty"),
        (b"\n \n", "line 1: the file is empty"),
        (b"{", "line 1: not readable as JSON"),
        (b"[1, 2]", "item 1: an object is wanted"),
        (b"[]", "no object"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "JSON|deeper"),
    ],
)
def test_what_is_no_trace_is_one_sentence(write, content, what):
    with pytest.raises(TraceError, match=what) as caught:
        read_trace(write(content))
    assert "\n" not in str(caught.value)


def test_a_tar_archive_and_a_folder_are_named(write, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("trace.csv"), io.BytesIO())
    with pytest.raises(TraceError, match="is a tar archive"):
        read_trace(write(buffer.getvalue()))
    with pytest.raises(TraceError, match="is a folder"):
        read_trace(tmp_path)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        (TEXT, ","),
        (TEXT.replace(",", ";"), ";"),
        (TEXT.replace(",", "\t"), "\t"),
        (TEXT.replace(",", "|"), "|"),
        ("sep=;\n" + TEXT.replace(",", ";"), ";"),
        ('"sep=;"\r\n' + TEXT.replace(",", ";"), ";"),
        ("sep=\t\n" + TEXT.replace(",", "\t"), "\t"),
        (";".join(f'"{name}"' for name in HEADER.strip().split(",")) + "\n" + ROW.replace(",", ";"), ";"),
        (TEXT.replace(",", ";").replace("2.55", "2,55").replace("HEART", "HEART, RED, BIG"), ";"),
    ],
)
def test_the_separator_is_found(write, text, separator):
    trace = read_trace(write(text))
    assert trace.invoices()[0].units_by_sku() == {"A": 6}
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    assert trace.understood["files"][0]["separator"] == names[separator]


def test_lines_are_counted_through_a_sep_line_blank_lines_and_titles(write):
    text = "sep=,\n\nSales of December\n" + HEADER + ROW + "2,B,X,one,2010-12-01,1,7\n"
    with pytest.raises(TraceError, match=r"line 6, column Quantity: .*'one'"):
        read_trace(write(text))
    repairs = read_trace(write(text.replace("one", "1"))).repairs.as_dict()
    assert repairs["lines_above_header_skipped"] == {"rows": 1, "firstLine": 3}


def test_an_unknown_separator_is_named(write):
    with pytest.raises(TraceError, match="line 1: sep=: is no separator"):
        read_trace(write("sep=:\n" + TEXT))


def test_a_repeated_column_is_named_where_it_is_needed(write):
    with pytest.raises(
        TraceError, match=r"line 1, column Quantity: the header names it more than once \(fields 4 and 5\)"
    ):
        read_trace(write("InvoiceNo,StockCode,InvoiceDate,Quantity,Quantity\n1,A,2010-12-01,1,2\n"))
    harmless = "InvoiceNo,StockCode,InvoiceDate,Quantity,Note,Note,,\n1,A,2010-12-01,1,,,,\n"
    assert only_row(write(harmless)).units_by_sku() == {"A": 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_with_and_without_their_marks(write, encoding):
    text = TEXT.replace("HEART", "CAFÉ").encode(encoding)
    assert set(read_trace(write(text)).rows["description"]) == {"CAFÉ"}


def test_an_encoding_can_be_said_and_an_unknown_or_wrong_one_is_named(write):
    path = write(TEXT.replace("HEART", "傘").encode("shift_jis"))
    assert set(read_trace(path, encoding="shift_jis").rows["description"]) == {"傘"}
    with pytest.raises(TraceError, match="no encoding that is known"):
        read_trace(path, encoding="klingon")
    with pytest.raises(TraceError, match="line 2: not readable as ascii"):
        read_trace(path, encoding="ascii")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems(write, ends):
    assert only_row(write((TEXT + "\n\n").replace("\n", ends))).units_by_sku() == {"A": 6}


def test_nul_characters_are_taken_out_and_counted(write):
    trace = read_trace(write(TEXT.replace("HEART", "HE\0ART")))
    assert set(trace.rows["description"]) == {"HEART"}
    assert trace.repairs.as_dict()["nul_characters_removed"] == {"rows": 1, "firstLine": 2}


def test_a_quote_that_is_never_closed_is_refused_also_on_the_last_line(write):
    with pytest.raises(TraceError, match="line 3: a quote opened here is never closed"):
        read_trace(write(TEXT + '2,B,X,1,2010-12-01 08:26,1,"7'))


def test_both_readers_of_csv_read_the_same(write):
    """The quick reader takes the first text; a field of two lines sends the second one to the careful reader."""
    lines = ['1,"A, b",HE""ART,6,2010-12-01,"2.55",', '2,B," X ""q""",1,2010-12-01,1,7', '3,C,5" pipe,1,2010-12-01,1,7']
    quick, careful = (
        "\n".join([HEADER.strip(), *lines, *more]).encode() for more in ([], ['4,D,"X\nY",1,2010-12-01,1,7'])
    )
    tables = [read_csv(each, lambda names: 7, Repairs()) for each in (quick, careful)]
    pd.testing.assert_frame_equal(tables[0].frame, tables[1].frame.iloc[:3])
    assert tables[0].lines.tolist() == [2, 3, 4]
    assert tables[1].lines.tolist() == [2, 3, 4, 5]


ORDERS = [
    {"id": 1, "created_at": "2010-12-01T08:26:00Z", "customer": {"id": 7},
     "line_items": [{"id": 90, "sku": "A", "title": "HEART", "quantity": 6, "price": "2.55"},
                    {"sku": "B", "quantity": 1}]},
    {"id": 2, "created_at": "2010-12-01T09:00:00Z", "customer": None, "line_items": [{"sku": "A", "quantity": 2}]},
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ORDERS),
        json.dumps(ORDERS, indent=2),
        json.dumps({"orders": ORDERS}),
        "\n".join(json.dumps(order) for order in ORDERS),
        "\n\n".join(json.dumps(order) for order in ORDERS) + "\n",
    ],
)
def test_json_as_shops_export_it(write, text):
    first, second = read_trace(write(text, "orders.json")).invoices()
    assert (first.number, first.customer, first.units_by_sku()) == ("1", "7", {"A": 6, "B": 1})
    assert (second.number, second.customer, second.units_by_sku()) == ("2", "", {"A": 2})


def test_a_broken_json_line_is_named_and_numbers_are_not_ambiguous_there(write):
    rows = [{"order_id": 1, "sku": "A", "quantity": 1.0, "date": 1293783960, "price": 1.234}]
    text = "\n".join(json.dumps(row) for row in rows)
    trace = read_trace(write(text, "t.jsonl"))
    assert trace.rows["price"].tolist() == [1.234]
    assert str(trace.begins_at) == "2010-12-31 08:26:00"
    with pytest.raises(TraceError, match="line 2: not readable as JSON"):
        read_trace(write(text + "\n{oops", "t.jsonl"))


def workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()


def test_a_workbook_of_years_is_one_trace(write):
    header = HEADER.strip().split(",")
    at = dt.datetime(2010, 12, 1, 8, 26)
    book = workbook(
        {
            "Year 2009-2010": [header, [1, "A", "HEART", 6, at, 2.55, 17850], [2, 22423, "X", 1, at, 1, None]],
            "Year 2010-2011": [header, [3, "A", "HEART", 1, at.replace(year=2011), 2.55, 17850.0]],
            "Notes": [["who", "what"], ["me", "this"]],
        }
    )
    trace = read_trace(write(book, "online_retail.xlsx"))
    assert [(each.number, each.customer) for each in trace.invoices()] == [("1", "17850"), ("2", ""), ("3", "17850")]
    assert trace.repairs.rows["sheets_of_another_header_ignored"] == 1


def test_without_the_reader_a_spreadsheet_is_a_sentence_that_names_the_extra(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(TraceError, match=r"pip install 'holdfast\[load\]'"):
        read_trace(write(zipped(**{"xl__workbook.xml": b"<workbook/>"}), "trace.xlsx"))


def test_parquet_of_all_types(write, tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame(
        {
            "order_id": pd.Categorical(["a", "b"]),
            "sku": [b"A", b"B"],
            "qty": pd.array([1, None], dtype="Int32"),
            "sold_at": [dt.date(2010, 12, 1), dt.date(2010, 12, 2)],
            "price": [1.5, float("nan")],
        }
    ).to_parquet(path)
    with pytest.raises(TraceError, match="row 2, column Quantity"):
        read_trace(path)
    assert only_row(path, drop_bad_rows=True).units_by_sku() == {"A": 1}


def test_several_files_are_one_trace_and_faults_name_their_file(write):
    january = write(TEXT, "1.csv")
    february = write(HEADER.replace(",", ";") + "2;B;X;1;2011-02-01 08:00;3.00;8\n", "2.csv")
    assert [each.number for each in read_trace([january, february]).invoices()] == ["1", "2"]
    bad = write(HEADER + "2,B,X,?,2011-02-01 08:00,3.00,8\n", "3.csv")
    with pytest.raises(TraceError, match=r"3\.csv, line 2, column Quantity"):
        read_trace([january, bad])


def test_a_second_file_is_joined_by_key(write):
    sales = write(
        "order;item;qty;when\n1;10;2;2011-01-01 10:00\n1;11;1;2011-01-01 10:00\n1;12;1;2011-01-01 10:00\n", "s.csv"
    )
    products = write("product_id,name,price\n10.0,HEART,2.55\n11.0,MUG,3.00\n", "p.csv")
    columns = {"InvoiceNo": "order", "StockCode": "item", "InvoiceDate": "when"}
    trace = read_trace(sales, columns, joins=[Join(str(products), "item", "product_id")])
    assert {each.sku: (each.name, each.price_minor) for each in trace.catalogue()} == {
        "10": ("HEART", 255),
        "11": ("MUG", 300),
        "12": ("12", 278),
    }
    assert trace.repairs.as_dict()["rows_without_a_match_in_join"]["firstLine"] == 4
    twice = write("product_id,name\n10,HEART\n10,MUG\n", "p.csv")
    with pytest.raises(TraceError, match=r"line 3, column product_id: p\.csv has '10' more than once"):
        read_trace(sales, columns, joins=[Join(str(twice), "item", "product_id")])
    with pytest.raises(TraceError, match="--join wants column 'nothing'"):
        read_trace(sales, columns, joins=[Join(str(products), "nothing", "product_id")])
