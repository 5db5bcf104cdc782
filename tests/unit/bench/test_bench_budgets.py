"""Budgets: how they are declared, judged and told, and that each names a fault that exists."""

from typing import Any

import pytest

from benchmarks.budgets import faults, probes
from benchmarks.budgets.judge import Verdict, broken, document, judge, line, markdown
from benchmarks.budgets.plan import BadBudget, Budget, load, parse
from benchmarks.budgets.run import Planting
from benchmarks.kit.outcome import RunInvalid

AT_MOST = {"kind": "exact", "figure": "checkout.oversold", "max": 0, "fault": "guard_removed", "says": "sold twice"}
AT_LEAST = {"kind": "ratio", "figure": "checkout.hotOverSpread", "min": 0.8, "fault": "sleep_added", "says": "ratio"}


def budget(**changes: Any) -> Budget:
    [declared] = parse({"one": {**AT_MOST, **changes}})
    return declared


def test_every_declared_budget_can_be_measured_and_names_a_fault_that_can_be_planted():
    budgets = load()
    assert {budget.probe for budget in budgets} == set(probes.PROBES)
    assert {budget.fault for budget in budgets} == faults.FAULTS


def test_all_three_classes_are_declared_and_only_absolute_ones_are_advisory():
    assert {budget.kind: budget.hard for budget in load()} == {"exact": True, "ratio": True, "absolute": False}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({**AT_MOST, "min": 1}, "exactly one of min and max"),
        ({key: value for key, value in AT_MOST.items() if key != "max"}, "exactly one of min and max"),
        ({key: value for key, value in AT_MOST.items() if key != "fault"}, "fault is missing"),
        ({**AT_MOST, "kind": "vague"}, "not a kind"),
        ({**AT_MOST, "maximum": 3}, "not a field"),
    ],
)
def test_a_budget_that_cannot_be_judged_is_refused_by_name(entry: dict[str, Any], complaint: str):
    with pytest.raises(BadBudget, match=f"spotty.*{complaint}"):
        parse({"spotty": entry})


def test_no_budget_at_all_is_refused():
    with pytest.raises(BadBudget):
        parse({})


def test_the_limit_itself_is_allowed():
    assert budget(max=3).holds(3)
    assert not budget(max=3).holds(3.001)
    [at_least] = parse({"two": AT_LEAST})
    assert at_least.holds(0.8)
    assert not at_least.holds(0.799)


def test_a_figure_that_nobody_measured_never_passes():
    with pytest.raises(RunInvalid, match=r"checkout\.oversold"):
        judge([budget()], {"checkout.errors": 0})


def test_a_broken_hard_budget_fails_the_run_and_a_missed_advisory_one_does_not():
    budgets = parse({"hard": AT_MOST, "advisory": {**AT_MOST, "kind": "absolute"}})
    verdicts = judge(budgets, {"checkout.oversold": 2})
    assert [verdict.word for verdict in verdicts] == ["BROKEN", "missed"]
    assert [verdict.budget.name for verdict in broken(verdicts)] == ["hard"]
    assert document(verdicts, 1.0)["ok"] is False
    assert document(verdicts[1:], 1.0)["ok"] is True


def test_a_line_and_a_table_row_say_what_was_measured_against_what():
    verdict = Verdict(budget(max=12), 10.25)
    assert "10.2 (at most 12)" in line(verdict)
    assert "| holds | exact | one | 10.2 | at most 12 | sold twice |" in markdown([verdict])


def test_a_fault_that_a_budget_does_not_see_is_missed():
    seen, unseen = Verdict(budget(), 4), Verdict(budget(), 0)
    assert Planting("guard_removed", (seen, unseen)).missed == [unseen]


@pytest.mark.parametrize("fault", sorted(faults.PATCHES))
def test_a_planted_fault_is_gone_afterwards(fault: str):
    from service import app
    from service.inventory.decisions import _Step
    from service.inventory.ledger import Ledger
    from service.web.http import compress

    def pieces() -> list[Any]:
        return [app.create_app, _Step._require, Ledger.post, compress.build_codecs, compress.zlib_ng.compress]

    before = pieces()
    with faults.planted(fault):
        assert pieces() != before
    assert pieces() == before
