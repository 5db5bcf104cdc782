"""`holdfast`: one command line. Sub-commands are loaded by name when they are called, so `--help` and `up` never pay
for pandas, and the service never imports the workbench."""

import importlib
import re
import sys
from importlib import metadata
from typing import Any

import click

from service.config import ConfigError

COMMANDS = {
    "up": "service.up:up",
    "migrate": "service.migrate:migrate",
    "restored": "service.restored:restored",
    "seed": "benchmarks.seeding.command:seed",
    "admin": "service.commands:admin",
    "jobs": "service.commands:jobs",
    "audit": "service.commands:audit",
    "indexes": "service.commands:indexes",
    "bench": "benchmarks.commands:bench",
    "budgets": "benchmarks.commands:budgets",
    "load": "workloads.commands:load",
    "trace": "workloads.commands:trace_group",
    "replay": "workloads.commands:replay",
    "compare": "workloads.results.commands:compare",
    "runs": "workloads.results.commands:runs",
    "report": "workloads.results.commands:report",
    "capacity": "workloads.commands:capacity",
    "history": "workloads.results.commands:history",
    "stalled": "workloads.commands:stalled",
    "client-bench": "workloads.commands:client_bench",
    "simulate": "workloads.simulation.commands:simulate",
    "scale": "workloads.scale_model.command:scale",
    "torture": "workloads.torture:torture",
    "demo": "workloads.demo.command:demo",
}
OURS = {"service", "workloads", "benchmarks"}
WRONG_USAGE, INTERRUPTED = 3, 130


def _instead_of(module: str) -> str:
    """What to install for a module that is not here: the extra that brings it, or the workbench, which the image of the
    service leaves out."""
    package = module.partition(".")[0]
    if package in OURS:
        return f"{module}, which this installation leaves out: run it from the image holdfast-load or a checkout"
    wanted = re.compile(rf"{re.escape(package).replace('_', '[-_]')}(?![\w-]).*extra == [\"'](\w+)[\"']", re.IGNORECASE)
    extras = {found[1] for found in map(wanted.match, metadata.requires("holdfast") or ()) if found}
    named = ",".join(sorted(extras - {"dev"} or {"local", "load"}))
    return f"{module}: install the extra, `pip install 'holdfast[{named}]'`"


class LazyGroup(click.Group):
    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            raise click.ClickException(f"`holdfast {name}` needs {_instead_of(missing.name or '')}") from missing
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in COMMANDS:
            try:
                command = self.get_command(context, name)
            except click.ClickException as error:
                rows.append((name, error.message))
                continue
            rows.append((name, command.get_short_help_str(100) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup)
@click.version_option(package_name="holdfast")
def holdfast() -> None:
    """Stock that is never sold twice, and the workbench that proves it."""


def main(arguments: list[str] | None = None) -> Any:
    """Exit codes: 0 ok · 1 a check or budget failed · 2 the run is invalid · 3 wrong usage."""
    try:
        code = holdfast.main(arguments, standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(WRONG_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(WRONG_USAGE)
    except click.Abort:
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
