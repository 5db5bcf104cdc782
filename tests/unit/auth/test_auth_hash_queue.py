"""Password hashes are queued fairly: whoever sends many log-ins waits for his own."""

import asyncio
import threading
import time
from functools import partial

import pytest

from service.auth.hash_queue import Asker, HashQueue
from service.config import Config
from service.errors import TooMany, Unavailable


async def served(queue: HashQueue, askers: list[Asker]) -> list[str]:
    """The addresses in the order in which their work was done; all of them ask while the one thread is busy."""
    order: list[str] = []
    busy = threading.Event()
    first = asyncio.create_task(queue.run(busy.wait, Asker("first")))
    await asyncio.sleep(0)

    def work(asker: Asker) -> None:
        order.append(asker.address)

    waiting = [asyncio.create_task(queue.run(partial(work, asker), asker)) for asker in askers]
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(first, *waiting)
    return order


def queue_of(**settings: float) -> HashQueue:
    return HashQueue(Config(bcrypt_threads=1, **settings))  # type: ignore[arg-type]


async def test_an_address_with_one_login_does_not_wait_for_one_with_many() -> None:
    flood = [Asker(f"attacker-{n % 3}") for n in range(30)]
    order = await served(queue_of(), [*flood, Asker("customer")])
    assert order.index("customer") <= 3


async def test_a_known_device_is_served_before_strangers_and_does_not_starve_them() -> None:
    strangers = [Asker(f"stranger-{n}") for n in range(20)]
    order = await served(queue_of(), [*strangers, *(Asker(f"known-{n}", known=True) for n in range(20))])
    assert sum(name.startswith("known") for name in order[:8]) == 6
    assert sum(name.startswith("stranger") for name in order[:8]) == 2


async def test_an_address_has_a_bounded_number_of_places() -> None:
    queue, busy = queue_of(passwords_waiting_per_address_max=3), threading.Event()
    running = asyncio.create_task(queue.run(busy.wait, Asker("a")))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(queue.run(lambda: None, Asker("a"))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as refused:
        await queue.run(lambda: None, Asker("a"))
    assert refused.value.retry_after_seconds
    busy.set()
    await asyncio.gather(running, *waiting)


async def test_in_a_full_queue_the_newest_of_the_longest_line_makes_room() -> None:
    queue, busy = queue_of(passwords_waiting_max=4), threading.Event()
    running = asyncio.create_task(queue.run(busy.wait, Asker("a")))
    await asyncio.sleep(0)
    flood = [asyncio.create_task(queue.run(lambda: None, Asker("a"))) for _ in range(4)]
    await asyncio.sleep(0)
    customer = asyncio.create_task(queue.run(lambda: "served", Asker("b")))
    await asyncio.sleep(0)
    busy.set()
    assert await customer == "served"
    outcomes = await asyncio.gather(running, *flood, return_exceptions=True)
    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, False, False, False, True]


async def test_nobody_waits_longer_than_the_bound() -> None:
    queue, busy = queue_of(password_wait_seconds_max=0.05), threading.Event()
    running = asyncio.create_task(queue.run(busy.wait, Asker("a")))
    await asyncio.sleep(0)
    before = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        await queue.run(lambda: None, Asker("b"))
    assert time.monotonic() - before < 1
    assert refused.value.retry_after_seconds
    busy.set()
    await running
    assert await queue.run(lambda: "free again", Asker("b")) == "free again"


async def test_a_client_that_hangs_up_gives_its_place_back() -> None:
    queue, busy = queue_of(), threading.Event()
    running = asyncio.create_task(queue.run(busy.wait, Asker("a")))
    await asyncio.sleep(0)
    gone = [asyncio.create_task(queue.run(lambda: None, Asker("b"))) for _ in range(5)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    busy.set()
    await running
    await asyncio.gather(*gone, return_exceptions=True)
    assert await asyncio.wait_for(queue.run(lambda: "served", Asker("c")), 5) == "served"
