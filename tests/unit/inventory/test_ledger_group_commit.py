"""Calls that wait are answered together, each with its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from service.errors import Unavailable
from service.infra.batcher import Batcher


class Desk:
    """Doubles numbers, one batch at a time, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()

    async def double(self, batch: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(batch))
        await self.open.wait()
        if 0 in batch:
            raise ZeroDivisionError
        return [ValueError(n) if n < 0 else n * 2 for n in batch]


async def waiting(group: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(group(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_call_runs_at_once_and_alone():
    desk = Desk()
    desk.open.set()
    assert await Batcher(desk.double, items_max=10, waiting_max=10)(21) == 42
    assert desk.batches == [[21]]


async def test_calls_gather_while_a_batch_runs():
    desk = Desk()
    group = Batcher(desk.double, items_max=10, waiting_max=10)
    tasks = await waiting(group, 1)
    await asyncio.sleep(0)
    tasks += await waiting(group, 2, 3)
    desk.open.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert desk.batches == [[1], [2, 3]]
    assert (group.batches, group.items) == (2, 3)


async def test_whoever_is_ready_a_turn_of_the_loop_later_comes_along():
    desk = Desk()
    desk.open.set()
    group = Batcher(desk.double, items_max=10, waiting_max=10)

    async def after_a_turn() -> int:
        await asyncio.sleep(0)
        return await group(2)

    assert await asyncio.gather(group(1), after_a_turn()) == [2, 4]
    assert desk.batches == [[1, 2]]


async def test_one_refusal_is_raised_to_its_own_caller():
    desk = Desk()
    group = Batcher(desk.double, items_max=10, waiting_max=10)
    tasks = await waiting(group, 1, -2, 3)
    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [2, 6]
    assert isinstance(answers[1], ValueError)


async def test_a_failed_batch_fails_its_callers_and_no_others():
    desk = Desk()
    group = Batcher(desk.double, items_max=2, waiting_max=10)
    tasks = await waiting(group, 1, 0, 3)
    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError, int]


async def test_a_caller_that_gives_up_does_not_stop_its_item_or_its_neighbours():
    desk = Desk()
    group = Batcher(desk.double, items_max=10, waiting_max=10)
    gone, stays = await waiting(group, 1, 2)
    await asyncio.sleep(0)
    gone.cancel()
    desk.open.set()
    assert await stays == 4
    assert desk.batches == [[1, 2]]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_batch_is_bounded_by_items_and_by_weight():
    desk = Desk()
    desk.open.set()
    group = Batcher(desk.double, items_max=3, waiting_max=99, weight_max=10, weigh=lambda n: n)
    await asyncio.gather(*(group(n) for n in [1, 1, 1, 1, 6, 6, 50, 1]))
    assert desk.batches == [[1, 1, 1], [1, 6], [6], [50], [1]]


async def test_too_many_waiting_are_refused_at_once():
    desk = Desk()
    group = Batcher(desk.double, items_max=1, waiting_max=2)
    tasks = await waiting(group, 1)
    await asyncio.sleep(0)
    tasks += await waiting(group, 2, 3)
    with pytest.raises(Unavailable) as refused:
        await group(4)
    assert refused.value.retry_after_seconds == 1
    desk.open.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_draining_waits_for_all_that_was_accepted():
    desk = Desk()
    group = Batcher(desk.double, items_max=1, waiting_max=9)
    tasks = await waiting(group, 1, 2)
    asyncio.get_running_loop().call_later(0.01, desk.open.set)
    await group.drain()
    assert [task.done() for task in tasks] == [True, True]


async def test_a_loop_that_stops_leaves_nobody_waiting():
    """A cancelled runner answers those of its batch and those behind it."""
    desk = Desk()
    group = Batcher(desk.double, items_max=1, waiting_max=9)
    tasks = await waiting(group, 1, 2)
    await asyncio.sleep(0)
    assert group._runner is not None
    group._runner.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
