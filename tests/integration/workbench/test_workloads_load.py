"""Locust in its own process, one or several, leaves the same result folder as every driver."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from fake_shop import FakeShop, serving

from workloads.client.accounts import open_accounts
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.locust.run import LoadOptions, load
from workloads.drivers.locust.shapes import SCENARIOS
from workloads.results import reader as results


@contextmanager
def shop_in_a_thread(shop):
    """Locust blocks its caller, so the shop needs a loop of its own."""
    started, url = threading.Event(), []
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve():
        async with serving(shop) as address:
            url.append(address)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(10)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(autouse=True)
def staff_by_registration(monkeypatch):
    async def open_staff(exchange, stack):
        return (await open_accounts(exchange, ["the-staff"]))["the-staff"]

    monkeypatch.setattr("workloads.drivers.locust.run.open_staff", open_staff)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_flash_sale_is_recorded_row_by_row_from_every_process(tmp_path, processes):
    """Takes as long as the sale: locust needs seconds to start and to say goodbye."""
    shop = FakeShop({"A": 30, "B": 100_000, "C": 100_000})
    options = LoadOptions(users=10, run_seconds=5, processes=processes, think_scale=0.001, hot_sku="A")
    with shop_in_a_thread(shop) as url:
        summary = load("flash-sale", Stack(url), tmp_path / "run", options)
    run = results.load(tmp_path / "run")
    assert summary["verdict"] == "ok", summary["reasons"]
    assert len(run.requests) == summary["locust"]["requests"] > 50, "locust counted what was recorded"
    assert {"checkout", "pay", "availability"} <= set(run.requests["route"])
    assert run.requests["outcome"].eq("paid").sum() > 0
    assert summary["outcomes"]["out_of_stock"] > 0
    assert summary["failures"] == 0, "a refusal is not a failure"
    assert shop.stock["A"] >= 0
    assert run.requests["intended"].min() >= 0
    assert run.requests["done"].max() < 30
    assert (run.requests["wire_bytes"] > 0).mean() > 0.9
    assert run.requests["latency_ms"].between(0, 10_000).all()


def test_a_shop_without_products_is_said_before_anything_starts(tmp_path):
    with shop_in_a_thread(FakeShop()) as url, pytest.raises(StackError, match="holdfast seed"):
        load("steady", Stack(url), tmp_path / "run", LoadOptions(users=1, run_seconds=1))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_begins_with_someone_stays_within_its_users_and_ends(name):
    scenario = SCENARIOS[name]
    crowd = [scenario.users_at(second, 100, 200) for second in range(100)]
    assert all(step is not None and 1 <= step[0] <= 200 and step[1] > 0 for step in crowd)
    assert max(step[0] for step in crowd if step) >= 190
    assert scenario.users_at(100, 100, 200) is None


def test_waves_and_sales_have_their_shape():
    def users(name, second):
        return SCENARIOS[name].users_at(second, 100, 1_000)[0]

    assert users("flash-sale", 10) == 100
    assert users("flash-sale", 20) == 1_000
    assert users("flash-sale", 90) < 500
    assert users("double-wave", 30) > 950 < users("double-wave", 70)
    assert users("double-wave", 50) < 150
    assert users("ramp", 50) == 500
