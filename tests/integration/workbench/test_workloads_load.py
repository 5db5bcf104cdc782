"""Locust in its own process, one or several, leaves the same result folder as every driver."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from fake_shop import FakeShop, serving

from workloads.client.accounts import open_accounts
from workloads.client.recorder import Recorder, RowWriter
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.locust.run import LoadOptions, load
from workloads.drivers.locust.shapes import SCENARIOS
from workloads.results import reader as results
from workloads.results.run_folder import About

BALANCED = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True, "violations": 0, "examples": []}]}


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
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: BALANCED)


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


FAKE_LOCUST = """
end() { cp "$1/check.json" "$(dirname "$HOLDFAST_LOAD_SETUP")/check.json"; exit 0; }
trap 'end "$1"' TERM
mkdir -p "$1/run/requests.parts" && cp "$1/rows.parquet" "$1/run/requests.parts/000000.parquet"
sleep "$2" & wait
end "$1"
"""


@pytest.fixture
def fake_locust(monkeypatch, tmp_path):
    """Locust as far as `load` can tell, without its seconds to start: it records `good` and `bad` rows and waits."""

    def use(good, bad=0, lasts=0.0, **check):
        with RowWriter(tmp_path / "rows.parquet") as writer:
            recorder = Recorder(writer)
            for n in range(good + bad):
                status, outcome = (201, "ok") if n < good else (0, "error")
                recorder.row(n / 100, n / 100, n / 100 + 0.01, "checkout", status, outcome, 9)
            recorder.flush()
        (tmp_path / "check.json").write_text(json.dumps({"ranSeconds": 1.0, **check}))
        command = ["sh", "-c", FAKE_LOCUST, "locust", str(tmp_path), str(lasts)]
        monkeypatch.setattr("workloads.drivers.locust.run._locust_command", lambda *_: command)

    return use


def loaded(tmp_path, *, run_seconds=0.01, **about):
    with shop_in_a_thread(FakeShop({"A": 100})) as url:
        options = LoadOptions(users=1, run_seconds=run_seconds)
        summary = load("steady", Stack(url), tmp_path / "run", options, About(**about))
    return summary, results.load(tmp_path / "run")


def test_a_load_that_did_its_work_is_ok(tmp_path, fake_locust):
    fake_locust(100)
    summary, run = loaded(tmp_path, tags=("nightly",), note="before the change")
    assert (summary["verdict"], summary["reasons"]) == ("ok", [])
    assert (run.manifest["tags"], run.manifest["note"]) == (["nightly"], "before the change")


@pytest.mark.parametrize(
    ("rows", "check", "says"),
    [
        ((161, 486), {}, "486 of 647 requests failed (75%)"),
        ((0, 50), {}, "of 50 requests none succeeded"),
        ((0, 0), {}, "not one of the requests was sent"),
        ((100, 0), {"clientSaturated": True}, "the client is saturated"),
        ((100, 0), {"ranSeconds": -1.0}, "locust stopped after"),
        ((100, 0), {"unwritten": "No space left on device"}, "rows are missing"),
    ],
)
def test_a_load_that_proves_nothing_is_invalid(tmp_path, fake_locust, rows, check, says):
    fake_locust(*rows, **check)
    summary, run = loaded(tmp_path)
    assert summary["verdict"] == run.manifest["verdict"] == "invalid"
    assert says in summary["reasons"][0]


def test_a_load_of_a_dead_service_is_invalid_and_not_fast(tmp_path, fake_locust):
    fake_locust(25, 75)
    summary, _ = loaded(tmp_path)
    assert (summary["p50Ms"], summary["answered"]["p50Ms"]) == (None, 10.0)


def test_a_load_without_an_audit_is_invalid_and_wrong_books_fail_it(tmp_path, fake_locust, monkeypatch):
    fake_locust(100)
    monkeypatch.setattr(
        "workloads.results.run_folder.audit", lambda stack: {"ok": None, "unavailable": "mongod is gone"}
    )
    assert loaded(tmp_path)[0]["reasons"] == ["the books were not audited: mongod is gone"]
    wrong = {"ok": False, "checks": [{"name": "oversold", "ok": False}]}
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: wrong)
    assert loaded(tmp_path)[0]["verdict"] == "failed"


def test_sigterm_ends_the_load_its_child_and_its_folder(tmp_path, fake_locust):
    fake_locust(100, lasts=60)
    threading.Timer(2.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    summary, run = loaded(tmp_path, run_seconds=60)
    assert time.monotonic() - began < 20
    assert summary["verdict"] == run.manifest["verdict"] == "interrupted"
    assert "SIGTERM" in summary["reasons"][0]
    assert len(run.requests) == 100, "what was measured until then"


def test_a_threshold_ends_a_load_early_and_fails_it(tmp_path, fake_locust, monkeypatch):
    monkeypatch.setattr("workloads.drivers.locust.run.FLUSH_SECONDS", 0.2)
    fake_locust(200, lasts=60)
    summary, _ = loaded(tmp_path, run_seconds=60, fail_if=("checkout.p99 > 5ms",))
    assert summary["verdict"] == "failed"
    assert summary["reasons"] == ["ended early, checkout: p99 is 10 ms: --fail-if 'checkout.p99 > 5ms'"]


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    """What Linux is asked for; the parent gets no chance to clean up."""
    script = (
        "import subprocess, time\n"
        "from workloads.drivers.parent_death_signal import end_with_parent\n"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=end_with_parent)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _lives(child):
        time.sleep(0.05)
    assert not _lives(child)


def _lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
