"""Owns how a run ends before its time: by Ctrl-C, SIGTERM, a threshold of the user's own, or a full disk. Whoever asks
first gives the reason; the driver stops starting, and what was measured until then is written as always."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from workloads.results.verdict import Findings

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMES = {signal.SIGINT: "Ctrl-C (SIGINT)", signal.SIGTERM: "SIGTERM"}
INTERRUPTED, FAILED, INVALID = "interrupted", "failed", "invalid"


class Ended(Exception):
    """The run was ended before this came to its own end."""


class Ending:
    """The early end of one run. A second signal is raised as KeyboardInterrupt: for who does not want to wait."""

    def __init__(self) -> None:
        self.kind, self.reason = "", ""
        self._on_end: list[Callable[[], object]] = []

    def __bool__(self) -> bool:
        return bool(self.kind)

    def end(self, kind: str, reason: str) -> None:
        if self.kind:
            return
        self.kind, self.reason = kind, reason
        for wake in list(self._on_end):
            wake()

    @contextmanager
    def calls(self, wake: Callable[[], object]) -> Iterator[None]:
        """Calls `wake` when the run is to end; at once if it already is."""
        self._on_end.append(wake)
        if self.kind:
            wake()
        try:
            yield
        finally:
            self._on_end.remove(wake)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run. Only a process's main thread can be told by signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def unless_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Raises Ended, and cancels it, when the run is ended first. Being cancelled costs the
        work nothing; asking a flag for every arrival would."""
        task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
        try:
            with self.calls(lambda: loop.call_soon_threadsafe(task.cancel)):
                return await task
        except asyncio.CancelledError:
            if not self or not task.cancelled():
                task.cancel()
                raise
            raise Ended from None

    def add_to(self, findings: Findings) -> None:
        if self.kind:
            getattr(findings, self.kind).insert(0, self.reason)

    def _on_signal(self, number: int, _: object) -> None:
        if self.kind == INTERRUPTED:
            raise KeyboardInterrupt
        self.end(INTERRUPTED, f"interrupted by {NAMES[signal.Signals(number)]}: what was measured until then is kept")
