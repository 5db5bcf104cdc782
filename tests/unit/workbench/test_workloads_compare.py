"""Comparing runs: a real difference is found, an unchanged run is not accused, and the verdict is plain."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workloads.results.change_points import change_points, levels
from workloads.results.compare import compare
from workloads.results.history import history
from workloads.results.reader import Run
from workloads.results.scalability import ScalabilityLaw, fit_scalability, usl


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


def test_a_slower_run_is_called_worse_with_an_interval_around_the_truth():
    found = compare(run("before"), run("after", slower=1.5, seed=2))
    p99 = metric(found, "p99Ms")
    assert p99["verdict"] == "worse"
    assert p99["low"] < 0.5 < p99["high"]
    assert "p99 worse by" in found["verdict"]
    assert metric(found, "p50Ms", route="pay")["verdict"] == "worse"


def test_a_faster_run_is_called_better():
    assert metric(compare(run("before"), run("after", slower=0.6, seed=2)), "p50Ms")["verdict"] == "better"


def test_unchanged_pairs_are_hardly_ever_accused():
    verdicts = [
        metric(compare(run("a", seed=2 * n, rows=4_000), run("b", seed=2 * n + 1, rows=4_000)), "p95Ms")["verdict"]
        for n in range(10)
    ]
    assert sum(verdict in ("worse", "better") for verdict in verdicts) <= 2, verdicts


def test_single_requests_resampled_would_have_been_too_sure():
    interval = metric(compare(run("a", seed=3), run("b", seed=4)), "p50Ms")
    assert interval["high"] - interval["low"] > 0.1, "slices that wander together make the interval wide"


def test_a_run_compared_with_itself_is_the_same():
    found = compare(run("a", wobble=0.0), run("a", wobble=0.0))
    assert {m["verdict"] for m in found["metrics"]} == {"same"}
    assert found["verdict"].endswith("no difference worth a word")


def test_dropped_requests_make_a_percentile_infinite_and_worse():
    found = metric(compare(run("a"), run("b", drop=0.05)), "p99Ms")
    assert (found["b"], found["verdict"]) == (None, "worse")


def test_less_throughput_is_worse():
    found = metric(compare(run("a"), run("b", rows=10_000)), "requestsPerSecond")
    assert found["verdict"] == "worse"
    assert found["change"] == pytest.approx(-0.5, abs=0.01)


def test_runs_that_should_not_be_compared_are_said():
    invalid = run("b", scenario="ramp", verdict="invalid", reasons=["the client is saturated"])
    warnings = compare(run("a"), invalid)["warnings"]
    assert any("b is invalid: the client is saturated" in warning for warning in warnings)
    assert any("differ in scenario" in warning for warning in warnings)


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


def test_noise_and_single_wild_runs_are_no_change():
    random = np.random.default_rng(2)
    found = [change_points(random.normal(100, 5, 30), seed=n) for n in range(20)]
    assert sum(map(bool, found)) <= 1
    wild = random.normal(100, 3, 30)
    wild[15] = 1_000
    assert change_points(wild) == []
    assert change_points([1.0] * 30) == change_points([1.0, 2.0]) == []


def recorded(number, p99, **manifest):
    facts = {"name": f"run-{number}", "scenario": "steady", "verdict": "ok", "commit": {"id": f"c{number}"}} | manifest
    return Run(Path(f"run-{number}"), facts, pd.DataFrame(), {"p99Ms": p99}, {"ok": True}, {})


def test_a_history_names_the_run_and_commit_from_which_the_level_changed():
    random = np.random.default_rng(1)
    values = [*random.normal(10, 0.2, 12), *random.normal(15, 0.2, 12)]
    found = history([recorded(number, value) for number, value in enumerate(values)], "p99Ms")
    (change,) = found["changes"]
    assert (change["run"], change["commit"]) == ("run-12", "c12")
    assert change["change"] == pytest.approx(0.5, abs=0.05)


def test_a_history_leaves_out_what_cannot_be_compared():
    runs = [
        recorded(0, 10.0),
        recorded(1, 10.0, verdict="invalid"),
        recorded(2, None),
        recorded(3, 9.0, scenario="ramp"),
    ]
    found = history(runs, "p99Ms", "steady")
    assert [run["name"] for run in found["runs"]] == ["run-0"]
    assert (found["skipped"], found["changes"]) == (3, [])
