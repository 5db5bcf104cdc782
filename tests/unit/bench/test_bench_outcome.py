"""How measurements are judged and handed to the command line."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from pymongo.errors import ServerSelectionTimeoutError

from benchmarks.contention.command import judge
from benchmarks.contention.run import ContentionPlan
from benchmarks.kit.outcome import BenchOutcome, RunInvalid, figure, show, table
from benchmarks.kit.percentiles import median_interval, percentile

COUNTERS = {"checkoutsPerSecond": 1.0, "p50Ms": 1.0, "p99Ms": 1.0, "clientRetries": 0, "serverWriteConflicts": 0}


def contention_result(**oversold: int) -> dict[str, Any]:
    names = ("read_then_write", "transaction_per_request", "optimistic_version", "conditional_update", "group_commit")
    return {
        "strategies": [{"name": name, "oversold": oversold.get(name, 0), **COUNTERS} for name in names],
        "spread": {"name": "group_commit_spread", "oversold": oversold.get("group_commit_spread", 0), **COUNTERS},
        "hotOverSpread": 1.2,
        "groupCommitOverTransaction": 300.0,
        "groupCommitOverConditional": 6.0,
    }


def shown(measure: Any, as_json: bool = False) -> Result:
    return CliRunner().invoke(click.Command("measure", callback=lambda: show(measure, as_json)))


def test_a_run_that_cannot_see_an_oversell_is_invalid():
    with pytest.raises(RunInvalid):
        judge(contention_result(read_then_write=0), ContentionPlan())


def test_only_the_naive_strategy_may_oversell_without_breaking_the_check():
    assert judge(contention_result(read_then_write=5), ContentionPlan()).broken == ()
    for name in ("group_commit", "group_commit_spread"):
        assert judge(contention_result(read_then_write=5, **{name: 1}), ContentionPlan()).broken


def test_json_is_one_document_on_stdout_and_the_broken_check_is_on_stderr():
    result = shown(lambda: BenchOutcome({"oversold": 3}, (), ("3 units were sold twice",)), as_json=True)
    assert json.loads(result.stdout) == {"oversold": 3}
    assert "3 units were sold twice" in result.stderr
    assert result.exit_code == 1


def test_a_measurement_that_holds_ends_with_zero_and_prints_its_table():
    result = shown(lambda: BenchOutcome({}, (table("rates", ("way", "per second"), [("group", 6409.4)]),)))
    assert "6,409" in result.stdout
    assert result.exit_code == 0


@pytest.mark.parametrize("error", [RunInvalid("the client was saturated"), ServerSelectionTimeoutError("no mongod")])
def test_an_invalid_run_ends_with_two_and_says_why(error: Exception):
    def measure() -> BenchOutcome:
        raise error

    result = shown(measure, as_json=True)
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(error).partition(",")[0] in result.stderr


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (99.9, 100), (0, 1), (100, 100)])
def test_a_percentile_is_a_sample_and_not_an_interpolation(percent: float, value: float):
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == value


def test_a_percentile_of_one_sample_is_that_sample():
    assert percentile([7.5], 99) == 7.5


@pytest.mark.parametrize(
    ("count", "low", "high"), [(1, 1, 1), (5, 1, 5), (6, 1, 6), (9, 2, 8), (12, 3, 10), (20, 6, 15), (100, 40, 61)]
)
def test_the_interval_of_a_median_is_that_of_the_binomial_tables(count: int, low: int, high: int):
    assert median_interval([float(n) for n in range(count, 0, -1)]) == (low, high)


@pytest.mark.parametrize(
    ("cell", "text"), [(6409.4, "6,409"), (12.34, "12.3"), (0.8042, "0.804"), (16816, "16,816"), ("hot", "hot")]
)
def test_figures_are_readable(cell: Any, text: str):
    assert figure(cell) == text
