"""Traces as shops really have them: other column names, other dates, and every kind of dirt."""

import pandas as pd
import pytest

from workloads.traces.retail import TraceError, parse_columns, read_trace

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def rows(*lines: str) -> str:
    return HEADER + "\n".join(lines) + "\n"


def test_an_invoice_keeps_its_lines_and_a_sku_listed_twice_counts_twice(write):
    trace = read_trace(
        write(
            rows(
                "536365,85123A,HEART,6,12/1/10 8:26,2.55,17850.0,UK",
                "536365,71053,LANTERN,2,12/1/10 8:26,3.39,17850.0,UK",
                "536365,85123A,HEART,6,12/1/10 8:26,2.55,17850.0,UK",
            )
        )
    )
    (invoice,) = trace.invoices()
    assert [(line.sku, line.quantity) for line in invoice.lines] == [("85123A", 6), ("71053", 2), ("85123A", 6)]
    assert invoice.units_by_sku() == {"85123A": 12, "71053": 2}
    assert invoice.customer == "17850"
    assert trace.repairs.as_dict()["duplicate_rows_kept"] == {"rows": 1, "firstLine": 4}


def test_duplicate_rows_can_be_left_out(write):
    line = "1,A,X,6,12/1/10 8:26,2.55,17850,UK"
    trace = read_trace(write(rows(line, line)), drop_duplicates=True)
    assert trace.invoices()[0].units_by_sku() == {"A": 6}
    assert trace.repairs.rows["duplicate_rows_dropped"] == 1


@pytest.mark.parametrize(
    ("line", "is_return"),
    [
        ("C1,A,X,-2,12/1/10 8:26,1,7,UK", True),
        ("c1,A,X,-2,12/1/10 8:26,1,7,UK", True),
        ("1,A,X,-2,12/1/10 8:26,1,7,UK", True),
        ("1,A,X,2,12/1/10 8:26,1,7,UK", False),
    ],
)
def test_a_negative_quantity_or_a_c_invoice_is_a_return(write, line, is_return):
    (invoice,) = read_trace(write(rows(line))).invoices()
    assert invoice.is_return is is_return
    assert invoice.lines[0].quantity == 2


def test_one_invoice_with_sold_and_returned_lines_becomes_two(write):
    trace = read_trace(write(rows("1,A,X,2,12/1/10 8:26,1,7,UK", "1,B,X,-1,12/1/10 8:26,1,7,UK")))
    assert [(invoice.number, invoice.is_return) for invoice in trace.invoices()] == [("1", False), ("1", True)]


def test_rows_out_of_order_are_put_back_and_each_customer_keeps_their_order(write):
    trace = read_trace(
        write(
            rows(
                "3,A,X,1,12/1/10 10:00,1,7,UK",
                "1,A,X,1,12/1/10 8:00,1,7,UK",
                "2,A,X,1,12/1/10 9:00,1,7,UK",
                "1,B,X,1,12/1/10 8:01,1,7,UK",
            )
        )
    )
    assert [(i.number, i.at_seconds, len(i.lines)) for i in trace.invoices()] == [
        ("1", 0.0, 2),
        ("2", 3600.0, 1),
        ("3", 7200.0, 1),
    ]
    assert trace.repairs.rows["out_of_order_rows_moved"] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12/1/10 8:26", "2010-12-01 08:26:00"),
        ("12/1/2010 8:26", "2010-12-01 08:26:00"),
        ("2010-12-01 08:26:30", "2010-12-01 08:26:30"),
        ("2010-12-01T08:26:30", "2010-12-01 08:26:30"),
        ("24/12/2010 08:26", "2010-12-24 08:26:00"),
        ("2010-12-01", "2010-12-01 00:00:00"),
    ],
)
def test_dates_are_read_in_the_usual_forms(write, text, expected):
    assert str(read_trace(write(rows(f"1,A,X,1,{text},1,7,UK"))).begins_at) == expected


def test_a_file_is_not_read_month_first_here_and_day_first_there(write):
    ambiguous = rows("1,A,X,1,12/1/10 8:26,1,7,UK", "2,A,X,1,12/31/10 8:26,1,7,UK", "3,A,X,1,31/12/10 8:26,1,7,UK")
    with pytest.raises(TraceError, match=r"line 4, column InvoiceDate: .*31/12/10"):
        read_trace(write(ambiguous))


def test_a_blank_date_takes_its_invoices_date(write):
    trace = read_trace(write(rows("1,A,X,1,,1,7,UK", "1,B,X,1,12/1/10 8:26,1,7,UK")))
    assert len(trace.invoices()[0].lines) == 2
    assert trace.repairs.as_dict()["blank_dates_filled"] == {"rows": 1, "firstLine": 2}


def test_a_blank_date_with_nothing_to_fill_it_is_refused_by_line_and_column(write):
    path = write(rows("1,A,X,1,12/1/10 8:26,1,7,UK", "2,A,X,1,,1,7,UK"))
    with pytest.raises(TraceError, match=r"line 3, column InvoiceDate: blank, and no row of invoice 2 has a date"):
        read_trace(path)
    trace = read_trace(path, drop_bad_rows=True)
    assert [invoice.number for invoice in trace.invoices()] == ["1"]
    assert trace.repairs.rows["bad_rows_dropped"] == 1


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (",A,X,1,12/1/10 8:26,1,7,UK", "line 2, column InvoiceNo"),
        ("1,,X,1,12/1/10 8:26,1,7,UK", "line 2, column StockCode"),
        ("1,A,X,one,12/1/10 8:26,1,7,UK", "line 2, column Quantity"),
        ("1,A,X,1.5,12/1/10 8:26,1,7,UK", "line 2, column Quantity"),
        ("1,A,X,1e30,12/1/10 8:26,1,7,UK", "line 2, column Quantity"),
        ("1,A,X,1,yesterday,1,7,UK", "line 2, column InvoiceDate"),
        ("1,A,X,1", "line 2, column InvoiceDate"),
        ("1,A,X,1,12/1/10 8:26,1,7,UK,more", "line 2: 9 fields"),
    ],
)
def test_what_cannot_be_mended_is_refused_by_line_and_column(write, line, place):
    with pytest.raises(TraceError, match=place):
        read_trace(write(rows(line)))


def test_bad_prices_take_the_median_price_of_their_sku(write):
    trace = read_trace(
        write(
            rows(
                "1,A,X,1,12/1/10 8:26,2.00,7,UK",
                "2,A,X,1,12/1/10 8:27,-11062.06,7,UK",
                "3,A,X,1,12/1/10 8:28,0,7,UK",
                "4,A,X,1,12/1/10 8:29,,7,UK",
                "5,B,X,1,12/1/10 8:29,£3.50,7,UK",
            )
        )
    )
    assert {item.sku: item.price_minor for item in trace.catalogue()} == {"A": 200, "B": 350}
    assert {kind: count for kind, count in trace.repairs.rows.items() if "price" in kind} == {
        "negative_prices_replaced": 1,
        "zero_prices_replaced": 1,
        "blank_prices_replaced": 1,
    }


def test_lines_of_another_encoding_are_read_and_counted(write):
    text = rows("1,A,CAFÉ,1,12/1/10 8:26,1,7,UK", "2,A,CAFÉ,1,12/1/10 8:27,1,7,UK", "3,A,CAFÉ,1,12/1/10 8:27,1,7,UK")
    lines = text.split("\n")
    mixed = "\n".join(lines[:2]).encode() + b"\n" + lines[2].encode("cp1252") + b"\n" + lines[3].encode()
    trace = read_trace(write(mixed))
    assert set(trace.rows["description"]) == {"CAFÉ"}
    assert trace.repairs.as_dict()["lines_reencoded"] == {"rows": 1, "firstLine": 3}


def test_utf16_and_byte_order_marks_are_read(write):
    text = rows("1,A,X,1,12/1/10 8:26,1,7,UK")
    assert len(read_trace(write(text.encode("utf-16"))).invoices()) == 1
    assert len(read_trace(write(text.encode("utf-8-sig"))).invoices()) == 1


def test_other_column_names_are_mapped_or_recognised(write):
    text = "order;item;qty;when\n1;A;2;2011-01-01 10:00\n"
    columns = parse_columns("InvoiceNo=order,StockCode=item,Quantity=qty,InvoiceDate=when")
    trace = read_trace(write(text), columns)
    assert trace.invoices()[0].units_by_sku() == {"A": 2}
    assert {"column_UnitPrice_missing", "column_CustomerID_missing"} <= trace.repairs.rows.keys()
    second_edition = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID\n1,A,X,2,12/1/10 8:26,1,7\n"
    assert read_trace(write(second_edition)).invoices()[0].customer == "7"


def test_a_missing_column_is_named_with_what_the_file_has(write):
    with pytest.raises(
        TraceError, match=r"line 1, column Quantity: missing; the file has InvoiceNo, StockCode.*--columns"
    ):
        read_trace(write("InvoiceNo,StockCode,InvoiceDate\n1,A,12/1/10 8:26\n"))
    with pytest.raises(TraceError, match="column qty"):
        read_trace(write(rows("1,A,X,1,12/1/10 8:26,1,7,UK")), {"Quantity": "qty"})
    with pytest.raises(TraceError, match="--columns wants"):
        parse_columns("Quantity:qty")


@pytest.mark.parametrize("content", ["", "\n\n", HEADER])
def test_a_trace_without_rows_is_refused(write, content):
    with pytest.raises(TraceError):
        read_trace(write(content))


def test_stock_codes_become_skus_that_fit_into_a_url(write):
    trace = read_trace(write(rows("1,BANK CHARGES,X,1,12/1/10 8:26,1,7,UK", "1,gift_0001_20,X,1,12/1/10 8:26,1,7,UK")))
    assert [line.sku for line in trace.invoices()[0].lines] == ["BANK-CHARGES", "gift_0001_20"]
    assert trace.repairs.rows["stock_codes_made_skus"] == 1
    with pytest.raises(TraceError, match="line 2, column StockCode: no letter or digit"):
        read_trace(write(rows("1,--,X,1,12/1/10 8:26,1,7,UK")))


def test_an_unclosed_quote_is_refused_by_line(write):
    with pytest.raises(TraceError, match="line 3"):
        read_trace(write(rows("1,A,X,1,12/1/10 8:26,1,7,UK", '2,A,"X,1,12/1/10 8:26,1,7,UK', "3,A,X,1,12/1/10,1,7,UK")))


def test_lines_are_counted_through_fields_that_span_lines(write):
    with pytest.raises(TraceError, match="line 4, column Quantity"):
        read_trace(write(rows('1,A,"two\nlines",1,12/1/10 8:26,1,7,UK', "2,A,X,?,12/1/10 8:26,1,7,UK")))


def test_parquet_with_real_timestamps_and_numbers_is_read(tmp_path):
    path = tmp_path / "trace.parquet"
    pd.DataFrame(
        {
            "InvoiceNo": [1, 1],
            "StockCode": ["A", "B"],
            "Quantity": [2, 3],
            "InvoiceDate": pd.to_datetime(["2010-12-01 08:26", None]),
            "CustomerID": [17850.0, None],
        }
    ).to_parquet(path)
    (invoice,) = read_trace(path).invoices()
    assert (invoice.number, invoice.customer, len(invoice.lines)) == ("1", "17850", 2)


def test_a_month_and_a_number_of_invoices_are_chosen(write):
    path = write(
        rows(
            "1,A,X,1,11/30/10 8:26,1,7,UK",
            "2,A,X,1,12/1/10 8:26,1,7,UK",
            "3,A,X,1,12/2/10 8:26,1,7,UK",
            "3,B,X,1,12/2/10 8:26,1,7,UK",
            "4,B,X,1,12/3/10 8:26,1,7,UK",
        )
    )
    trace = read_trace(path, month="2010-12", limit=2)
    assert [(i.number, i.at_seconds, len(i.lines)) for i in trace.invoices()] == [("2", 0.0, 1), ("3", 86400.0, 2)]
    with pytest.raises(TraceError, match="2017-12, not"):
        read_trace(path, month="December")
    with pytest.raises(TraceError, match="no invoice is left"):
        read_trace(path, month="2009-01")
