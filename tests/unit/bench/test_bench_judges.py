"""What makes a benchmark's result fail, and what makes it meaningless."""

from typing import Any

import pytest

from benchmarks.compression import live
from benchmarks.expiry import judge as expiry
from benchmarks.growth import command as growth
from benchmarks.kit.open_loop import OpenTally
from benchmarks.kit.outcome import RunInvalid
from benchmarks.over_http import checkout
from benchmarks.over_http import run as http
from benchmarks.side_by_side import run as peer
from workloads.results.verdict import Work


def checkout_result(**changes: Any) -> dict[str, Any]:
    rates = {"checkoutsPerSecond": 1_400.0, "p50Ms": 40.0, "p99Ms": 90.0, "statuses": {"201": 4_200}}
    return {
        "connections": 64,
        "idleP50Ms": 6.5,
        "idleOverBareWrite": 4.0,
        "hot": rates,
        "spread": rates,
        "hotOverSpread": 1.0,
        "oversold": 0,
        "errors": 0,
        "apiCpuMsPerCheckout": 0.7,
        "soldOut": {"units": 50, "sold": 50, "refused": 128, "oversold": 0, "left": 0},
        "audit": {"ok": True, "checks": [{"name": "stock", "ok": True}]},
        **changes,
    }


def test_a_checkout_run_without_fault_breaks_nothing():
    assert checkout.judge(checkout_result()).broken == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"oversold": 1},
        {"errors": 1},
        {"audit": {"ok": False}},
        {"soldOut": {"units": 50, "sold": 49, "refused": 128, "oversold": 0, "left": 1}},
        {"soldOut": {"units": 50, "sold": 49, "refused": 128, "oversold": 0, "left": 0}},
    ],
)
def test_an_oversell_an_error_a_lost_unit_or_a_violated_book_breaks_the_check(changes: dict[str, Any]):
    assert len(checkout.judge(checkout_result(**changes)).broken) == 1


def test_a_run_in_which_nothing_was_sold_is_invalid():
    nothing = {"checkoutsPerSecond": 0.0, "p50Ms": 1.0, "p99Ms": 1.0, "statuses": {"401": 99}}
    with pytest.raises(RunInvalid, match="401"):
        checkout.judge(checkout_result(hot=nothing))


def compression_row(**changes: Any) -> dict[str, Any]:
    row = {"content": "JSON", "bytes": 100_000, "gzipBytes": 16_000, "reduction": 84.0, "documentedReduction": 80}
    return {**row, "cpuMs": 0.4, "brBytes": 15_000, "zstdBytes": 15_500, **changes}


def test_compression_at_the_documented_reduction_holds():
    assert live.judge({"rows": [compression_row(reduction=80.0)]}).broken == ()


@pytest.mark.parametrize("changes", [{"reduction": 79.9}, {"cpuMs": 1.01}, {"brBytes": 16_000, "zstdBytes": 16_000}])
def test_too_little_saved_too_much_cpu_or_no_better_coding_breaks_the_check(changes: dict[str, Any]):
    assert len(live.judge({"rows": [compression_row(**changes)]}).broken) == 1


def test_percent_saved_is_of_the_bytes_before():
    assert live.reduction(100_000, 20_000) == 80.0


def peer_row(ratio: float, judged: bool = True) -> dict[str, Any]:
    rates = {"holdfastPerSecond": 10.0, "peerPerSecond": 1.0, "holdfastP99Ms": 1.0, "peerP99Ms": 2.0}
    return {"route": "GET /api/products", "ratio": ratio, "judged": judged, **rates}


def test_every_judged_route_must_be_twice_as_fast_as_the_peer():
    rows = [peer_row(2.0), peer_row(1.99), peer_row(0.9, judged=False)]
    assert len(peer.judge({"rows": rows}).broken) == 1


AUDITED = {"ok": True, "checks": [{"name": "stock", "ok": True}]}
HTTP_ROW = {"capacityPerSecond": 1.0, "requestsPerSecond": 10.0, "p50Ms": 1.0, "p95Ms": 1.0, "p99Ms": 1.0}
HTTP_ROW |= {"requests": 400, "errors": 0, "backlogAtEnd": 0, "backlogHalfway": 0}


def http_result(audit: dict[str, Any] = AUDITED, **changes: Any) -> dict[str, Any]:
    return {"routes": {"GET /": HTTP_ROW, "GET /x": {**HTTP_ROW, **changes}}, "audit": audit}


def test_an_error_on_a_measured_route_breaks_the_check():
    assert http.judge(http_result()).broken == ()
    assert http.judge(http_result(errors=2)).broken == ("GET /x: 2 errors",)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (http_result(errors=400), "of 400 requests of GET /x none succeeded"),
        (http_result(errors=40), "40 of 400 requests of GET /x failed"),
        (http_result(requests=0), "not one of the requests of GET /x was sent"),
        (http_result({"ok": None, "unavailable": "mongod is gone"}), "not audited: mongod is gone"),
    ],
)
def test_an_http_run_that_proves_nothing_is_invalid(result: dict[str, Any], says: str):
    with pytest.raises(RunInvalid, match=says):
        http.judge(result)


def test_an_http_run_that_fell_behind_or_whose_books_do_not_balance_breaks_the_check():
    (behind,) = http.judge(http_result(backlogAtEnd=90, backlogHalfway=40)).broken
    assert behind.startswith("GET /x: the service fell behind")
    wrong = {"ok": False, "checks": [{"name": "stock", "ok": False}]}
    assert http.judge(http_result(wrong)).broken == ("the books do not balance: see stock.json (stock)",)


def test_a_checkout_run_without_an_audit_or_with_many_failures_is_invalid():
    with pytest.raises(RunInvalid, match="not audited"):
        checkout.judge(checkout_result(audit={"ok": None}))
    half = {"checkoutsPerSecond": 9.0, "p50Ms": 1.0, "p99Ms": 1.0, "statuses": {"201": 50, "503": 50}}
    with pytest.raises(RunInvalid, match="50 of 100 hot checkouts failed"):
        checkout.judge(checkout_result(hot=half))


def test_an_open_loops_failures_are_infinitely_slow():
    tally = OpenTally(expected=200)
    for _ in range(98):
        tally.add(200, 5.0)
    tally.add(0, 0.1)
    tally.add(503, 0.1)
    assert (tally.percentile_ms(98), tally.percentile_ms(99)) == (5.0, float("inf"))
    assert tally.work("requests") == Work("requests", 100, 98, 2)


def expiry_result(**changes: Any) -> dict[str, Any]:
    return {
        "holds": 50_000,
        "skus": 5_000,
        "connections": 64,
        "drainSeconds": 15.0,
        "expiryLagMs": {"p50": 7_000, "max": 15_000},
        "checkoutsPerSecond": {"before": 1_000.0, "during": 800.0},
        "p99Ms": {"before": 90.0, "during": 120.0},
        "ratio": 0.8,
        "errors": 0,
        "released": 50_000,
        "stillHeld": 0,
        "releasedTwice": 0,
        "sweptBy": {"worker": 50_000},
        "audit": {"ok": True, "checks": [{"name": "stock", "ok": True}]},
        **changes,
    }


def test_a_drain_in_time_that_leaves_buyers_their_rate_breaks_nothing():
    assert expiry.judge(expiry_result()).broken == ()


@pytest.mark.parametrize("changes", [{"drainSeconds": 20.0}, {"ratio": 0.69}])
def test_a_slow_drain_or_starved_buyers_break_the_check_at_full_size_only(changes: dict[str, Any]):
    assert len(expiry.judge(expiry_result(**changes)).broken) == 1
    assert expiry.judge(expiry_result(**changes), timed=False).broken == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"releasedTwice": 1},
        {"released": 49_999, "stillHeld": 1},
        {"errors": 1},
        {"audit": {"ok": False}},
    ],
)
def test_a_hold_freed_twice_or_never_an_error_or_a_violated_book_breaks_the_check(changes: dict[str, Any]):
    assert len(expiry.judge(expiry_result(**changes), timed=False).broken) == 1


def growth_shop(
    low: float = 0.95, commands: int = 10, audit_ok: bool | None = True, kind: str = "lone", judged: str = "time"
) -> dict[str, Any]:
    rates = {"checkoutsPerSecond": 1_000.0, "p50Ms": 1.0, "cpuMs": 1.0}
    shop = {"name": "shop", "skus": 10, "orders": 10, "auditOk": audit_ok, **dict.fromkeys(growth.KINDS, rates)}
    even = {"median": 1.0, "low": 0.95, "high": 1.05}
    times = {each: {"time": even, "p50": even, "cpu": even} for each in growth.KINDS}
    times[kind] = times[kind] | {judged: {"median": 1.2, "low": low, "high": 1.4}}
    counts = {"commands": commands, "keysExamined": 3, "documentsExamined": 3}
    return {**shop, "growth": times, "perCheckout": counts}


def grown(*shops: dict[str, Any], timed: bool = True) -> tuple[str, ...]:
    small = {name: value for name, value in growth_shop().items() if name != "growth"}
    return growth.judge({"buyers": 64, "databases": [small, *shops]}, timed).broken


def test_growth_breaks_the_check_when_its_whole_interval_is_above_the_limit():
    assert grown(growth_shop(low=1.10)) == ()
    assert len(grown(growth_shop(low=1.11), growth_shop(low=1.11, kind="hot", judged="p50"))) == 2
    assert grown(growth_shop(low=1.5, judged="cpu")) == grown(growth_shop(low=1.11), timed=False) == ()


def test_one_command_more_or_a_violated_book_in_a_large_shop_breaks_the_check():
    assert len(grown(growth_shop(commands=11), timed=False)) == 1
    assert len(grown(growth_shop(audit_ok=False), timed=False)) == 1
    assert grown(growth_shop(audit_ok=None)) == ()
