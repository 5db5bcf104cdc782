"""Invoices replayed against a shop that speaks the contract: matched one to one whatever the network does to them."""

import asyncio
import errno
import os
import signal
from unittest.mock import Mock

import pandas as pd
import pytest
from aiohttp import web
from fake_shop import FakeShop, serving

from workloads.client import api
from workloads.client.accounts import Account, AccountError, load_tokens, open_accounts
from workloads.client.exchange import Answer, Exchange
from workloads.client.recorder import Recorder, RunClock
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.preflight import known_skus
from workloads.drivers.replay.invoices import Fate, _refused
from workloads.drivers.replay.reconcile import orders_since, reconcile
from workloads.drivers.replay.run import ReplayOptions, _replay, intended_times
from workloads.results import reader as results
from workloads.results.run_folder import About
from workloads.traces.retail import Invoice, Line, read_trace

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"
LINES = """\
1,A,HEART,5,12/1/10 8:00,2.5,7
1,A,HEART,1,12/1/10 8:00,2.5,7
1,B,LAMP,2,12/1/10 8:00,3,7
2,A,HEART,100,12/1/10 8:01,2.5,8
3,B,LAMP,1,12/1/10 8:02,3,
C4,A,HEART,-2,12/1/10 8:03,2.5,7
C5,A,HEART,-9,12/1/10 8:04,2.5,7
C6,B,LAMP,-1,12/1/10 8:05,3,
7,B,LAMP,-3,12/1/10 8:06,0,
8,UNKNOWN,X,1,12/1/10 8:07,3,7
9,B,LAMP,1,12/1/10 8:08,3,7
"""


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + LINES)
    return read_trace(path)


@pytest.fixture(autouse=True)
def staff_by_registration(monkeypatch):
    async def open_staff(exchange, stack):
        return (await open_accounts(exchange, ["the-staff"]))["the-staff"]

    monkeypatch.setattr("workloads.drivers.replay.run.open_staff", open_staff)
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: BALANCED)


BALANCED = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True, "violations": 0, "examples": []}]}


async def replayed(shop, trace, tmp_path, **options):
    async with serving(shop) as url:
        folder = tmp_path / "run"
        # How late a client may be is tested with the open loop; here the shop shares its event loop.
        chosen = ReplayOptions(speed=1_000, lateness_p99_max_ms=10_000, **options)
        summary = await _replay(trace, Stack(url), folder, chosen)
    return summary, results.load(folder)


async def test_every_invoice_ends_as_an_order_a_return_or_a_reason(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    summary, run = await replayed(shop, trace, tmp_path)
    matching = summary["matching"]
    assert matching["ok"], matching
    assert (matching["sales"], matching["matched"]) == (5, 3)
    assert matching["refused"] == {"insufficient_stock": 1, "invalid": 1}
    assert matching["returns"] == {
        "refunded": 1,
        "partly_refunded: no_matching_order": 1,
        "goods_in: no_customer": 2,
    }
    # A: 10 - 6 sold + 2 refunded + 4 refunded + 5 goods in; B: 10 - 2 - 1 - 1 sold + 1 + 3 goods in.
    assert shop.stock == {"A": 15, "B": 10}
    assert summary["verdict"] == "ok"
    assert run.manifest["scenario"] == "replay"
    assert set(run.requests["outcome"]) == {"ok", "paid", "out_of_stock", "refused"}
    assert run.invoices.set_index("invoice")["order_id"].ne("").to_dict()["1"]


async def test_the_same_sku_twice_in_an_invoice_is_ordered_twice(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    _, run = await replayed(shop, trace, tmp_path)
    order = shop.orders[run.invoices.set_index("invoice").loc["1", "order_id"]]
    assert {line["sku"]: line["quantity"] for line in order["items"]} == {"A": 6, "B": 2}


async def test_lost_answers_are_asked_for_again_and_place_no_second_order(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    shop.lose_answers, shop.fail_requests = 4, 3
    summary, run = await replayed(shop, trace, tmp_path, retry_seconds=20)
    assert summary["matching"]["ok"], summary["matching"]
    assert len(shop.orders) == 3
    assert shop.stock == {"A": 15, "B": 10}
    assert run.requests["outcome"].eq("error").sum() == 7


async def test_invoices_whose_fate_stays_unknown_make_the_run_invalid(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    shop.fail_requests = 10_000
    summary, _ = await replayed(shop, trace, tmp_path, retry_seconds=0.1, settle_seconds=0.5)
    assert summary["verdict"] == "invalid"
    assert any("of 9 invoices none succeeded" in reason for reason in summary["reasons"])
    assert any("5 invoices do not match an order" in reason for reason in summary["reasons"])
    assert summary["matching"]["wrong"] == 5
    assert "fate is unknown (unavailable)" in summary["matching"]["wrongExamples"][0]


async def test_fates_unknown_under_load_are_settled_afterwards_under_the_same_keys(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    # Every request of the run takes effect and loses its answer; nothing is asked twice until the load is over.
    shop.lose_answers = 9
    summary, run = await replayed(shop, trace, tmp_path, retry_seconds=0.0)
    matching = summary["matching"]
    assert matching["ok"], matching
    assert matching["settledAfterwards"] == run.invoices["settled_afterwards"].sum() == 9
    assert len(shop.orders) == matching["matched"] == 3
    # Nothing was yet known to be bought when things came back, so they came in as goods, once each.
    assert shop.stock == {"A": 10 - 6 + 11, "B": 10 - 4 + 4}


def test_a_checkout_still_running_when_patience_ends_is_unknown_and_not_refused():
    body = b'{"code": "idempotency_in_progress"}'
    still_running = fate()
    _refused(still_running, Answer(409, body, "refused", 0.0))
    assert (still_running.outcome, still_running.reason) == ("unknown", "idempotency_in_progress")
    refused = fate()
    _refused(refused, Answer(409, b'{"code": "insufficient_stock"}', "out_of_stock", 0.0))
    assert refused.outcome == "refused"


async def test_invoices_of_one_customer_never_overtake_each_other(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{number},A,X,1,12/1/10 8:00,1,7\n" for number in range(100, 130)))
    shop = FakeShop({"A": 1_000}, delay_seconds=0.01)
    _, run = await replayed(shop, read_trace(path), tmp_path)
    by_done = run.invoices.sort_values("done")
    assert by_done["invoice"].tolist() == [str(number) for number in range(100, 130)]
    assert shop.seen.count("POST /api/orders") == 30
    assert run.requests["latency_ms"].max() > 300, "waiting for one's own earlier order is latency, not forgiven"


async def test_expiring_tokens_are_renewed_on_the_way(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10})
    shop.expires_in = 60
    summary, run = await replayed(shop, trace, tmp_path)
    assert summary["matching"]["ok"]
    assert "refresh" in set(run.requests["route"])


async def test_a_full_client_drops_invoices_names_them_and_is_invalid(trace, tmp_path):
    shop = FakeShop({"A": 10, "B": 10}, delay_seconds=0.2)
    summary, run = await replayed(shop, trace, tmp_path, in_flight_max=1, rate_per_second=100.0)
    assert summary["verdict"] == "invalid"
    assert summary["matching"]["refused"]["no free slot in flight"] >= 3
    assert len(run.invoices) == len(trace.invoices())


async def test_a_service_that_is_not_there_is_said_before_anything_starts(trace, tmp_path):
    with pytest.raises(StackError, match="not ready"):
        await _replay(trace, Stack("http://127.0.0.1:1"), tmp_path / "run", ReplayOptions())
    assert not (tmp_path / "run").exists()


def test_times_follow_the_trace_or_a_rate(trace):
    invoices = trace.invoices()
    assert intended_times(invoices, ReplayOptions(speed=60)).tolist() == [float(n) for n in range(9)]
    assert intended_times(invoices, ReplayOptions(rate_per_second=10)).tolist() == pytest.approx(
        [n / 10 for n in range(9)]
    )
    same_minute = [Invoice(str(n), 60.0 * (n > 3), "", (Line("A", 1),), False) for n in range(6)]
    spread = intended_times(same_minute, ReplayOptions(speed=1, spread=True)).tolist()
    assert spread == [0, 15, 30, 45, 60, 90]


def order(**fields):
    return {"id": "o1", "userId": "u1", "status": "paid", "items": [{"sku": "A", "quantity": 1}], **fields}


def fate(**fields):
    named = {"invoice": "1", "is_return": False, "customer": "7", "user_id": "u1"}
    return Fate(**named | {"lines": 1, "units": 1, "intended": 0.0} | fields)


@pytest.mark.parametrize(
    ("fates", "orders", "says"),
    [
        ([fate(outcome="paid", order_id="o1", reason="")], [], "is not there"),
        ([fate(outcome="paid", order_id="o1")], [order(status="pending")], "is pending"),
        ([fate(outcome="paid", order_id="o1")], [order(items=[{"sku": "A", "quantity": 2}])], "has other lines"),
        ([fate(outcome="refused", order_id="o1", reason="declined")], [order()], "but order o1 is paid"),
        ([fate(outcome="paid", reason="")], [], "neither an order nor a reason"),
        ([fate(outcome="paid", order_id="o1")] * 2, [order()], "answers to 2 invoices"),
    ],
)
def test_the_matching_finds_what_is_wrong(fates, orders, says):
    found = reconcile([Invoice("1", 0.0, "7", (Line("A", 1),), False)], fates, orders, {"u1"})
    assert not found["ok"]
    assert says in found["wrongExamples"][0]


def test_the_matching_finds_orders_that_nobody_asked_for():
    invoices = [Invoice("1", 0.0, "7", (Line("A", 1),), False)]
    found = reconcile(invoices, [fate(outcome="paid", order_id="o1")], [order(), order(id="o2")], {"u1"})
    assert (found["ok"], found["orphanExamples"]) == (False, ["o2"])
    strangers = reconcile(
        invoices, [fate(outcome="paid", order_id="o1")], [order(), order(id="o2", userId="x")], {"u1"}
    )
    assert strangers["ok"]


def test_an_invoice_whose_answer_was_lost_counts_once_and_not_also_as_an_order_too_many():
    invoices = [Invoice(str(n), 0.0, "7", (Line("A", 1),), False) for n in (1, 2, 3)]
    fates = [
        fate(outcome="unknown", reason="error"),
        fate(invoice="2", outcome="paid", order_id="o2"),
        fate(invoice="3", outcome="refused", reason="insufficient_stock"),
    ]
    found = reconcile(invoices, fates, [order(), order(id="o2"), order(id="o9", userId="stranger")], {"u1"})
    assert (found["wrong"], found["orphanOrders"]) == (1, 0)
    assert "its fate is unknown (error); order o1 is there" in found["wrongExamples"][0]
    assert found["matched"] + sum(found["refused"].values()) + found["wrong"] == found["sales"] == 3
    other_lines = order(items=[{"sku": "B", "quantity": 1}])
    assert reconcile(invoices, fates[:1], [other_lines], {"u1"})["orphanOrders"] == 1, "that is nobody's invoice"


async def test_two_replays_at_once_do_not_take_each_others_orders_for_theirs(trace, tmp_path):
    shop = FakeShop({"A": 100, "B": 100})
    async with serving(shop) as url:
        chosen = ReplayOptions(speed=1_000, lateness_p99_max_ms=10_000)
        both = [_replay(trace, Stack(url), tmp_path / name, chosen) for name in ("one", "two")]
        first, second = await asyncio.gather(*both)
    for summary in (first, second):
        assert summary["matching"]["ok"], summary["matching"]
        assert summary["matching"]["orphanOrders"] == 0
    assert len(shop.orders) == first["matching"]["matched"] + second["matching"]["matched"] >= 6


async def test_a_shop_of_another_catalogue_is_refused_before_the_start(trace, tmp_path):
    shop = FakeShop({"HF-000001": 5, "HF-000002": 5})
    async with serving(shop) as url:
        with pytest.raises(StackError, match=r"3 of the 3 SKUs.*: A, B, UNKNOWN.*holdfast seed --trace .*trace\.csv"):
            await _replay(trace, Stack(url), tmp_path / "run", ReplayOptions())
    assert not (tmp_path / "run").exists()
    assert not shop.users, "nobody signed in for it"


async def test_a_few_products_that_are_gone_are_said_and_the_rest_is_replayed(trace, tmp_path, capsys):
    summary, _ = await replayed(FakeShop({"A": 10, "B": 10}), trace, tmp_path)
    assert summary["verdict"] == "ok"
    assert "does not sell 1 of the 3 SKUs of the trace: UNKNOWN; 1 of 9 invoices" in " ".join(
        capsys.readouterr().err.split()
    )


async def test_skus_that_no_shop_could_have_are_found_among_those_it_has(monkeypatch):
    asked = []

    class Picky(FakeShop):
        async def availability(self, request):
            skus = request.query.getall("sku", [])
            asked.append(len(skus))
            return web.json_response({}, status=422) if "B" in skus else await super().availability(request)

    async with serving(Picky({"A": 1, "C": 1})) as url, Exchange(url, RunClock(0.0), Recorder()) as exchange:
        assert await known_skus(exchange, ["A", "B", "C", "D"]) == {"A", "C"}
    assert max(asked) == 4


async def test_a_replay_that_falls_behind_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("workloads.results.verdict.SECONDS_BEHIND_MAX", 0.2)
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{number},A,X,1,12/1/10 8:00,1,\n" for number in range(50)))
    shop = FakeShop({"A": 1_000}, slots=1, delay_seconds=0.05)
    summary, _ = await replayed(shop, read_trace(path), tmp_path, rate_per_second=60.0)
    assert summary["verdict"] == "failed", summary["reasons"]
    assert "the service fell behind" in summary["reasons"][0]
    assert summary["client"]["backlogAtEnd"] > 20


async def test_a_replay_whose_books_nobody_could_audit_is_invalid(trace, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "workloads.results.run_folder.audit", lambda stack: {"ok": None, "unavailable": "no MONGODB_URI"}
    )
    summary, _ = await replayed(FakeShop({"A": 10, "B": 10}), trace, tmp_path)
    assert (summary["verdict"], summary["reasons"]) == ("invalid", ["the books were not audited: no MONGODB_URI"])


async def test_a_shop_without_stock_sells_nothing_and_proves_nothing(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{number},A,X,1,12/1/10 8:00,1,\n" for number in range(5)))
    summary, _ = await replayed(FakeShop({"A": 0}), read_trace(path), tmp_path)
    assert summary["verdict"] == "invalid"
    assert "of 5 invoices none succeeded" in summary["reasons"][0]


async def test_a_replay_that_is_ended_keeps_what_was_measured_and_says_so(trace, tmp_path, monkeypatch):
    shop, loop = FakeShop({"A": 10, "B": 10}), asyncio.get_running_loop()
    loop.call_later(1.0, os.kill, os.getpid(), signal.SIGTERM)
    async with serving(shop) as url:
        summary = await _replay(trace, Stack(url), tmp_path / "run", ReplayOptions(speed=60, lateness_p99_max_ms=1e4))
    run = results.load(tmp_path / "run")
    assert summary["verdict"] == run.manifest["verdict"] == "interrupted"
    assert "interrupted by SIGTERM" in run.manifest["reasons"][0]
    assert 0 < len(run.invoices) < 9
    assert not run.requests.empty
    assert run.stock["ok"] is True
    assert summary["matching"]["sales"] + sum(summary["matching"]["returns"].values()) == len(run.invoices)


async def test_a_run_that_is_ended_while_it_signs_in_leaves_a_folder_too(trace, tmp_path):
    shop, loop = FakeShop({"A": 10, "B": 10}, delay_seconds=0.3), asyncio.get_running_loop()
    loop.call_later(1.0, os.kill, os.getpid(), signal.SIGINT)
    async with serving(shop) as url:
        summary = await _replay(trace, Stack(url), tmp_path / "run", ReplayOptions())
    assert summary["verdict"] == results.load(tmp_path / "run").manifest["verdict"] == "interrupted"
    assert not shop.orders


async def test_a_threshold_of_ones_own_ends_the_run_and_fails_it(tmp_path, monkeypatch):
    monkeypatch.setattr("workloads.drivers.flushing.FLUSH_SECONDS", 0.2)
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{number},A,X,1,12/1/10 8:00,1,\n" for number in range(600)))
    about = About(fail_if=("checkout.p99 > 1ms",))
    async with serving(FakeShop({"A": 10_000}, delay_seconds=0.01)) as url:
        options = ReplayOptions(rate_per_second=150.0, lateness_p99_max_ms=1e4)
        summary = await _replay(read_trace(path), Stack(url), tmp_path / "run", options, about)
    assert summary["verdict"] == "failed"
    assert "ended early, checkout: p99 is" in summary["reasons"][0]
    assert summary["matching"]["sales"] < 600


async def test_a_full_disk_ends_the_run_with_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("workloads.drivers.flushing.FLUSH_SECONDS", 0.2)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("workloads.client.recorder._write_whole", Mock(side_effect=full))
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{number},A,X,1,12/1/10 8:00,1,\n" for number in range(400)))
    async with serving(FakeShop({"A": 10_000})) as url:
        options = ReplayOptions(rate_per_second=150.0, lateness_p99_max_ms=1e4)
        summary = await _replay(read_trace(path), Stack(url), tmp_path / "run", options)
    assert summary["verdict"] == "invalid"
    assert summary["reasons"][0] == "the run was ended: the disk is full"
    assert summary["matching"]["sales"] < 400


async def test_orders_are_read_back_to_where_the_run_began():
    shop = FakeShop({"A": 1_000})
    async with serving(shop) as url, Exchange(url, RunClock(0.0), Recorder()) as exchange:
        staff = (await open_accounts(exchange, ["the-staff"]))["the-staff"]
        for number in range(250):
            await exchange.send(api.checkout(staff.access_token, [("A", 1)], f"k{number}"))
        newer = await orders_since(exchange, staff, {list(shop.orders)[29]})
    assert [order["id"] for order in newer] == list(reversed(list(shop.orders)[30:]))


async def test_accounts_are_registered_or_logged_in_and_refusals_are_said(monkeypatch):
    monkeypatch.setattr("workloads.client.accounts.SIGN_IN_PAUSE_SECONDS", 0.001)
    shop = FakeShop()
    async with serving(shop) as url, Exchange(url, RunClock(0.0), Recorder()) as exchange:
        first = await open_accounts(exchange, ["a", "b", "a"])
        again = await open_accounts(exchange, ["a"])
        assert again["a"].user_id == first["a"].user_id
        assert len(shop.users) == 2
    async with Exchange("http://127.0.0.1:1", RunClock(0.0), Recorder()) as nowhere:
        with pytest.raises(AccountError, match=r"a@shoppers\.example could not sign in: 0 error"):
            await open_accounts(nowhere, ["a", "b"])


def test_prepared_tokens_are_read_and_bad_lines_named(tmp_path):
    path = tmp_path / "tokens.jsonl"
    path.write_text('{"email": "a@b.example", "userId": "u1", "accessToken": "t", "expiresIn": 900}\n')
    account = load_tokens(path)["a@b.example"]
    assert isinstance(account, Account)
    assert (account.user_id, account.access_token) == ("u1", "t")
    path.write_text("{}\n")
    with pytest.raises(AccountError, match="line 1"):
        load_tokens(path)


def test_fates_are_readable_with_pandas_alone(tmp_path):
    pd.DataFrame([fate().as_dict()]).to_parquet(tmp_path / "invoices.parquet")
    assert pd.read_parquet(tmp_path / "invoices.parquet")["outcome"].tolist() == ["dropped"]
