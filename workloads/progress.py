"""Owns how long work shows how far it is: a bar on stderr where a terminal looks at it, a plain line every ten seconds
where none does. Never a control code in what is captured: notebooks call their stderr a terminal, and it is none."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_LINE_SECONDS = 10.0


def terminal_is_watching() -> bool:
    """Whether stderr ends at a real terminal. Asked of the system, not of the stream's own word or FORCE_COLOR."""
    try:
        return os.isatty(sys.stderr.fileno()) and os.environ.get("TERM") != "dumb" and "ipykernel" not in sys.modules
    except (OSError, ValueError, AttributeError):
        return False


def plain_console() -> Console:
    """A console on stderr that moves no cursor and paints nothing where no terminal is watching."""
    watching = terminal_is_watching()
    return Console(
        stderr=True, highlight=False, force_jupyter=False, force_terminal=watching, no_color=None if watching else True
    )


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Yields what to call after each step. At most eight redraws a second, so that drivers stay punctual."""
    if not terminal_is_watching():
        yield _plain_lines(label, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(), refresh_per_second=8, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def spinner(title: str) -> Iterator[None]:
    """Turns while the block lasts, on a terminal; silent elsewhere."""
    if not terminal_is_watching():
        yield
        return
    with plain_console().status(title):
        yield


def say(message: str) -> None:
    """One line of progress to a person."""
    plain_console().print(message, soft_wrap=True)


def _plain_lines(label: str, total: int | None, now: Callable[[], float] = time.monotonic) -> Callable[[], None]:
    done, began, said = 0, now(), now()

    def step() -> None:
        nonlocal done, said
        done += 1
        if now() - said < PLAIN_LINE_SECONDS:
            return
        said = now()
        left = f", about {(total - done) * (said - began) / done:,.0f} s left" if total else ""
        say(f"{label}: {done:,}" + (f" of {total:,}" if total else "") + left)

    return step
