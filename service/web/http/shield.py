"""Unsafe requests run to their end. A client that hangs up cancels its connection's task, which would stop a handler
between two writes; so the handler runs in a task of our own, and a stopping server waits for all of them."""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from service.errors import Problem

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Shield:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result], request_id: str = "") -> Result:
        """The result of `work`, which goes on when the caller is cancelled."""
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_report, request_id=request_id))
            raise

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs beside the request that asked for it."""
        self._start(work).add_done_callback(_report)

    def _start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def drain(self, grace_seconds: float) -> int:
        """Waits for what still runs. Returns how many had to be left behind."""
        if not self._running:
            return 0
        _, left = await asyncio.wait(set(self._running), timeout=grace_seconds)
        return len(left)


def _report(task: asyncio.Task[Any], request_id: str = "") -> None:
    """Nobody waits for the outcome any more. A refusal was an answer; anything else is a fault somebody must see."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, Problem):
        log.error("work went wrong after its client had left", exc_info=error, extra={"requestId": request_id})
