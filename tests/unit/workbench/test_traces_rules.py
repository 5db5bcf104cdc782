"""What a trace means: which rows come back, which codes are one SKU, which column is which, when invoices come."""

import json

import pytest
from click.testing import CliRunner

from workloads.drivers.replay import run as replay
from workloads.traces.commands import trace as trace_command
from workloads.traces.options import parse_join, parse_returns
from workloads.traces.retail import TraceError, parse_columns, read_trace

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"


def rows(*lines):
    return HEADER + "\n".join(lines) + "\n"


def row(invoice="1", code="A", quantity="6", at="2010-12-01 08:26", price="2.55"):
    return f'{invoice},{code},HEART,"{quantity}",{at},"{price}",7'


@pytest.mark.parametrize("invoice", ["CARD-1", "cust-77", "C", "C-12", "CA1", "1C"])
def test_only_c_and_digits_is_a_return_by_name(write, invoice):
    assert not read_trace(write(rows(row(invoice)))).invoices()[0].is_return


@pytest.mark.parametrize(
    ("rule", "returned"),
    [
        ("auto", {"C1", "3"}),
        ("negative", {"3"}),
        ("none", set()),
        ("prefix=R-", {"R-2", "3"}),
        ("prefix:R-,C", {"C1", "R-2", "3"}),
        ("column=CustomerID:refund", {"R-2", "3"}),
    ],
)
def test_the_rule_for_returns_can_be_said(write, rule, returned):
    text = rows(row("C1"), row("R-2").replace(",7", ",Refund"), row("3", quantity="-6"), row("4"))
    found = read_trace(write(text), returns=parse_returns(rule)).invoices()
    assert {invoice.number for invoice in found if invoice.is_return} == returned


@pytest.mark.parametrize("rule", ["some", "prefix=", "column=", "none=1", "prefix"])
def test_a_rule_for_returns_that_is_none_is_refused(rule):
    with pytest.raises(TraceError, match="--returns wants"):
        parse_returns(rule)


@pytest.mark.parametrize(
    "codes",
    [("茶-1", "咖啡-1"), ("A B", "A/B"), ("A B", "A-B"), ("a", "A"), ("É", "E"), ("茶", "咖"), ("X" * 70, "X" * 71),
     ("①", "1"), ("-A", "A")],
)  # fmt: skip
def test_two_codes_never_become_one_sku(write, codes):
    trace = read_trace(write(rows(*(row(str(n), code) for n, code in enumerate(codes)))))
    skus = [invoice.lines[0].sku for invoice in trace.invoices()]
    assert len(set(skus)) == len(codes)
    assert all(sku.isascii() and len(sku) <= 64 and sku[0].isalnum() for sku in skus)


def test_a_code_that_lost_letters_is_the_same_sku_in_every_file(write):
    alone = read_trace(write(rows(row(code="茶-1")))).invoices()[0].lines[0].sku
    beside = read_trace(write(rows(row("1", "咖啡-1"), row("2", "茶-1")))).invoices()[1].lines[0].sku
    assert alone == beside
    assert read_trace(write(rows(row(code="茶-1")))).repairs.as_dict()["stock_codes_told_apart"]["firstLine"] == 2


def test_twelve_thousand_units_beside_a_price_with_a_point_are_twelve_thousand(write):
    trace = read_trace(write(rows(row(quantity="12,000", price="2.55"))))
    assert trace.invoices()[0].units_by_sku() == {"A": 12_000}
    assert trace.repairs.as_dict()["thousands_in_Quantity"]["firstLine"] == 2


@pytest.mark.parametrize(("quantity", "price"), [("1.000", "2.55"), ("1,000", "2"), ("1.000", "3"), ("6", "1.000")])
def test_a_number_that_nothing_decides_is_refused_by_line_and_column(write, quantity, price):
    with pytest.raises(TraceError, match=r"line 2, column (Quantity|UnitPrice): .*--decimal-point or --decimal-comma"):
        read_trace(write(rows(row(quantity=quantity, price=price))))
    assert read_trace(write(rows(row(quantity=quantity, price=price))), decimal="point")


@pytest.mark.parametrize("price", ["NaN", "inf", "1e308", "abc", "99999999999", "#N/A"])
def test_an_unreadable_price_is_no_blank_one(write, price):
    text = rows(row("1"), row("2", price=price), row("3", price=""))
    with pytest.raises(TraceError, match="line 3, column UnitPrice"):
        read_trace(write(text))
    kept = read_trace(write(text), drop_bad_rows=True)
    assert [invoice.number for invoice in kept.invoices()] == ["1", "3"]
    assert kept.repairs.rows["blank_prices_replaced"] == 1


def test_columns_take_constants_and_calculations_and_two_columns_for_a_moment(write):
    text = "Belegnr;Wert;Stück;Tag;Uhrzeit;Ware\n1;12,50;5;31.12.2010;08:26;HEART\n"
    columns = parse_columns("CustomerID='a, guest',UnitPrice=Wert/Stück,InvoiceDate=Tag+Uhrzeit,StockCode=\"Ware\"")
    trace = read_trace(write(text), columns)
    assert trace.rows["price"].tolist() == [2.5]
    assert trace.rows["customer"].tolist() == ["a, guest"]
    assert str(trace.begins_at) == "2010-12-31 08:26:00"


@pytest.mark.parametrize(
    "header",
    [
        "Name,Lineitem sku,Lineitem name,Lineitem quantity,Created at,Lineitem price,Email",
        "Order ID,SKU,Item Name,Quantity,Order Date,Item Cost,Customer User ID",
        "Transaction ID,SKU,Item,Qty,Date,Price,Customer ID",
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID",
        "BASKET_ID,PRODUCT_ID,product,QUANTITY,transaction_timestamp,unit_cost,household_id",
        "Rechnungsnummer,Artikelnummer,Bezeichnung,Menge,Rechnungsdatum,Einzelpreis,Kundennummer",
        "Numéro de facture,Référence,Désignation,Quantité,Date facture,Prix unitaire,Code client",
        "Número de pedido,Código,Descripción,Cantidad,Fecha,Precio unitario,Cliente",
        "订单号,商品编码,商品名称,数量,日期,单价,客户编号",
    ],
)
def test_columns_are_guessed_by_the_names_other_tools_give_them_and_it_is_said(write, header):
    trace = read_trace(write(header + "\n#1001,A,HEART,6,2010-12-01 08:26,2.55,7\n"))
    (invoice,) = trace.invoices()
    assert (invoice.number, invoice.customer, invoice.units_by_sku()) == ("#1001", "7", {"A": 6})
    assert (trace.rows["price"][0], trace.rows["description"][0]) == (2.55, "HEART")
    assert trace.repairs.as_dict()["column_InvoiceNo_guessed"]["says"].startswith("InvoiceNo is read from")


def test_a_days_invoices_do_not_come_at_once_when_there_is_no_time_of_day(write):
    text = rows(*(row(str(number), at="2010-12-01") for number in range(100)))
    trace = read_trace(write(text))
    seconds = [invoice.at_seconds for invoice in trace.invoices()]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == 100
    assert 0 < seconds[0] < seconds[-1] < 86_400
    assert "spread over each day by the hours" in trace.repairs.as_dict()["dates_without_time"]["says"]
    evenly = [each.at_seconds for each in read_trace(write(text), spread=True).invoices()]
    assert evenly == pytest.approx([(number + 0.5) * 864 for number in range(100)])
    assert {each.at_seconds for each in read_trace(write(text), spread=False).invoices()} == {0.0}


def test_a_replay_of_years_is_refused_before_it_starts_with_the_speed_that_would_do():
    options = replay.ReplayOptions(speed=1.0)
    with pytest.raises(TraceError, match=r"would take 8,760\.0 hours.*--speed 1460 or more"):
        replay._check_duration(365 * 86_400.0, options)
    replay._check_duration(3_600.0, options)


def invoke(*arguments):
    return CliRunner().invoke(trace_command, [str(argument) for argument in arguments])


def test_trace_show_says_what_was_understood_and_the_command_to_run(write):
    path = write("sep=;\nRechnungsnr;Artikelnr;Menge;Datum;Preis\n1;A;2;05/01/2011 08:00;2,55 €\n")
    shown = invoke("show", path)
    assert shown.exit_code == 0
    assert "semicolon" in shown.stdout
    assert "read with the day first, --month-first says otherwise" in shown.stdout
    assert f"holdfast replay {path} --speed 1" in shown.stdout
    found = json.loads(invoke("show", path, "--month-first", "--json").stdout)
    assert found["span"]["from"] == "2011-05-01T08:00:00"
    assert found["commands"][0].startswith(f"holdfast trace convert {path} --month-first -o ")


def test_trace_convert_writes_a_standard_form_that_knows_where_it_came_from(write, tmp_path):
    text = rows(row("C1", "A B"), row("2", "茶"), row("C9", quantity="-1"))
    out = tmp_path / "out.parquet"
    done = invoke("convert", write(text), "-o", out, "--attribution", "Ada, CC0", "--returns", "negative", "--json")
    assert done.exit_code == 0
    before, after = read_trace(write(text), returns=parse_returns("negative")), read_trace(out)
    assert after.invoices() == before.invoices()
    assert [each.is_return for each in after.invoices()] == [False, False, True]
    assert after.attribution == "Ada, CC0"
    (file,) = after.provenance["files"]
    assert file["madeOf"][0]["sha256"] == before.provenance["files"][0]["sha256"]
    assert json.loads(invoke("show", out, "--json").stdout)["attribution"] == "Ada, CC0"


def test_every_fault_of_a_trace_is_one_sentence_and_exit_code_3(write, tmp_path):
    for arguments in (
        ("show", write(rows(row(quantity="x")), "bad.csv")),
        ("show", tmp_path / "nowhere.csv"),
        ("show", write(rows(row())), "--columns", "Nothing=x"),
        ("show", write(rows(row())), "--join", "x"),
        ("convert", write(rows(row())), "-o", tmp_path / "no" / "where.parquet"),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 3
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_files_own_words_do_not_steer_the_terminal(write):
    with pytest.raises(TraceError) as caught:
        read_trace(write("\x1b[31mInvoice\x07,StockCode,InvoiceDate\n1,A,2010-12-01\n"))
    assert str(caught.value).isprintable()


def test_a_join_is_a_file_and_a_key():
    assert parse_join("C:/p.csv:a=b").path == "C:/p.csv"
    with pytest.raises(TraceError, match="--join wants"):
        parse_join("p.csv")
