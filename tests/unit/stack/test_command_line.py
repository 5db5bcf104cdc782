"""`holdfast` in an installation that lacks a part: the help is shown, and each command says what it needs."""

import importlib
import importlib.util
import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from service import cli


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An installation without some packages."""
    found, found_spec = importlib.import_module, importlib.util.find_spec

    def leave_out(*packages: str) -> None:
        def import_module(name: str, package: str | None = None) -> Any:
            for left_out in packages:
                if name == left_out or name.startswith(f"{left_out}."):
                    raise ModuleNotFoundError(f"No module named {left_out!r}", name=left_out)
            return found(name, package)

        def find_spec(name: str) -> Any:
            return None if name in packages else found_spec(name)

        monkeypatch.setattr(importlib, "import_module", import_module)
        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return leave_out


def test_the_image_of_the_service_shows_its_help_and_says_where_the_workbench_is(without: Any) -> None:
    without("workloads", "benchmarks")
    shown = CliRunner().invoke(cli.holdfast, ["--help"])
    assert shown.exit_code == 0, shown.output
    assert "Run the whole stack" in shown.output
    assert "holdfast-load" in shown.output
    refused = CliRunner().invoke(cli.holdfast, ["seed"])
    assert refused.exit_code == 1
    assert "benchmarks, which this installation leaves out" in refused.output
    assert "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("module", "extra"),
    [("pandas", "load"), ("mongomock_motor", "load"), ("papermill", "notebooks"), ("unheard_of", "load,local")],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(module: str, extra: str) -> None:
    assert cli._instead_of(f"{module}.core").endswith(f"'holdfast[{extra}]'`")


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = (
        "import sys; from service.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert not {"pandas", "sanic", "pymongo", "workloads"} & {each.partition(".")[0] for each in done.stderr.split()}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_that_is_listed_is_there(name: str) -> None:
    module, attribute = cli.COMMANDS[name].target.split(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
