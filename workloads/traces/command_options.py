"""Owns the options of every command that takes a trace: what a user can say about a file that does not say it itself.
Light to import: pandas is loaded when a trace is read."""

import functools
import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from workloads.traces.faults import TraceError
from workloads.traces.names import KNOWN
from workloads.traces.options import RETURNS_HELP, ReadOptions, parse_join, parse_returns

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
TRACE_HELP = f"A retail trace: {', '.join(KNOWN)}, or the path of a file."
_COLUMNS_HELP = (
    "InvoiceNo=order,StockCode=item,… where the file's columns have other names; also CustomerID='guest', "
    "UnitPrice=value/quantity, InvoiceDate=Date+Time."
)
_OPTIONS = (
    click.option("--columns", help=_COLUMNS_HELP),
    click.option("--join", "joins", multiple=True, metavar="FILE:KEY[=KEY]", help="Columns of a second file, by key."),
    click.option("--day-first/--month-first", default=None, help="What 5/1 is, where the dates do not tell."),
    click.option("--decimal-comma", "decimal", flag_value="comma", help="1.234,50 is a thousand and more."),
    click.option("--decimal-point", "decimal", flag_value="point", help="1,234.50 is a thousand and more."),
    click.option("--returns", metavar="RULE", help=f"What comes back: {RETURNS_HELP}."),
    click.option("--encoding", help="Of a text that is neither UTF-8 nor UTF-16, like shift_jis."),
    click.option("--month", help="Only this month of the trace, like 2017-12."),
    click.option("--limit", type=click.IntRange(min=1), help="Only so many invoices."),
    click.option("--spread/--no-spread", default=None, help="Spread invoices of one minute, or of one day, evenly."),
    click.option("--drop-bad-rows", is_flag=True, help="Leave out rows that cannot be mended, and count them."),
    click.option("--drop-duplicates", is_flag=True, help="Leave out rows that repeat an earlier one exactly."),
    click.option("--attribution", help="To whom the data is owed; goes into every result."),
)
_NAMES = (
    "columns", "joins", "day_first", "decimal", "returns", "encoding", "month", "limit", "spread", "drop_bad_rows",
    "drop_duplicates", "attribution",
)  # fmt: skip


class TraceRefused(click.ClickException):
    """A trace that cannot be used is wrong usage: one sentence, exit code 3."""

    exit_code = 3


def trace_options(function: F) -> F:
    """Adds the options; the command gets them together as `said`, for `read_options`."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, said={name: options.pop(name) for name in _NAMES}, **options)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command  # type: ignore[return-value]


def read_options(said: dict[str, Any]) -> ReadOptions:
    """Raises TraceError for what cannot be meant."""
    from workloads.traces.columns import parse_columns

    chosen = dict(said)
    chosen["columns"] = parse_columns(said["columns"])
    chosen["joins"] = tuple(parse_join(text) for text in said["joins"])
    chosen["returns"] = parse_returns(said["returns"]) if said["returns"] else None
    return ReadOptions(**chosen)


def guarded(action: Callable[[], T]) -> T:
    """What the action returns; its TraceError as a sentence and exit code 3."""
    try:
        return action()
    except TraceError as error:
        raise TraceRefused(str(error)) from None


def as_arguments(said: Mapping[str, Any]) -> str:
    """The options as somebody would type them."""
    return shlex.join(as_words(said))


def as_words(said: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in said.items():
        flag = "--" + name.replace("_", "-")
        if name == "joins":
            words += [word for text in value for word in ("--join", text)]
        elif name == "decimal" and value:
            words.append(f"--decimal-{value}")
        elif name == "day_first" and value is not None:
            words.append("--day-first" if value else "--month-first")
        elif isinstance(value, bool):
            words += [flag] if value else ["--no-spread"] if name == "spread" else []
        elif value is not None:
            words += [flag, str(value)]
    return words
