"""Owns how a command takes a trace: the options such commands share, and the sentence when it cannot be used."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from workloads.trace_names import KNOWN

F = TypeVar("F", bound=Callable[..., Any])
TRACE_HELP = f"A retail trace: {', '.join(KNOWN)}, or the path of a file."
COLUMNS_HELP = "InvoiceNo=order,StockCode=item,… where the file's columns have other names."

columns_option: Callable[[F], F] = click.option("--columns", help=COLUMNS_HELP)


class UnusableTrace(click.ClickException):
    """One sentence, with line and column where there are any; wrong usage in the commands contract."""

    exit_code = 3


@contextmanager
def trace_faults_told() -> Iterator[None]:
    """Turns whatever is wrong with a trace into its sentence and exit code 3."""
    from workloads.trace_table import TraceError

    try:
        yield
    except TraceError as error:
        raise UnusableTrace(str(error)) from error


def check_trace(trace: str, columns: str | None) -> None:
    """For commands that hand a trace on to others: told before anything is started. Raises TraceError."""
    from workloads.trace import parse_columns, read_trace

    read_trace(trace, parse_columns(columns), limit=1)
