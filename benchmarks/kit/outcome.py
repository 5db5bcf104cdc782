"""What a benchmark hands to the command line: a document for machines, tables for people, and what did not hold."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec
from pymongo.errors import ConnectionFailure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.stack.embedded import EmbeddedError
from workloads.progress import plain_console, terminal_is_watching

CHECK_FAILED, RUN_INVALID = 1, 2


class RunInvalid(Exception):
    """The figures mean nothing: a saturated client, a store out of reach, a measurement that cannot see its subject."""


@dataclass(frozen=True, slots=True)
class Outcome:
    document: dict[str, Any]
    tables: tuple[Table, ...]
    broken: tuple[str, ...] = field(default=())


def show(measure: Callable[[], Outcome], as_json: bool) -> None:
    """Runs a measurement, prints it, and ends the process with the contract's exit code."""
    with invalid_runs_reported():
        outcome = measure()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcome.document), indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 160)
        for rendered in outcome.tables:
            console.print(rendered)
    for sentence in outcome.broken:
        click.echo(f"does not hold: {sentence}", err=True)
    if outcome.broken:
        sys.exit(CHECK_FAILED)


@contextmanager
def invalid_runs_reported() -> Iterator[None]:
    """Ends the process with 2, and the reason on stderr, when the run means nothing."""
    try:
        yield
    except (RunInvalid, EmbeddedError, ConnectionFailure) as error:
        click.echo(f"run invalid: {error}", err=True)
        sys.exit(RUN_INVALID)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """The first column is a name, the rest are figures."""
    drawn = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        drawn.add_row(*(figure(cell) for cell in row))
    return drawn


def figure(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1_000 else f"{cell:,.3g}" if abs(cell) < 10 else f"{cell:,.1f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


@contextmanager
def progress(title: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal's stderr, silence elsewhere; call it with the name of each step that is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=plain_console(), transient=True, disable=not terminal_is_watching()) as bar:
        task = bar.add_task(title, total=steps)
        yield lambda step: bar.update(task, advance=1, description=f"{title}: {step}")
