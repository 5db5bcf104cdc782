"""The documented schema of the result folder and what is written stay together; captured output is plain."""

import io
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from workloads import progress
from workloads.client.recorder import Recorder
from workloads.client.running_stack import Stack
from workloads.model import outcomes
from workloads.results import reader
from workloads.results.run_folder import DOCUMENTS, Findings, begin_run

REPOSITORY = Path(__file__).parents[3]
DOC = (REPOSITORY / "docs" / "workbench" / "result-folder.md").read_text()


def documented(section: str) -> set[str]:
    """The keys in the first column of the section's table."""
    table = DOC.split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    books = {"ok": True, "checks": [{"name": "stock_is_conserved", "ok": True}]}
    monkeypatch.setattr("workloads.results.run_folder.audit", lambda stack: books)
    run = begin_run(tmp_path / "run", Stack("http://127.0.0.1:9"), driver="x", scenario="x", seed=1, options={})
    recorder = Recorder(run.writer())
    recorder.row(0.0, 0.0, 0.25, "checkout", 201, "ok", 10)
    recorder.flush()
    run.finish(Findings(), {})
    return tmp_path / "run"


def test_every_key_that_is_written_is_documented_and_the_other_way_round(folder):
    assert set(reader.load_manifest(folder)) == documented("manifest.json")
    of_drivers = {"client", "invoices", "matching", "attribution", "capacity", "locust", "scenario"}
    assert set(reader.load(folder).summary) == documented("summary.json") - of_drivers
    assert f"format version {reader.FORMAT_VERSION}\n" in DOC


def test_the_rows_are_documented_by_column_and_outcome(folder):
    section = DOC.split("## requests.parquet\n")[1].split("\n## ")[0]
    for name in pd.read_parquet(folder / "requests.parquet").columns:
        assert f"`{name}`" in section
    for outcome in outcomes.ALL:
        assert outcome in section
    assert all(name in DOC for name in DOCUMENTS)


class Pretender(io.StringIO):
    """A notebook's stderr: it calls itself a terminal, and is none."""

    def isatty(self):
        return True


def test_what_is_captured_holds_no_control_code_whatever_calls_itself_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(sys, "stderr", captured := Pretender())
    with progress.progress_bar("signing in", 3) as step, progress.spinner("starting"):
        for _ in range(3):
            step()
    progress.say("[green]everything runs[/] at http://127.0.0.1:1")
    assert captured.getvalue() == "everything runs at http://127.0.0.1:1\n"


def test_long_work_says_where_it_is_in_plain_lines(capsys):
    clock = iter(range(0, 1_000, 4))
    step = progress._plain_lines("signing in", 100, now=lambda: float(next(clock)))
    for _ in range(10):
        step()
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6
    assert re.match(r"signing in: \d+ of 100, about [\d,]+ s left", lines[0])


@pytest.mark.parametrize("notebook", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_stored_output_holds_control_codes(notebook):
    assert "\\u001b[" not in notebook.read_text()
