"""The log of many runs: it says what the runs say, survives what stops them, and is gone on with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from workloads.simulation import commands, run_log
from workloads.simulation.run_log import read_log

REPOSITORY = Path(__file__).parents[2]
SALE = ("flash-sale", "--faults", "--seed", "5")


def run(log: Path, *more: str) -> Result:
    return CliRunner().invoke(commands.simulate, [*SALE, "--seeds", "4", "--json", "--log", str(log), *more])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """What four runs come to, and the lines of their log."""
    log = tmp_path_factory.mktemp("whole") / "runs.jsonl"
    return json.loads(run(log).stdout), log.read_text().splitlines(keepends=True)


def test_a_log_has_a_line_for_every_seed_with_its_digest_and_counts(
    whole: tuple[dict[str, Any], list[str]], tmp_path: Path
) -> None:
    document, lines = whole
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(lines))
    records = read_log(log)
    assert [record["seed"] for record in records] == [5, 6, 7, 8]
    assert sum(record["orders"] for record in records) == document["orders"]
    again = CliRunner().invoke(commands.simulate, [*SALE, "--json"])
    assert json.loads(again.stdout)["digest"] == records[0]["digest"]


def test_a_run_that_was_killed_goes_on_after_its_last_whole_line_and_ends_alike(
    whole: tuple[dict[str, Any], list[str]], tmp_path: Path
) -> None:
    document, lines = whole
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(lines[:3]) + lines[3][:40])
    resumed = json.loads(run(log).stdout)
    assert [record["seed"] for record in read_log(log)] == [5, 6, 7, 8]
    assert resumed["digest"] == document["digest"]
    assert (resumed["seeds"], resumed["orders"], resumed["faults"]) == (4, document["orders"], document["faults"])
    assert log.read_text().splitlines(keepends=True)[1:3] == lines[1:3]


def test_a_log_of_another_run_is_not_gone_on_with(whole: tuple[dict[str, Any], list[str]], tmp_path: Path) -> None:
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(whole[1]))
    result = CliRunner().invoke(commands.simulate, ["flash-sale", "--seeds", "4", "--seed", "5", "--log", str(log)])
    assert result.exit_code == 2
    assert "is the log of" in result.output


def test_a_log_becomes_a_figure(
    whole: tuple[dict[str, Any], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(whole[1]))
    run_log.main(log)
    picture = capsys.readouterr().out
    assert picture.startswith("<svg")
    assert "</svg>" in picture


def test_the_help_of_the_simulation_loads_neither_pandas_nor_the_service() -> None:
    program = "import sys, workloads.simulation.commands; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"pandas", "numpy", "scipy", "mongomock", "pymongo", "sanic", "service"} & set(run.stdout.split())


def test_a_flash_sale_loads_no_pandas() -> None:
    program = "import sys, workloads.simulation.scenarios; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"pandas", "numpy", "scipy"} & set(run.stdout.split())
