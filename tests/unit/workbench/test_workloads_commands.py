"""The commands: light to import, one JSON document where asked for, and exit codes that say what happened."""

import json
import subprocess
import sys
from dataclasses import replace

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from workloads import commands
from workloads.client.recorder import NEVER, Recorder
from workloads.client.running_stack import Stack
from workloads.drivers.capacity import CapacityOptions, Trial, _findings, _work, judge_trial, search_capacity
from workloads.drivers.locust.shapes import SCENARIOS
from workloads.results import commands as of_results
from workloads.results import reader as results
from workloads.results.report import render, write_report
from workloads.results.run_folder import About, Findings, begin_run
from workloads.results.verdict import Evidence, judge


@pytest.fixture(autouse=True)
def balanced_books(monkeypatch):
    books = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True, "violations": 0, "examples": []}]}
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: books)


def make_run(folder, *, slower=1.0, findings=None, more=None, rows=400, drop=(), about=About()):
    facts = {"driver": "test", "scenario": "steady", "seed": 1, "options": {"users": 5}, "about": about}
    run = begin_run(folder, Stack("http://127.0.0.1:9"), **facts)
    recorder = Recorder(run.writer())
    random = np.random.default_rng(1)
    for number, latency in enumerate(random.lognormal(-5, 0.3, rows) * slower):
        start = number / 20
        if number in drop:
            recorder.row(start, NEVER, NEVER, "checkout", 0, "dropped", 0)
        else:
            recorder.row(start, start, start + float(latency), "checkout", 201, "ok", 100)
    recorder.flush()
    run.finish(findings or Findings(), more or {})
    return folder


def invoke(command, *arguments):
    """Exit code and output, as `holdfast` would give them: a command's integer is the code, a usage error is 3."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def refused(command, *arguments):
    """Exit code and what was said on stderr, in one line."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)
    return result.return_value, " ".join(result.stderr.split())


def test_commands_load_nothing_heavy_until_they_are_called():
    script = (
        "import sys, workloads.commands; print({'locust', 'gevent', 'pandas', 'numpy', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_drivers_never_import_locust_into_the_callers_process():
    """Slow: processes of their own import pandas and the drivers."""
    script = (
        "import sys, workloads.drivers.locust.run, workloads.calibration.stalled_server, workloads.drivers.replay.run;"
        "import workloads.drivers.capacity, workloads.results.report;"
        "print({'locust', 'gevent'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_compare_prints_one_json_document_and_judges_groups_only(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", slower=2.0)
    code, output = invoke(of_results.compare, a, b, "--json")
    found = json.loads(output)
    assert (code, found["judged"]) == (0, False)
    assert (found["a"]["name"], found["b"]["name"]) == ("a", "b")
    assert {"verdict", "warnings", "confidence", "metrics"} <= found.keys()
    with pytest.raises(click.UsageError, match="described, not judged"):
        invoke(of_results.compare, a, b, "--fail-if-worse")
    groups = (*[a] * 5, "--against", *[b] * 5)
    code, output = invoke(of_results.compare, *groups, "--json", "--fail-if-worse")
    assert (code, json.loads(output)["judged"], json.loads(output)["a"]["runs"]) == (1, True, ["a"] * 5)
    assert invoke(of_results.compare, *[b] * 5, "--against", *[a] * 5, "--fail-if-worse")[0] == 0
    invalid = make_run(tmp_path / "c", findings=Findings(invalid=["the client is saturated"]))
    assert invoke(of_results.compare, a, invalid)[0] == 2
    for nonsense in ((), (a,), (a, b, a), (a, "--against")):
        with pytest.raises(click.UsageError, match="two runs, or"):
            invoke(of_results.compare, *nonsense)


def test_what_cannot_be_used_is_a_sentence_and_exit_code_3(tmp_path, capsys):
    assert invoke(of_results.compare, tmp_path, tmp_path)[0] == 3
    assert invoke(of_results.report, tmp_path / "nowhere")[0] == 3


def test_runs_lists_verdicts_tags_and_figures_and_says_what_it_cannot_read(tmp_path):
    make_run(tmp_path / "good", about=About(tags=("nightly", "main"), note="before"))
    make_run(tmp_path / "bad", findings=Findings(failed=["a check broke"]))
    killed_run(tmp_path / "killed")
    manifest = json.loads((tmp_path / "killed" / "manifest.json").read_text())
    (tmp_path / "killed" / "manifest.json").write_text(json.dumps(manifest | {"processId": 2**22 + 1}))
    (tmp_path / "photos").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "manifest.json").write_text('{"name": "to')
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "manifest.json").write_text('{"formatVersion": 99}')
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text(
        '{"tags": 5, "commit": "x", "processId": "y", "verdict": "running"}'
    )
    code, output = invoke(of_results.runs, tmp_path, "--json")
    found = json.loads(output)
    assert code == 0
    by_name = {run["name"]: run for run in found["runs"]}
    assert {name: run["verdict"] for name, run in by_name.items()} == {
        "good": "ok",
        "bad": "failed",
        "killed": "unfinished",
        "odd": "unfinished",
    }
    assert (by_name["good"]["tags"], by_name["good"]["note"]) == (["nightly", "main"], "before")
    assert by_name["good"]["requests"] == 400
    assert by_name["bad"]["reasons"] == ["a check broke"]
    unreadable = " ".join(each["reason"] for each in found["unreadable"])
    assert len(found["unreadable"]) == 3
    for part in ("photos is not a result folder", "torn/manifest.json cannot be read", "format version 99"):
        assert part in unreadable
    tagged = json.loads(invoke(of_results.runs, tmp_path, "--tag", "nightly", "--json")[1])
    assert [run["name"] for run in tagged["runs"]] == ["good"]
    assert "good" in invoke(of_results.runs, tmp_path)[1]


def empty_run(folder):
    run = begin_run(folder, Stack("http://127.0.0.1:9"), driver="test", scenario="steady", seed=1, options={})
    run.finish(Findings(), {})
    return folder


def killed_run(folder):
    """As a run leaves it whose process was killed before its first row."""
    begin_run(folder, Stack("http://127.0.0.1:9"), driver="test", scenario="steady", seed=1, options={})
    return folder


@pytest.mark.parametrize("without_rows", [empty_run, killed_run])
def test_a_run_without_rows_is_named_by_what_reads_it_and_exits_2(tmp_path, without_rows):
    good, none = make_run(tmp_path / "good"), without_rows(tmp_path / "none")
    for arguments in ((of_results.compare, good, none), (of_results.compare, none, good), (of_results.report, none)):
        code, said = refused(*arguments)
        assert code == 2
        assert "/none" in said.replace(" ", "")
        assert "nothing was measured" in said


@pytest.mark.parametrize("name", ["requests.parquet", "manifest.json", "summary.json"])
def test_a_folder_that_is_torn_is_a_sentence_and_no_traceback(tmp_path, name):
    good, torn = make_run(tmp_path / "good"), make_run(tmp_path / "torn")
    (torn / name).write_bytes((torn / name).read_bytes()[:20])
    code, said = refused(of_results.compare, good, torn)
    assert code == 3
    assert "cannot be read" in said


def trial(rate, *, requests=100, failures=0, refused=0, holds=True, saturated=False):
    return Trial(rate, 10.0 if holds else 500.0, failures, 0, 1.0, holds, saturated, requests, refused)


@pytest.mark.parametrize(
    ("trials", "verdict", "says"),
    [
        ([trial(100, failures=100, holds=False)], "invalid", "of 100 requests none succeeded: 100 failed"),
        ([trial(100, failures=100, refused=100, holds=False)], "invalid", "none succeeded: 100 refused"),
        ([], "invalid", "nothing was to be done"),
        ([trial(100)], "invalid", "raise --max-rate"),
        ([trial(100), trial(200, holds=False, saturated=True)], "invalid", "the client was the limit"),
        ([trial(100, holds=False)], "failed", "no rate held: at 100/s the latency was 500.0 ms"),
        ([trial(100), trial(200, failures=90, holds=False)], "ok", ""),
    ],
)
def test_a_capacity_run_is_judged_by_the_rate_that_held(trials, verdict, says):
    balanced = {"ok": True, "checks": [{"name": "stock", "ok": True}]}
    found = judge(Evidence(_work(trials), balanced), _findings(trials))
    assert found.verdict == verdict
    assert any(says in reason for reason in found.reasons) or verdict == "ok"


def test_a_route_that_is_quickly_refused_does_not_hold():
    """`capacity get --path /nowhere`: every 404 is quick, and none of them is what was asked for."""
    times = np.arange(100) / 10
    requests = pd.DataFrame({"latency_ms": 1.0, "outcome": ["refused"] * 100, "intended": times})
    found = judge_trial(requests, 10.0, 0.1, CapacityOptions())
    assert (found.holds, found.failures, found.refused) == (False, 100, 100)
    assert judge_trial(requests.assign(outcome="ok"), 10.0, 0.1, CapacityOptions()).holds
    assert not judge_trial(requests.assign(outcome="error"), 10.0, 0.1, CapacityOptions()).holds


def test_capacity_with_nobody_listening_is_invalid(tmp_path):
    arguments = ("get", "--url", "http://127.0.0.1:9", "--runs", tmp_path)
    assert invoke(commands.capacity, *arguments)[0] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["checkout.p99 < 200ms", "checkout.p99", "rate > 5/s", "p99 > 5%", "p99 > x"])
def test_a_threshold_that_cannot_be_asked_is_wrong_usage(tmp_path, text):
    with pytest.raises(click.UsageError, match="--fail-if"):
        invoke(commands.capacity, "get", "--url", "http://127.0.0.1:9", "--runs", tmp_path, "--fail-if", text)


def test_a_stack_that_is_not_there_makes_the_run_invalid(tmp_path, monkeypatch):
    for name in ("HOLDFAST_URL", "HOLDFAST_DATA", "MONGODB_URI"):
        monkeypatch.delenv(name, raising=False)
    trace = tmp_path / "trace.csv"
    trace.write_text("InvoiceNo,StockCode,Quantity,InvoiceDate\n1,A,1,12/1/10 8:00\n")
    for arguments in ((commands.replay, trace), (commands.load, "steady"), (commands.capacity, "availability")):
        assert invoke(*arguments, "--data", tmp_path, "--runs", tmp_path / "runs")[0] == 2


def test_a_bad_trace_is_refused_by_line_and_column(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:9")
    trace = tmp_path / "trace.csv"
    trace.write_text("InvoiceNo,StockCode,Quantity,InvoiceDate\n1,A,x,12/1/10 8:00\n")
    result = CliRunner().invoke(commands.replay, [str(trace), "--json"], standalone_mode=False)
    assert result.return_value == 3
    assert result.stdout == ""
    assert "line 2, column Quantity" in " ".join(result.stderr.split())


def test_the_scenarios_on_the_command_line_are_those_there_are():
    (argument,) = [parameter for parameter in commands.load.params if parameter.name == "scenario"]
    assert list(argument.type.choices) == list(SCENARIOS)


@pytest.mark.slow
def test_a_report_stands_alone_and_begins_with_the_documented_figures(tmp_path):
    """Slow: its pictures are drawn."""
    documented = [{"operation": "product search", "documented": "10x", "measured": 12.5, "holds": True}]
    folder = make_run(tmp_path / "<run> & co", more={"documented": documented}, drop={5})
    code, output = invoke(of_results.report, folder, "--json")
    page = (folder / "report.html").read_text()
    assert code == 0
    assert json.loads(output)["bytes"] == len(page.encode())
    assert page.index("product search") < page.index("Routes") < page.index("<svg")
    assert page.count("<svg") == 4
    assert "&lt;run&gt; &amp; co" in page
    assert "<run> & co" not in page
    outside = [
        word
        for word in page.split()
        if word.startswith(("src=", "href=")) and not word[word.index("=") + 2 :].startswith("#")
    ]
    assert outside == [], "nothing is fetched from anywhere"
    assert 'name="viewport"' in page


def test_a_report_of_a_run_without_answers_is_still_written(tmp_path):
    run = results.load(make_run(tmp_path / "run", rows=3, drop={0, 1, 2}))
    assert "infinite" not in render(run)
    assert write_report(run, tmp_path / "page.html").read_text().count("<svg") == 0


def service(limit, *, client_limit=float("inf")):
    def try_rate(rate):
        holds = rate <= min(limit, client_limit)
        return Trial(rate, 10.0 if holds else 500.0, 0, 0, 1.0, holds, client_saturated=client_limit < rate <= limit)

    return try_rate


@pytest.mark.parametrize("limit", [3, 90, 101, 777, 6_400])
def test_the_search_finds_the_limit_within_its_precision(limit):
    best, trials = search_capacity(service(limit), CapacityOptions(precision=0.05))
    assert limit / 1.06 <= best <= limit
    assert len(trials) <= 24
    assert _findings(trials).reasons == []


def test_a_search_that_the_service_never_stopped_is_invalid():
    best, trials = search_capacity(service(1e9), CapacityOptions(rate_max=1_000))
    assert best == 1_000
    assert "raise --max-rate" in _findings(trials).invalid[0]
    _, trials = search_capacity(service(5_000, client_limit=700), CapacityOptions())
    assert "the client was the limit" in _findings(trials).invalid[0]


def test_a_service_that_holds_nothing_has_no_capacity():
    best, trials = search_capacity(service(0), CapacityOptions())
    assert best == 0
    assert len(trials) < 10
    assert replace(trials[0], holds=False) == trials[0]
