"""Comparing runs: a real difference is found, an unchanged run is not accused, and the verdict is plain."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lengths import length
from scipy import stats

from workloads.results.change_points import change_points, detectable, levels
from workloads.results.compare import compare
from workloads.results.figures import figures_of
from workloads.results.history import history
from workloads.results.judging import judge, taken_in_turns
from workloads.results.reader import Run
from workloads.results.run_statistics import block_draws, block_length, holm, rank_test, relative_change
from workloads.results.scalability import ScalabilityLaw, fit_scalability, usl
from workloads.results.self_test import EFFECTS, self_test


def run(name="run", *, slower=1.0, seed=1, rows=20_000, seconds=60.0, wobble=0.3, drop=0.0, **manifest):
    """A run whose latencies wander together from second to second, as real ones do."""
    random = np.random.default_rng(seed)
    intended = np.sort(random.uniform(0, seconds, rows))
    mood = np.exp(random.normal(0, wobble, int(seconds) + 1))[intended.astype(int)]
    latency = random.lognormal(-5, 0.6, rows) * slower * mood
    done = np.where(random.uniform(size=rows) < drop, np.nan, intended + latency)
    requests = pd.DataFrame({"intended": intended, "sent": intended, "done": done})
    requests["route"] = np.where(np.arange(rows) % 4 == 0, "pay", "checkout")
    requests["status"], requests["wire_bytes"] = 201, 500
    requests["outcome"] = np.where(np.isnan(done), "dropped", "ok")
    requests["latency_ms"] = (requests["done"] - requests["intended"]) * 1000
    facts = {"name": name, "scenario": "steady", "driver": "open_loop", "verdict": "ok", "options": {}} | manifest
    return Run(Path(name), facts, requests, {}, {"ok": True}, {})


def metric(found, name, route="all"):
    return next(m for m in found["metrics"] if (m["metric"], m["route"]) == (name, route))


def side(names, *, turn=0, **options):
    """Runs of one side of an ABBA sequence, each a tenth faster or slower than the last, as runs are."""
    runs = []
    for number, name in enumerate(names):
        seed = 100 * turn + number
        factor = options.get("slower", 1.0) * float(np.exp(np.random.default_rng(seed).normal(0, 0.05)))
        # Places 0, 3, 4, 7, ... are A's, 1, 2, 5, 6, ... are B's.
        place = 2 * number + ((number % 2) if turn == 0 else 1 - (number % 2))
        facts = {"rows": 2_000, "startedAtEpochSeconds": float(options.get("start", place))} | options
        runs.append(run(name, seed=seed, **{**facts, "slower": factor}))
    return runs


BEFORE, AFTER = [f"a{n}" for n in range(5)], [f"b{n}" for n in range(5)]


def test_one_run_beside_another_is_described_and_never_judged():
    found = compare(run("before"), run("after", slower=3.0, seed=2))
    p99 = metric(found, "p99Ms")
    assert (found["judged"], p99["verdict"]) == (False, "described")
    assert p99["change"] == pytest.approx(2.0, abs=0.5)
    assert p99["low"] < p99["change"] < p99["high"]
    assert "described, not judged" in found["verdict"]
    assert {m["verdict"] for m in found["metrics"]} == {"described"}


def test_four_runs_a_side_are_not_enough_to_judge():
    found = compare(side(BEFORE[:4]), side(AFTER, turn=1, slower=3.0))
    assert (found["judged"], found["metrics"][0]["verdict"]) == (False, "described")


def test_five_slower_runs_in_turns_are_called_worse_with_an_interval_around_the_truth():
    found = compare(side(BEFORE), side(AFTER, turn=1, slower=1.5))
    p99 = metric(found, "p99Ms")
    assert p99["verdict"] == "worse"
    assert p99["low"] < 0.5 < p99["high"]
    assert p99["p"] < 0.05
    assert "p99 worse by" in found["verdict"]
    assert metric(found, "p50Ms", route="pay")["verdict"] == "worse"
    assert not any("in turns" in warning for warning in found["warnings"])


def test_faster_runs_are_called_better_and_fewer_requests_worse():
    found = compare(side(BEFORE), side(AFTER, turn=1, slower=0.6, rows=1_000))
    assert metric(found, "p50Ms")["verdict"] == "better"
    rate = metric(found, "requestsPerSecond")
    assert (rate["verdict"], rate["change"]) == ("worse", pytest.approx(-0.5, abs=0.02))


def test_runs_one_after_the_other_are_warned_of_and_judged_more_carefully():
    before = side(BEFORE, start=1)
    after = side(AFTER, turn=1, slower=1.15, start=2)
    found, in_turns = compare(before, after), compare(side(BEFORE), side(AFTER, turn=1, slower=1.15))
    assert any("not made in turns" in warning for warning in found["warnings"])
    wide, narrow = (metric(each, "p50Ms") for each in (found, in_turns))
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_identical_runs_are_not_accused_and_what_could_not_be_found_is_said():
    found = compare(side(BEFORE), side(AFTER, turn=1))
    assert not [m for m in found["metrics"] if m["verdict"] in ("better", "worse")]
    assert "Smaller changes than these are seldom found: p50" in found["verdict"]
    assert metric(found, "p50Ms")["detectable"] > 0.05


def test_too_many_failures_make_a_percentile_infinite_and_worse():
    found = compare(side(BEFORE), side(AFTER, turn=1, drop=0.05))
    assert (metric(found, "p99Ms")["b"], metric(found, "p99Ms")["verdict"]) == (None, "worse")
    assert metric(found, "failureShare")["verdict"] == "worse"


def test_runs_that_should_not_be_compared_are_said():
    invalid = run("b", scenario="ramp", verdict="invalid", reasons=["the client is saturated"])
    warnings = compare(run("a"), invalid)["warnings"]
    assert any("b is invalid: the client is saturated" in warning for warning in warnings)
    assert any("differ in scenario" in warning for warning in warnings)


@pytest.mark.long_form
def test_identical_code_is_hardly_ever_accused_and_changes_are_found_whatever_the_noise():
    """`holdfast compare --self-test`: 400 pairs of groups in the long form, a minute of work; 40 in the short one,
    where chance alone may accuse twice as many."""
    found = self_test(pairs=length(40, 400), effects=length((1.0,), EFFECTS))
    assert [row["noise"] for row in found["noises"]] == ["independent", "runToRun", "remembering"]
    for row in found["noises"]:
        assert row["accused"] <= length(0.1, 0.05), found
        assert row["power"]["+100%"] >= 0.95, found


@pytest.mark.slow
def test_the_old_test_would_have_accused_runs_that_only_differ_as_runs_do():
    """Resampling inside one run a side knows nothing of the next run: its intervals leave zero out most of the time.

    Slow: hundreds of pairs are compared."""
    excluded = 0
    for number in range(20):
        a, b = (run("x", seed=2 * number + n, rows=2_000, wobble=0.0, slower=1 + 0.2 * n) for n in (0, 1))
        interval = metric(compare(a, b), "p50Ms")
        excluded += not interval["low"] <= 0 <= interval["high"]
    assert excluded >= 15
    judged = judge([figures_of(a.requests)] * 5, [figures_of(a.requests)] * 5)
    assert {d.verdict for d in judged} == {"same"}


def test_blocks_are_as_long_as_neighbours_hang_together():
    random = np.random.default_rng(1)
    shocks, mood = random.normal(size=600), np.zeros(600)
    for n in range(1, 600):
        mood[n] = 0.9 * mood[n - 1] + shocks[n]
    assert block_length(shocks) <= 3
    assert block_length(mood) >= 10
    assert block_length(np.ones(50)) == block_length(np.ones(2)) == 1
    weights = block_draws(50, 7, 20, random)
    assert (weights.sum(axis=1) == 50).all()


def test_a_lone_test_is_what_it_was_and_many_cost_more():
    assert holm([0.04]) == [0.04]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_welchs_test_agrees_with_scipy_and_ranks_take_ties():
    random = np.random.default_rng(3)
    a, b = random.lognormal(0, 0.1, 6), random.lognormal(0.2, 0.3, 8)
    expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).pvalue
    assert relative_change(a, b).p == pytest.approx(expected)
    assert relative_change(a, b, correlation=0.5).p > expected
    assert rank_test([1.0] * 5, [1.0] * 5) == 1.0
    assert rank_test([1.0] * 5, [float("inf")] * 5) == pytest.approx(2 / 252)
    assert relative_change([2.0] * 5, [2.0] * 5).p == 1.0
    assert relative_change([2.0] * 5, [3.0] * 5).p == pytest.approx(2 / 252)


def test_turns_are_told_from_one_after_the_other():
    assert taken_in_turns([0, 3, 4, 7, 8], [1, 2, 5, 6, 9])
    assert taken_in_turns([0, 2, 4], [1, 3, 5])
    assert not taken_in_turns([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])


def test_the_scalability_law_is_found_again_in_noisy_points():
    random = np.random.default_rng(1)
    n = np.array([1, 2, 4, 8, 16, 32, 64, 128], dtype=float)
    fitted = fit_scalability(n, usl(n, 100, 0.05, 0.0005) * random.normal(1, 0.02, len(n)))
    assert fitted.contention == pytest.approx(0.05, abs=0.02)
    assert fitted.coherency == pytest.approx(0.0005, rel=0.3)
    assert fitted.peak_concurrency == pytest.approx(np.sqrt(0.95 / 0.0005), rel=0.2)
    assert fitted.r_squared > 0.98
    assert fitted.peak_throughput == pytest.approx(float(fitted.throughput(fitted.peak_concurrency)))


def test_without_coherency_there_is_a_limit_but_no_peak():
    law = ScalabilityLaw(100, 0.1, 0.0, 0, 0, 1)
    assert (law.peak_concurrency, law.peak_throughput) == (float("inf"), pytest.approx(1_000))
    with pytest.raises(ValueError, match="different concurrencies"):
        fit_scalability([1, 2, 2], [1, 2, 2])


def test_change_points_are_where_the_level_changed():
    random = np.random.default_rng(1)
    history = np.concatenate([random.normal(100, 3, 20), random.normal(120, 3, 15), random.normal(90, 3, 15)])
    points = change_points(history)
    assert points == [20, 35]
    assert levels(history, points) == pytest.approx([100, 120, 90], abs=3)


@pytest.mark.parametrize(("before", "after"), [(5, 5), (4, 4), (20, 3)])
def test_a_doubling_is_found_in_few_runs_and_in_the_newest_three(before, after):
    random = np.random.default_rng(1)
    history = np.concatenate([random.normal(10, 0.3, before), random.normal(20, 0.6, after)])
    assert change_points(history) == [before]


def test_series_rounded_to_two_digits_are_no_change():
    random = np.random.default_rng(1)
    found = [change_points(np.round(random.normal(10, 0.02, 40), 2), seed=n) for n in range(20)]
    assert sum(map(bool, found)) <= 1
    alternating = [change_points([10.0, 10.01] * 10, seed=n) for n in range(5)]
    assert not any(alternating)


def test_noise_and_single_wild_runs_are_no_change():
    random = np.random.default_rng(2)
    found = [change_points(random.normal(100, 5, 30), seed=n) for n in range(20)]
    assert sum(map(bool, found)) <= 2
    wild = random.normal(100, 3, 30)
    wild[15] = 1_000
    assert change_points(wild) == []
    assert change_points([1.0] * 30) == change_points([1.0, 2.0]) == change_points([]) == []


def test_a_change_too_small_for_a_word_is_none_however_sure():
    random = np.random.default_rng(1)
    assert change_points([*random.normal(100, 0.1, 20), *random.normal(102, 0.1, 20)]) == []


def test_what_a_history_could_not_have_shown_is_said():
    random = np.random.default_rng(1)
    assert detectable([10.0] * 5, []) is None
    few, many = random.normal(10, 0.5, 8), random.normal(10, 0.5, 40)
    assert detectable(few, []) is None, "three new runs of eight lie at the end by chance one time in 28"
    assert 0.05 <= detectable(many, [], 20) < detectable(many, [], 3) < 0.5


def recorded(number, p99, **manifest):
    facts = {"name": f"run-{number}", "scenario": "steady", "verdict": "ok", "commit": {"id": f"c{number}"}} | manifest
    return Run(Path(f"run-{number}"), facts, pd.DataFrame(), {"p99Ms": p99}, {"ok": True}, {})


def test_a_history_names_the_run_and_commit_from_which_the_level_changed():
    random = np.random.default_rng(1)
    values = [*random.normal(10, 0.2, 12), *random.normal(15, 0.2, 12)]
    (series,) = history([recorded(number, value) for number, value in enumerate(values)], "p99Ms")["series"]
    (change,) = series["changes"]
    assert (change["run"], change["commit"]) == ("run-12", "c12")
    assert change["change"] == pytest.approx(0.5, abs=0.05)
    assert "a change is found from" in series["power"]["told"]


def test_a_history_keeps_scenarios_and_options_apart():
    runs = [recorded(n, 10.0 if n % 2 else 90.0, scenario="steady" if n % 2 else "ramp") for n in range(20)]
    runs += [recorded(n, 50.0, options={"users": 500, "seed": n}) for n in range(20, 25)]
    found = history(runs, "p99Ms")
    assert [(s["scenario"], len(s["runs"]), s["changes"]) for s in found["series"]] == [
        ("ramp", 10, []),
        ("steady", 10, []),
        ("steady", 5, []),
    ]
    assert "5 runs cannot show a change of level, however large" in found["series"][2]["power"]["told"]


def test_a_history_leaves_out_what_cannot_be_compared():
    runs = [
        recorded(0, 10.0),
        recorded(1, 10.0, verdict="invalid"),
        recorded(2, None),
        recorded(3, 9.0, scenario="ramp"),
        recorded(4, 9.0, verdict="interrupted"),
    ]
    found = history(runs, "p99Ms", "steady")
    assert [run["name"] for series in found["series"] for run in series["runs"]] == ["run-0"]
    assert found["skipped"] == 4
