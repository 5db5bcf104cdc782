"""The verdict never says ok about nothing: each reason, planted, turns a run red; and each driver asks for it."""

from dataclasses import replace

import pytest

from workloads.results.verdict import EXIT_CODES, Evidence, Findings, ScheduleKept, Work, judge

BALANCED = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True, "violations": 0}]}
KEPT = ScheduleKept(planned=1_000, lateness_p99_ms=1.0, backlog=5, backlog_halfway=5, per_second=100.0)
GOOD = Evidence([Work("requests", 1_000, 1_000, 0)], BALANCED, schedule=KEPT, latency_p99_ms=20.0)


def test_work_done_audited_and_on_time_is_ok():
    assert judge(GOOD).verdict == "ok"
    assert judge(GOOD).reasons == []


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({"work": [Work("requests", 0, 0, 0)]}, "invalid", "not one of the requests was sent"),
        ({"work": []}, "invalid", "nothing was to be done"),
        ({"work": [Work("requests", 987, 0, 987)]}, "invalid", "of 987 requests none succeeded: 987 failed"),
        ({"work": [Work("invoices", 50, 0, 0, {"unknown_sku": 50})]}, "invalid", "none succeeded: 50 unknown_sku"),
        ({"work": [Work("requests", 647, 161, 486)]}, "invalid", "486 of 647 requests failed (75%)"),
        ({"work": [Work("requests", 1_000, 989, 11)]}, "invalid", "11 of 1,000 requests failed (1%), more than 1%"),
        ({"work": [Work("requests", 100, 49, 0, {"refused": 51})]}, "invalid", "most of the requests were refused: 51"),
        ({"work": [Work("a", 9, 9, 0), Work("b", 9, 0, 9)]}, "invalid", "of 9 b none succeeded"),
        ({"audit": {"ok": None, "unavailable": "no MONGODB_URI"}}, "invalid", "were not audited: no MONGODB_URI"),
        ({"audit": {"ok": True, "checks": []}}, "invalid", "the audit made no check"),
        ({"audit": {"ok": False, "checks": [{"name": "oversold", "ok": False}]}}, "failed", "do not balance"),
        ({"schedule": replace(KEPT, lateness_p99_ms=60.0)}, "invalid", "the client is saturated"),
        ({"schedule": replace(KEPT, dropped=3)}, "invalid", "dropped 3 of 1,000 arrivals"),
        ({"schedule": replace(KEPT, abandoned=2)}, "invalid", "2 arrivals were still unanswered"),
        ({"schedule": replace(KEPT, backlog=971, backlog_halfway=480)}, "failed", "971 of 1,000 arrivals were unan"),
    ],
)
def test_each_reason_turns_a_run_red_and_is_a_sentence(changes, verdict, says):
    found = judge(replace(GOOD, **changes))
    assert found.verdict == verdict
    assert says in found.reasons[0]
    assert EXIT_CODES[found.verdict] != 0


def test_few_failures_and_expected_refusals_are_no_reason():
    assert judge(replace(GOOD, work=[Work("requests", 1_000, 500, 10)])).verdict == "ok", "the others were sold out"
    assert judge(replace(GOOD, work=[Work("requests", 100, 50, 0, {"refused": 50})])).verdict == "ok"


def test_a_slow_service_that_keeps_up_is_not_called_behind():
    slow = replace(KEPT, backlog=200, backlog_halfway=200)
    assert judge(replace(GOOD, schedule=slow)).verdict == "ok", "two seconds each, as many in flight all the time"
    few = replace(KEPT, backlog=9, backlog_halfway=1, per_second=1.0)
    assert judge(replace(GOOD, schedule=few)).verdict == "ok"


def test_lateness_that_changes_nothing_of_what_is_said_is_no_reason():
    assert judge(replace(GOOD, schedule=replace(KEPT, lateness_p99_ms=60.0), latency_p99_ms=1_000.0)).verdict == "ok"
    assert judge(replace(GOOD, schedule=replace(KEPT, lateness_p99_ms=60.0), lateness_p99_max_ms=70)).verdict == "ok"


def test_books_that_cannot_be_reached_are_forgiven_only_when_the_user_said_so():
    out_of_reach = replace(GOOD, audit={"ok": None, "unavailable": "--no-audit", "checks": []})
    assert judge(out_of_reach).verdict == "invalid"
    assert judge(replace(out_of_reach, audit_wanted=False)).verdict == "ok"


def test_the_drivers_own_reasons_come_along_and_an_interruption_outweighs_all():
    own = Findings(invalid=["x"], failed=["y"])
    assert judge(GOOD, own).reasons == ["x", "y"]
    assert judge(replace(GOOD, work=[]), Findings(interrupted=["Ctrl-C"])).verdict == "interrupted"
    assert own.reasons == ["x", "y"], "what was handed in stays as it is"
