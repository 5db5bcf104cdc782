"""`holdfast`: one command line. Sub-commands are loaded by name when they are called, so `--help` and `up` never pay
for pandas, and the service never imports the workbench."""

import importlib.util
import os
import re
import sys
from importlib import metadata
from typing import Any, NamedTuple

import click

from service.config import ConfigError, read_secret_files


class Listing(NamedTuple):
    """A command of the table: where it is, and what `--help` says of it without loading it."""

    target: str
    says: str


COMMANDS = {
    "up": Listing("service.up:up", "Run the whole stack in the foreground until Ctrl-C."),
    "migrate": Listing("service.migrate:migrate", "Bring indexes and schema to this version."),
    "restored": Listing("service.restored:restored", "Tell everybody that an older backup was put back."),
    "seed": Listing(
        "benchmarks.seeding.command:seed", "Fill the running stack with products, stock, users and orders."
    ),
    "admin": Listing("service.commands:admin", "Manage administrators and the keys of services."),
    "jobs": Listing("service.commands:jobs", "Run background jobs by hand."),
    "audit": Listing("service.commands:audit", "Check the books: stock, holds, orders and money agree."),
    "indexes": Listing("service.commands:indexes", "Prove each index by the server's own plan."),
    "bench": Listing("benchmarks.commands:bench", "Measure: each benchmark starts and stops the servers it needs."),
    "budgets": Listing("benchmarks.commands:budgets", "Judge what benchmarks/budgets.toml declares."),
    "load": Listing("workloads.commands:load", "Let shoppers loose on the shop with locust."),
    "trace": Listing("workloads.commands:trace_group", "Look at a trace, or bring it into the standard form."),
    "replay": Listing("workloads.commands:replay", "Replay the invoices of a trace, open loop."),
    "compare": Listing("workloads.results.commands:compare", "Compare runs, one beside another or in groups."),
    "runs": Listing("workloads.results.commands:runs", "List the result folders: name, tags, verdict and key figures."),
    "report": Listing("workloads.results.commands:report", "Write one self-contained HTML page about a run."),
    "capacity": Listing("workloads.commands:capacity", "Search for the highest rate within a latency target."),
    "history": Listing("workloads.results.commands:history", "Follow one figure over all runs in a folder."),
    "stalled": Listing("workloads.commands:stalled", "A stalled server seen by locust and the open loop."),
    "client-bench": Listing("workloads.commands:client_bench", "How punctual the generator is, and what it costs."),
    "simulate": Listing("workloads.simulation.commands:simulate", "Run the real use cases in virtual time, and audit."),
    "scale": Listing("workloads.scale_model.command:scale", "How far more processes, shards and SKUs go."),
    "torture": Listing("workloads.torture:torture", "Break the real stack under load, and audit it."),
    "demo": Listing("workloads.demo.command:demo", "The whole product in a few minutes."),
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
        module, attribute = COMMANDS[name].target.split(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            raise click.ClickException(f"`holdfast {name}` needs {_instead_of(missing.name or '')}") from missing
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _said_of(entry)) for name, entry in COMMANDS.items()])


def _said_of(entry: Listing) -> str:
    package = entry.target.partition(".")[0]
    return entry.says if importlib.util.find_spec(package) else f"needs {_instead_of(package)}"


@click.group(cls=LazyGroup)
@click.version_option(package_name="holdfast")
def holdfast() -> None:
    """Stock that is never sold twice, and the workbench that proves it."""


def main(arguments: list[str] | None = None) -> Any:
    """Exit codes: 0 ok · 1 a check or budget failed · 2 the run is invalid · 3 wrong usage."""
    try:
        read_secret_files(os.environ)
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
