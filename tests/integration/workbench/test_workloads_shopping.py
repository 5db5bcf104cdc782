"""The shopper model carried out over HTTP, and the demonstrations that need real sockets."""

import json
import time
from random import Random

import pytest
from click.testing import CliRunner
from fake_shop import FakeShop, serving

from workloads import commands
from workloads.calibration.stalled_server import SMALL, demonstrate
from workloads.client import api
from workloads.client.accounts import open_accounts
from workloads.client.exchange import Exchange
from workloads.client.recorder import Recorder, RunClock
from workloads.client.shop_http import Customer, Heard, perform
from workloads.drivers.locust.setup import LoadSetup, read_catalogue, setup_from_environment
from workloads.model.actions import (
    Browse,
    Cancel,
    CheckOut,
    Pay,
    PutInCart,
    Reply,
    Reprice,
    Restock,
    Search,
    Subscribe,
    View,
    Wait,
    WalkAway,
)
from workloads.model.shoppers import Habits, Shop, shopper
from workloads.results import reader as results


async def carry_out(exchange, customer, action) -> Reply:
    requests = perform(action, customer)
    try:
        request = next(requests)
        while True:
            answer = await exchange.send(request)
            request = requests.send(Heard(answer.outcome, answer.json()))
    except StopIteration as done:
        return done.value


@pytest.fixture
async def visit():
    """The shop, and a way to do one thing in it."""
    shop = FakeShop({"A": 5, "B": 100, "C": 0})
    async with serving(shop) as url, Exchange(url, RunClock(time.time()), Recorder()) as exchange:
        account = (await open_accounts(exchange, ["someone"]))["someone"]
        customer = Customer(account.access_token, {"A": "a", "B": "b"}, "key")
        yield shop, lambda action: carry_out(exchange, customer, action)


async def test_every_action_becomes_its_requests(visit):
    shop, do = visit
    for action in (Browse("popular"), Search("heart"), PutInCart("B", 2), Restock((("A", 3),)), Reprice("B", 0.9)):
        assert (await do(action)).outcome == "ok", action
    assert (await do(View("C"))).in_stock is False
    assert (await do(View("A"))).in_stock is True
    assert (await do(Subscribe("C"))).outcome == "ok"
    assert shop.stock["A"] == 8
    assert "PATCH /api/products/p-B" in shop.seen


async def test_an_order_is_placed_paid_declined_or_cancelled(visit):
    shop, do = visit
    order = (await do(CheckOut((("A", 1),)))).order_id
    assert (await do(Pay(order))).outcome == "paid"
    order = (await do(CheckOut((("A", 1),)))).order_id
    assert (await do(Pay(order, card_is_good=False))).outcome == "declined"
    await do(PutInCart("B", 3))
    order = (await do(CheckOut((("B", 3),), from_cart=True))).order_id
    assert (await do(Cancel(order))).outcome == "ok"
    assert shop.stock == {"A": 4, "B": 100, "C": 0}


async def test_shortages_come_back_as_what_is_left(visit):
    _, do = visit
    reply = await do(CheckOut((("A", 9), ("B", 1), ("C", 1))))
    assert (reply.outcome, reply.order_id) == ("out_of_stock", "")
    assert set(reply.shortages) == {("A", 5), ("C", 0)}


async def test_whole_visits_leave_the_stock_as_the_orders_say(visit):
    shop, do = visit
    before = sum(shop.stock.values())
    habits = Habits(buy_chance=1, walk_away_chance=0.2, bad_card_chance=0.2, basket_lines_max=3, line_quantity_max=3)
    for seed in range(60):
        journey = shopper(Random(seed), Shop(("A", "B", "C"), habits=habits))
        action = next(journey)
        try:
            while True:
                action = journey.send(Reply() if isinstance(action, Wait | WalkAway) else await do(action))
        except StopIteration:
            pass
    held = sum(line["quantity"] for o in shop.orders.values() if o["status"] != "cancelled" for line in o["items"])
    assert held > 0
    assert sum(shop.stock.values()) == before - held
    assert min(shop.stock.values()) >= 0


async def test_the_catalogue_is_read_page_by_page():
    import asyncio

    shop = FakeShop({f"SKU-{number:03d}": 1 for number in range(250)})
    async with serving(shop) as url:
        skus, slugs = await asyncio.to_thread(read_catalogue, url)
    assert (len(skus), slugs["SKU-007"]) == (250, "sku-007")
    assert shop.seen.count("GET /api/products") == 3


def test_a_setup_survives_its_way_to_locust(tmp_path, monkeypatch):
    path = tmp_path / "setup.json"
    setup = LoadSetup("ramp", 5, 10.0, skus=("A",), slugs={"A": "a"}, sessions=({"accessToken": "t"},))
    setup.write(path)
    assert path.stat().st_mode & 0o077 == 0, "it holds tokens"
    monkeypatch.setenv("HOLDFAST_LOAD_SETUP", str(path))
    assert setup_from_environment() == setup
    monkeypatch.delenv("HOLDFAST_LOAD_SETUP")
    assert setup_from_environment() == LoadSetup()


def test_ids_never_get_into_the_names_of_routes():
    requests = [
        api.pay("t", "order-1", "k"),
        api.product("some-slug"),
        api.put_in_cart("t", "SKU 1/2", 1),
        api.availability(["A", "B"]),
    ]
    assert [request.route for request in requests] == ["pay", "product", "cart", "availability"]
    assert requests[2].path == "/api/cart/items/SKU%201%2F2"


@pytest.mark.slow
@pytest.mark.alone
def test_the_same_stall_is_hidden_by_locust_and_shown_by_the_open_loop(tmp_path):
    """Takes as long as both sides call the server: ten seconds and locust's start."""
    found = demonstrate(SMALL, tmp_path)
    assert found["ok"], found
    assert found["openLoop"]["requests"] == found["intendedRequests"] == 500
    assert found["openLoop"]["sentDuringStall"] >= 90
    assert found["locust"]["sentDuringStall"] <= 20
    assert found["openLoop"]["p95Ms"] > 400
    assert found["locust"]["p95Ms"] < 100
    assert found["openLoop"]["slowerThan100Ms"] >= 80
    assert found["locust"]["slowerThan100Ms"] <= 20
    assert len(results.load_requests(tmp_path / "locust.parquet")) == found["locust"]["requests"]


@pytest.mark.slow
def test_a_capacity_search_leaves_a_result_folder(tmp_path, monkeypatch):
    """Takes a second per trial: a rate can only be tried by sending it. The target is one that a busy machine meets:
    where the search stops is tested with made-up trials."""
    from workloads.calibration.trivial_server import trivial_server

    monkeypatch.delenv("MONGODB_URI", raising=False)
    arguments = ["get", "--path", "/", "--trial-seconds", "1", "--max-rate", "200", "--target-ms", "5000"]
    with trivial_server() as url:
        folders = ["--url", url, "--runs", str(tmp_path), "--name", "cap", "--data", str(tmp_path)]
        result = CliRunner().invoke(commands.capacity, [*arguments, *folders, "--json"], standalone_mode=False)
    assert result.return_value == 2, "the trivial server never failed, so its capacity is not known"
    summary = json.loads(result.stdout)
    assert summary["capacity"]["highestRatePerSecond"] == 200
    run = results.load(tmp_path / "cap")
    assert len(run.requests) == pytest.approx(300, abs=80)
    assert run.manifest["scenario"] == "capacity-get"
