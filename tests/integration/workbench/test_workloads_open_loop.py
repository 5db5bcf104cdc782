"""The open loop keeps its schedule whatever the server does, says so when it could not, and records every request."""

import asyncio
import gc
import itertools
import time

import pytest
from fake_shop import FakeShop, serving

from workloads.calibration.client_bench import bench_client
from workloads.calibration.trivial_server import trivial_server
from workloads.client import api
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import Recorder, RowWriter, RunClock
from workloads.drivers.open_loop import Flow, OpenLoop, one_request, plan_of
from workloads.model import arrivals
from workloads.results.reader import load_requests, summarise
from workloads.results.verdict import why_client_too_slow

GET_ROOT = Request("GET", "/", "root")
HEALTH = api.availability(["A"])


def run_plan(tmp_path, url, plan, **options):
    async def drive():
        with RowWriter(tmp_path / "requests.parquet") as writer:
            recorder = Recorder(writer)
            async with Exchange(url, RunClock(time.time() + 0.1), recorder, timeout_seconds=5) as exchange:
                report = await OpenLoop(exchange, recorder, **options).run(plan)
            recorder.flush()
        return report

    report = run_async(drive())
    return report, load_requests(tmp_path / "requests.parquet")


def test_a_stalled_server_does_not_slow_arrivals_down_and_the_wait_is_counted(tmp_path):
    with trivial_server(stall_begins_seconds=0.5, stall_lasts_seconds=0.5) as url:
        plan = plan_of(arrivals.constant(200, 2), itertools.repeat(one_request(GET_ROOT)))
        report, requests = run_plan(tmp_path, url, plan)
    assert (report.planned, report.started, report.dropped, len(requests)) == (400, 400, 0, 400)
    late_answers = requests[requests["latency_ms"] > 100]
    assert len(late_answers) >= 78, "all that were due in the first 0.4 s of the stall waited"
    assert requests["latency_ms"].max() >= 490


def test_a_full_client_drops_arrivals_and_calls_the_run_invalid(tmp_path):
    async def forever(exchange, intended):
        await asyncio.sleep(0.3)

    plan = plan_of(arrivals.constant(100, 0.2), itertools.repeat(Flow("slow", forever)))
    report, requests = run_plan(tmp_path, "http://127.0.0.1:1", plan, in_flight_max=5)
    assert (report.started, report.dropped) == (5, 15)
    assert any("dropped 15 of 20" in reason for reason in why_client_too_slow(report.kept(), float("inf"), 50))
    assert requests["outcome"].eq("dropped").sum() == 15
    assert summarise(requests)["p99Ms"] is None, "a dropped arrival is infinitely slow"


def test_a_client_that_starts_late_calls_the_run_invalid(tmp_path):
    async def hog(exchange, intended):
        time.sleep(0.02)  # noqa: ASYNC251 - a client that has no time left for its schedule

    plan = plan_of(arrivals.constant(1000, 0.05), itertools.repeat(Flow("hog", hog)))
    report, _ = run_plan(tmp_path, "http://127.0.0.1:1", plan)
    assert report.lateness_ms(99) > 100
    assert any("saturated" in reason for reason in why_client_too_slow(report.kept(), 1_000, 50))
    assert why_client_too_slow(report.kept(), 100_000, 50) == [], "so little of that latency was the client's own"
    assert report.cpu_share < 1.1


def test_a_client_with_much_in_memory_is_no_later_for_it(tmp_path):
    async def nothing(exchange, intended):
        pass

    heap = [[number] for number in range(5_000_000)]  # what a notebook with large frames holds
    began = time.perf_counter()
    gc.collect()
    collection_ms = (time.perf_counter() - began) * 1000
    plan = plan_of(arrivals.constant(200, 0.1), itertools.repeat(Flow("nothing", nothing)))
    report, _ = run_plan(tmp_path, "http://127.0.0.1:1", plan)
    assert len(heap) == 5_000_000
    assert report.lateness_ms(50) < collection_ms / 3


def test_an_error_in_a_flow_is_raised_and_not_lost(tmp_path):
    async def broken(exchange, intended):
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        run_plan(tmp_path, "http://127.0.0.1:1", [(0.0, Flow("broken", broken))])


def test_no_answer_is_an_error_row(tmp_path):
    report, requests = run_plan(tmp_path, "http://127.0.0.1:1", [(0.0, one_request(HEALTH))])
    assert (report.started, requests["status"][0], requests["outcome"][0]) == (1, 0, "error")


async def test_wire_bytes_and_refusals_are_recorded_as_they_came(tmp_path):
    shop = FakeShop({"A": 1})
    recorder = Recorder()
    async with serving(shop) as url, Exchange(url, RunClock(time.time()), recorder) as exchange:
        account = (await exchange.send(api.register("a@b.example", "x" * 12, "A"))).json()
        token = account["accessToken"]
        sold = await exchange.send(api.checkout(token, [("A", 1)], "k1"))
        refused = await exchange.send(api.checkout(token, [("A", 1)], "k2"))
        again = await exchange.send(api.checkout(token, [("A", 1)], "k1"))
    assert (sold.outcome, sold.status) == ("ok", 201)
    assert (refused.outcome, refused.code) == ("out_of_stock", "insufficient_stock")
    assert again.json() == sold.json()
    assert recorder.count == 4


async def test_timeouts_are_outcomes_of_their_own():
    shop = FakeShop({"A": 1}, delay_seconds=1.0)
    recorder = Recorder()
    async with serving(shop) as url, Exchange(url, RunClock(time.time()), recorder, timeout_seconds=0.1) as exchange:
        answer = await exchange.send(HEALTH)
    assert (answer.status, answer.outcome) == (0, "timeout")


RATE, RATE_MIN, CORE_SHARE = 3_000.0, 1_000.0, 0.5


@pytest.mark.slow
@pytest.mark.alone
def test_the_generator_is_punctual_at_3000_a_second_and_recording_is_cheap():
    """Takes seven seconds a run: lateness at a rate and a CPU share can only be seen by running. The bounds are the
    documented ones. Other load on the machine only ever adds to both, so the first good run of six is judged; where
    even a schedule without requests is late, the generator may be as late as that; and a core of which 3,000 a second
    take more than half is asked for as many as half of it can do."""
    runs = list(_until_good(6))
    found = runs[-1]
    assert found["dropped"] == 0
    assert found["rows"] == found["started"] == found["planned"]
    assert _is_cheap(found), runs
    assert _is_punctual(found), runs


def _until_good(tries):
    rate = RATE
    for _ in range(tries):
        run = bench_client(rate, seconds=4, slices=30)
        yield run
        if _is_cheap(run) and _is_punctual(run):
            return
        rate = min(RATE, max(RATE_MIN, rate * CORE_SHARE / run["cpuShare"]))


def _is_cheap(run):
    return run["recorderShare"] < run["recorderShareTarget"]


def _is_punctual(run):
    return run["latenessP99MsOfMedianSecond"] < max(run["latenessP99TargetMs"], run["controlLatenessP99Ms"])
