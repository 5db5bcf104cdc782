"""Rows in, frames out: exact percentiles, whole folders, and a million requests without strain."""

import errno
import json
import math
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from lengths import length

from workloads.client.recorder import NEVER, ROW, Recorder, RowWriter, RunClock
from workloads.client.running_stack import Stack, StackError, find_stack
from workloads.results import reader as results
from workloads.results.run_folder import Findings, RunFolderError, RunNotWritten, begin_run, run_path, write_json
from workloads.results.server_state import client_retries, difference, parse_metrics, server_document


@pytest.fixture(autouse=True)
def balanced_books(monkeypatch):
    books = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True, "violations": 0, "examples": []}]}
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: books)


def written(tmp_path, rows, recorder_count=1):
    path = tmp_path / "requests.parquet"
    with RowWriter(path) as writer:
        for part in range(recorder_count):
            recorder = Recorder(writer)
            for row in rows[part::recorder_count]:
                recorder.row(*row)
            recorder.flush()
    return path


def test_rows_come_back_as_they_were_recorded(tmp_path):
    rows = [
        (0.0, 0.001, 0.011, "checkout", 201, "ok", 512),
        (0.5, 0.5, 0.52, "pay", 200, "paid", 300),
        (1.0, NEVER, NEVER, "checkout", 0, "dropped", 0),
        (1.5, 1.5, 1.6, "checkout", 409, "out_of_stock", 5_000_000_000),
    ]
    requests = results.load_requests(written(tmp_path, rows))
    assert list(requests.columns[:7]) == ["intended", "sent", "done", "route", "status", "outcome", "wire_bytes"]
    assert requests["route"].tolist() == ["checkout", "pay", "checkout", "checkout"]
    assert requests["outcome"].tolist() == ["ok", "paid", "dropped", "out_of_stock"]
    assert requests["wire_bytes"].iloc[3] == 5_000_000_000
    assert requests["latency_ms"].iloc[0] == pytest.approx(11)
    assert requests["service_ms"].iloc[0] == pytest.approx(10)
    assert math.isnan(requests["sent"].iloc[2])


def test_rows_of_several_recorders_with_different_routes_are_merged(tmp_path):
    rows = [(index / 10, index / 10, index / 10 + 0.01, f"route-{index % 3}", 200, "ok", index) for index in range(30)]
    requests = results.load_requests(written(tmp_path, rows, recorder_count=4))
    assert requests["wire_bytes"].tolist() == list(range(30)), "sorted by the intended start"
    assert requests["route"].tolist() == [f"route-{index % 3}" for index in range(30)]


def test_a_run_longer_than_one_chunk_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("workloads.client.recorder.ROWS_PER_CHUNK", 100)
    rows = [(float(index), float(index), index + 0.5, "checkout", 201, "ok", 1) for index in range(1_050)]
    requests = results.load_requests(written(tmp_path, rows))
    assert requests["intended"].tolist() == [float(index) for index in range(1_050)]


def test_percentiles_are_exact_and_dropped_requests_are_infinitely_slow():
    latencies = pd.Series(np.arange(1.0, 1001.0))
    assert results.exact_percentile(latencies, 50) == 500
    assert results.exact_percentile(latencies, 99.9) == 999
    assert results.percentiles_ms(latencies) == {
        "p50Ms": 500,
        "p95Ms": 950,
        "p99Ms": 990,
        "p999Ms": 999,
        "maxMs": 1000,
    }
    with_drops = pd.concat([latencies, pd.Series([np.nan] * 20)])
    assert results.percentiles_ms(with_drops)["p99Ms"] is None
    assert results.exact_percentile(with_drops, 50) == 510
    assert results.percentiles_ms(pd.Series(dtype=float))["p50Ms"] is None


def test_the_summary_counts_outcomes_by_route(tmp_path):
    rows = [
        (0.0, 0.0, 0.010, "checkout", 201, "ok", 100),
        (1.0, 1.0, 1.030, "checkout", 409, "out_of_stock", 50),
        (2.0, 2.0, 2.020, "pay", 200, "paid", 70),
        (3.0, 3.0, 4.0, "pay", 0, "timeout", 0),
    ]
    summary = results.summarise(results.load_requests(written(tmp_path, rows)))
    assert (summary["requests"], summary["failures"], summary["dropped"], summary["wireBytes"]) == (4, 1, 0, 220)
    assert summary["seconds"] == 4.0
    assert summary["routes"]["checkout"]["outcomes"] == {"ok": 1, "out_of_stock": 1}
    assert summary["routes"]["checkout"]["p99Ms"] == 30.0
    assert summary["routes"]["pay"]["maxMs"] is None, "an answer that never came is infinitely slow"
    assert summary["routes"]["pay"]["answered"]["maxMs"] == 20.0


def test_a_refused_connection_is_no_quick_answer(tmp_path):
    rows = [(n / 10, n / 10, n / 10 + 0.001, "checkout", 0, "error", 0) for n in range(75)]
    rows += [(n / 10, n / 10, n / 10 + 0.001, "checkout", 429, "throttled", 0) for n in range(5)]
    rows += [(n / 10, n / 10, n / 10 + 0.2, "checkout", 201, "ok", 0) for n in range(20)]
    summary = results.summarise(results.load_requests(written(tmp_path, rows)))
    assert (summary["p50Ms"], summary["p99Ms"]) == (None, None)
    assert (summary["answered"]["requests"], summary["answered"]["p50Ms"]) == (20, 200.0)
    work = results.work_of(results.load_requests(tmp_path / "requests.parquet"))
    assert (work.attempted, work.done, work.failed) == (100, 20, 80)


def test_run_clocks_of_two_processes_agree():
    first, second = RunClock(1_000.0), RunClock(1_000.0)
    assert first.now() == pytest.approx(second.now(), abs=0.01)
    assert first.at_epoch(1_002.5) == 2.5


def finished_run(tmp_path, name="run", findings=None, **more):
    stack = Stack(url="http://127.0.0.1:9")
    run = begin_run(tmp_path / name, stack, driver="test", scenario="nothing", seed=7, options={"rate": 5})
    recorder = Recorder(run.writer())
    recorder.row(0.0, 0.0, 0.25, "checkout", 201, "ok", 10)
    recorder.flush()
    run.finish(findings or Findings(), more)
    return tmp_path / name


def test_a_result_folder_is_whole_and_readable_with_pandas_alone(tmp_path):
    folder = finished_run(tmp_path, extra={"answer": float("inf")})
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "requests.parquet",
        "server.json",
        "stock.json",
        "summary.json",
    ]
    manifest = pd.read_json(folder / "manifest.json", typ="series", dtype=False)
    assert {"scenario", "seed", "commit", "versions", "machine", "command", "verdict", "startedAt"} <= set(
        manifest.index
    )
    assert pd.read_parquet(folder / "requests.parquet")["done"].tolist() == [0.25]
    run = results.load(folder)
    assert run.summary["extra"] == {"answer": None}
    assert (run.manifest["verdict"], run.manifest["seed"], run.manifest["options"]) == ("ok", 7, {"rate": 5})
    assert run.stock["checks"]
    assert "unavailable" in run.server["before"]["metrics"]


def test_rows_are_readable_while_the_run_lasts_and_after_it_was_killed(tmp_path):
    """What a kill -9 leaves: a manifest that says it was running, and the parts that had been written."""
    run = begin_run(tmp_path / "run", Stack("http://127.0.0.1:9"), driver="test", scenario="x", seed=1, options={})
    assert results.load_manifest(tmp_path / "run")["verdict"] == "running"
    recorder = Recorder(run.writer())
    for part, route in enumerate(("checkout", "pay", "checkout")):
        recorder.row(part, part, part + 0.25, route, 201, "ok", 10)
        recorder.flush()
    deadline = time.monotonic() + 10
    while len(list(run.writer().parts.glob("*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    (run.writer().parts / "000003.tmp").write_bytes(b"PAR1 torn")
    killed = results.load(tmp_path / "run")
    assert killed.requests["route"].tolist() == ["checkout", "pay", "checkout"]
    assert killed.requests["done"].tolist() == [0.25, 1.25, 2.25]
    assert killed.summary["requests"] == 3
    assert killed.manifest["verdict"] == "running"


def test_a_driver_that_breaks_leaves_a_folder_that_says_so(tmp_path):
    def broken_by(error):
        stack = Stack("http://127.0.0.1:9")
        with begin_run(tmp_path / "run", stack, driver="test", scenario="x", seed=1, options={}) as run:
            Recorder(run.writer()).row(0, 0, 0.25, "checkout", 201, "ok", 10)
            raise error

    with pytest.raises(KeyError):
        broken_by(KeyError("a bug"))
    assert results.load(tmp_path / "run").manifest["reasons"][0] == "the run broke: 'a bug'"
    with pytest.raises(KeyboardInterrupt):
        broken_by(KeyboardInterrupt())
    assert results.load(tmp_path / "run").manifest["verdict"] == "interrupted"


def test_a_full_disk_is_one_sentence_whatever_is_being_written(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("workloads.client.recorder._write_whole", Mock(side_effect=full))
    run = results.load_manifest(finished_run(tmp_path))
    assert (run["verdict"], run["reasons"][0]) == ("invalid", "the disk is full: rows are missing")
    monkeypatch.setattr("workloads.results.run_folder.write_json", Mock(side_effect=full))
    with pytest.raises(RunNotWritten, match="the disk is full"):
        finished_run(tmp_path)


def test_latest_leads_to_the_newest_run_and_is_no_run_itself(tmp_path):
    finished_run(tmp_path, name="one")
    finished_run(tmp_path, name="two")
    assert results.load(tmp_path / "latest").name == "two"
    assert [run.name for run in results.load_all(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("name", ["latest", "..", ".", "a/b", "/etc"])
def test_a_runs_name_is_a_plain_folder_name(tmp_path, name):
    with pytest.raises(RunFolderError, match="cannot be called"):
        run_path(tmp_path, name, "steady")


def test_the_verdict_says_why_a_run_is_invalid_or_failed(tmp_path):
    findings = Findings(invalid=["the client is saturated"], failed=["a check broke"])
    assert findings.verdict == "invalid"
    run = results.load(finished_run(tmp_path, findings=findings))
    assert run.manifest["verdict"] == run.summary["verdict"] == "invalid"
    assert run.summary["reasons"] == ["the client is saturated", "a check broke"]
    assert Findings(failed=["x"]).verdict == "failed"


def test_a_name_can_be_used_again_but_nothing_else_is_overwritten(tmp_path):
    finished_run(tmp_path)
    finished_run(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="holds other things"):
        finished_run(tmp_path, name="thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_runs_are_loaded_oldest_first_and_broken_folders_are_named(tmp_path):
    for name in ("b", "a"):
        finished_run(tmp_path, name=name)
    assert [run.name for run in results.load_all(tmp_path)] == ["b", "a"]
    with pytest.raises(results.ResultError, match=r"no manifest\.json"):
        results.load(tmp_path)
    (tmp_path / "a" / "summary.json").write_text("[")
    with pytest.raises(results.ResultError, match=r"summary\.json"):
        results.load(tmp_path / "a")


def test_run_names_are_made_of_scenario_and_time(tmp_path):
    assert run_path(tmp_path, "mine", "flash-sale") == tmp_path / "mine"
    assert run_path(tmp_path, None, "flash-sale").name.startswith("flash-sale-2")


def test_json_is_valid_whatever_is_in_it(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": (1, float("-inf")), "c": {"d": "text"}})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1, None], "c": {"d": "text"}}


def test_metrics_are_read_and_retries_added_up():
    metrics = parse_metrics(
        "# HELP x y\nholdfast_commit_retries_total 3.0\nholdfast_batches_total 10.0\n"
        'holdfast_http_seconds_bucket{le="1"} 5.0\nholdfast_redis_retries_total{store="queue"} 2.0\n'
    )
    assert metrics == {
        "holdfast_commit_retries_total": 3.0,
        "holdfast_batches_total": 10.0,
        'holdfast_redis_retries_total{store="queue"}': 2.0,
    }
    assert client_retries(metrics) == 5.0
    assert client_retries({}) is None


def test_server_counters_are_given_before_after_and_changed():
    before = {"mongodb": {"writeConflicts": 5, "uptimeSeconds": 100}, "clientRetries": 1.0}
    after = {"mongodb": {"writeConflicts": 9, "uptimeSeconds": 110}, "clientRetries": 4.0}
    document = server_document(before, after)
    assert (document["writeConflicts"], document["clientRetries"], document["mongodbRestarted"]) == (4, 3.0, False)
    assert server_document(after, before)["mongodbRestarted"]
    assert difference({"a": 1}, {"a": "text", "b": {"c": 2}, "d": True}) == {"b": {"c": 2}}


def test_the_environment_wins_over_stack_json(tmp_path, monkeypatch):
    for name in ("HOLDFAST_URL", "MONGODB_URI", "REDIS_URL", "HOLDFAST_DATA", "HOLDFAST_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StackError, match="no stack is running"):
        find_stack(str(tmp_path))
    (tmp_path / "stack.json").write_text('{"url": "http://a/", "mongodbUri": "mongodb://a", "pid": 7}')
    assert find_stack(str(tmp_path)).url == "http://a"
    assert find_stack(str(tmp_path)).mongodb_uri == "mongodb://a"
    monkeypatch.setenv("MONGODB_URI", "mongodb://b")
    stack = find_stack(str(tmp_path), "http://c")
    assert (stack.url, stack.mongodb_uri) == ("http://c", "mongodb://b")
    assert stack.environment()["HOLDFAST_URL"] == "http://c"


@pytest.mark.slow
@pytest.mark.long_form
def test_a_million_requests_are_loaded_and_plotted_in_ten_seconds_and_one_gibibyte(tmp_path):
    """A tenth of them in the short form. Measured in a process of its own, memory being its peak."""
    count = length(100_000, 1_000_000)
    path = tmp_path / "requests.parquet"
    random = np.random.default_rng(1)
    starts, latencies = np.sort(random.uniform(0, 600, count)), random.lognormal(-5, 1, count)
    with RowWriter(path) as writer:
        recorder = Recorder(writer)
        for start, latency in zip(starts.tolist(), latencies.tolist(), strict=True):
            recorder.row(start, start, start + latency, "checkout", 201, "ok", 512)
        recorder.flush()
    script = """
import json, re, sys, time
begin = time.perf_counter()
from pathlib import Path
from workloads.results.plots import latency_over_time, latency_distribution
from workloads.results.reader import load_requests, summarise
requests = load_requests(Path(sys.argv[1]))
summary = summarise(requests)
plots = [latency_over_time(requests), latency_distribution(requests)]
# Not ru_maxrss: a child begins with its parent's.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"seconds": time.perf_counter() - begin, "bytes": peak, "rows": summary["requests"],
                  "plotted": [len(plot) for plot in plots]}))
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rows"] == count
    assert min(found["plotted"]) > 1_000
    assert found["seconds"] < 10, found
    assert found["bytes"] < 1 << 30, found
    assert ROW.size * 1_000_000 < 1 << 26
