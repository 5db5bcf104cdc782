"""Unsafe requests run to their end. A client that hangs up cancels its connection's task, which would stop a handler
between two writes; so the handler runs in a task of our own, and a stopping server waits for all of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Shield:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`, which goes on when the caller is cancelled."""
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Runs beside the request. An exception nobody awaits is reported by the loop."""
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
