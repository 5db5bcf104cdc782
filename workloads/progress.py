"""Owns the progress bars: on stderr, and only where a terminal looks at it, so that piped output stays clean."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Yields what to call after each step. At most eight redraws a second, so that drivers stay punctual."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with Progress(*columns, console=console, refresh_per_second=8, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def say(message: str) -> None:
    """One line of progress to a person."""
    Console(stderr=True, highlight=False).print(message, soft_wrap=True)
