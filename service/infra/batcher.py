"""Calls that wait are answered together: while one batch runs, the next one gathers.

No timer and no idle task: a lone call runs at once, alone. Under load a batch grows by itself to whatever arrived
while the last one was committing, and to what the event loop is about to hand over. The same class serves commits
(the ledger) and reads (availability, prices).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from service.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """`commit` takes a batch and returns one result per item, in order; an exception as a result is raised to its
    caller alone. What `commit` raises is raised to every caller of that batch."""

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        items_max: int,
        waiting_max: int,
        weight_max: int | None = None,
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._commit, self._weigh = commit, weigh
        self._items_max, self._weight_max, self._waiting_max = items_max, weight_max or items_max, waiting_max
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self.batches = 0
        self.items = 0

    async def __call__(self, item: Item) -> Result:
        """A caller that is cancelled stops waiting; its item is carried out all the same."""
        if len(self._waiting) >= self._waiting_max:
            raise Unavailable("Too many requests are waiting", retry_after_seconds=1)
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await done

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def drain(self) -> None:
        """Waits until nothing waits and nothing runs."""
        while self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # a turn of the loop: whoever is ready by now comes along
                await self._run_batch(self._take())
        finally:
            self._runner = None
            self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        """Of those still waiting when the loop stops: nothing of theirs was done."""
        while self._waiting:
            _, done = self._waiting.popleft()
            if not done.done():
                done.set_exception(Unavailable("The service is stopping"))

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch, weight = [self._waiting.popleft()], 0
        weight = self._weigh(batch[0][0])
        while self._waiting and len(batch) < self._items_max:
            weight += self._weigh(self._waiting[0][0])
            if weight > self._weight_max:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _run_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        self.batches += 1
        self.items += len(batch)
        try:
            results = await self._commit([item for item, _ in batch])
        except BaseException as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(
                        error if isinstance(error, Exception) else Unavailable("The service is stopping")
                    )
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), result in zip(batch, results, strict=True):
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
