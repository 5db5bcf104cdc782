import asyncio
import contextvars
import subprocess
import sys

import pytest

from workloads.simulation.world import loop as simulation_loop
from workloads.simulation.world.loop import Deadlock, Group, SimulationLoop, run


async def _workers(count: int) -> list[int]:
    order: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(1)
        order.append(number)

    await asyncio.gather(*(work(number) for number in range(count)))
    return order


def test_the_same_seed_gives_the_same_order() -> None:
    assert run(7, lambda: _workers(20)) == run(7, lambda: _workers(20))


def test_other_seeds_give_other_orders() -> None:
    assert len({tuple(run(seed, lambda: _workers(20))) for seed in range(50)}) == 50


def test_every_order_of_three_tasks_is_reached() -> None:
    assert len({tuple(run(seed, lambda: _workers(3))) for seed in range(100)}) == 6


def test_a_virtual_year_costs_nothing() -> None:
    async def year() -> float:
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    assert run(1, year) == 365 * 86_400


def test_timers_fire_in_the_order_of_their_time() -> None:
    async def sleepers() -> list[float]:
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(seconds)

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2)))
        return woken

    assert run(5, sleepers) == [1, 2, 3]


def test_a_wait_that_can_never_end_is_a_deadlock() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="forever"):
        run(1, forever)


def test_tasks_that_keep_each_other_busy_are_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_loop, "LIVELOCK_STEPS", 1000)

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - being busy for nothing is the point
            await asyncio.sleep(0)

    with pytest.raises(simulation_loop.Livelock, match="spin"):
        run(1, spin)


def test_timeouts_work_in_virtual_time() -> None:
    async def impatient() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert run(1, impatient) == 30


def test_nothing_of_a_killed_group_runs_again_not_even_finally() -> None:
    ran: list[str] = []

    async def victim() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ran.append("finally")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        group = Group("victim")
        context = contextvars.copy_context()
        context.run(simulation_loop.GROUP.set, group)
        task = loop.create_task(victim(), context=context)
        await asyncio.sleep(1)
        loop.bury(group)
        await asyncio.sleep(100)
        assert ran == []
        assert not task.done()

    run(3, main)


def test_a_paused_group_goes_on_where_it_stood_once_its_time_has_come() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        group = Group("paused")
        context = contextvars.copy_context()
        context.run(simulation_loop.GROUP.set, group)

        async def sleeper() -> float:
            await asyncio.sleep(1)
            return loop.time()

        task = loop.create_task(sleeper(), context=context)
        await asyncio.sleep(0.5)
        group.paused_until = 20
        woken_at: float = await task
        return woken_at

    assert run(3, main) == 20


def test_the_order_does_not_depend_on_the_hash_seed_of_the_process() -> None:
    program = """
import asyncio
from workloads.simulation.world.loop import run

async def main():
    order = []
    async def work(name):
        try:
            await asyncio.sleep(1)
            order.append(name)
            if name == "c":
                raise ValueError
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            order.append("cancelled " + name)
    try:
        async with asyncio.TaskGroup() as group:
            for name in "abcdefgh":
                group.create_task(work(name))
    except* ValueError:
        pass
    done, _ = await asyncio.wait([asyncio.create_task(work(name)) for name in "xyz"])
    return order
print(run(11, main))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
