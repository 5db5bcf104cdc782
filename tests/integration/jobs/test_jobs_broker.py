"""The queue on real Redis: acknowledged, taken over, and alive after whatever happens to Redis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis
from redis.asyncio import Redis
from taskiq import AckableMessage

from service.clock import SystemClock
from service.config import Config
from service.jobs.broker import GROUP, STREAM, JobQueue, StreamBroker
from service.jobs.runner import QueueDown


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Redis]:
    async with Redis.from_url(config.redis_url) as opened:
        yield opened


class Runner:
    async def execute(self, run_id: str) -> None:
        raise AssertionError("only a receiver executes")


class Worker:
    """A broker that listens, as a worker's does."""

    def __init__(self, config: Config, name: str, **changes: float) -> None:
        self.broker = StreamBroker(replace(config, app_name=name, **changes), SystemClock())  # type: ignore[arg-type]
        self.queue = JobQueue(self.broker)
        self.queue.register(["tidy"], Runner())  # type: ignore[arg-type]
        self.messages = self.broker.listen()

    async def next(self) -> tuple[str, AckableMessage]:
        """The run's id, and the message itself."""
        async with asyncio.timeout(5):
            message = await anext(self.messages)
        return self.broker.formatter.loads(message.data).args[0], message

    async def ack(self, message: AckableMessage) -> None:
        await message.ack()  # type: ignore[misc]

    async def close(self) -> None:
        await self.messages.aclose()
        await self.broker.leave()


@pytest.fixture
async def worker(config: Config) -> AsyncIterator[Worker]:
    made = Worker(config, "worker-1")
    await made.broker.startup()
    yield made
    await made.close()


async def test_what_was_sent_before_the_first_worker_came_is_not_lost(config: Config, worker: Worker) -> None:
    await worker.queue.send("tidy", "run-1")
    assert (await worker.next())[0] == "run-1"


async def test_an_acknowledged_message_is_gone(worker: Worker, client: Redis) -> None:
    await worker.queue.send("tidy", "run-1")
    _, message = await worker.next()
    assert (await client.xpending(STREAM, GROUP))["pending"] == 1
    await worker.ack(message)
    assert (await client.xpending(STREAM, GROUP))["pending"] == 0


async def test_a_dead_workers_message_is_taken_over_without_a_new_one_arriving(config: Config, worker: Worker) -> None:
    await worker.queue.send("tidy", "run-1")
    await worker.next()
    heir = Worker(config, "worker-2", queue_reclaim_seconds=0.2, queue_block_seconds=0.05)
    await asyncio.sleep(0.25)
    assert (await heir.next())[0] == "run-1"
    await heir.close()


async def test_a_worker_survives_the_loss_of_its_connection(worker: Worker, client: Redis) -> None:
    waiting = asyncio.create_task(worker.next())
    await asyncio.sleep(0.1)
    for connection in await client.client_list():
        if connection["name"] == "worker-1":
            await client.client_kill(connection["addr"])
    await worker.queue.send("tidy", "run-1")
    assert (await waiting)[0] == "run-1"


async def test_a_worker_survives_a_wiped_redis(worker: Worker, client: Redis) -> None:
    waiting = asyncio.create_task(worker.next())
    await asyncio.sleep(0.1)
    await client.flushall()
    await worker.queue.send("tidy", "run-1")
    assert (await waiting)[0] == "run-1"


async def test_a_queue_that_is_not_there_says_so_within_its_timeout(config: Config) -> None:
    nowhere = Worker(replace(config, redis_url="redis://127.0.0.1:1/0"), "worker-9")
    await nowhere.broker.startup()
    async with asyncio.timeout(3):
        with pytest.raises(QueueDown):
            await nowhere.queue.send("tidy", "run-1")
    await nowhere.close()


async def test_a_worker_comes_up_before_redis_does(config: Config) -> None:
    early = Worker(replace(config, redis_url="redis://127.0.0.1:1/0"), "worker-9")
    await early.broker.startup()
    listening = asyncio.create_task(early.next())
    await asyncio.sleep(0.2)
    assert not listening.done()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await early.close()


async def test_the_stream_does_not_grow_for_ever(config: Config) -> None:
    worker = Worker(config, "worker-1", queue_length_max=100)
    await worker.broker.startup()
    for n in range(400):
        await worker.queue.send("tidy", f"run-{n}")
    with redis.Redis.from_url(config.redis_url) as client:
        assert client.xlen(STREAM) < 300
    await worker.close()


async def test_a_worker_that_leaves_in_order_leaves_no_trace(worker: Worker, client: Redis) -> None:
    await worker.queue.send("tidy", "run-1")
    _, message = await worker.next()
    assert len(await client.xinfo_consumers(STREAM, GROUP)) == 1
    await worker.ack(message)
    await worker.messages.aclose()
    await worker.broker.leave()
    assert await client.xinfo_consumers(STREAM, GROUP) == []


async def test_two_workers_of_one_name_are_two_consumers(config: Config, client: Redis) -> None:
    """As replicas of one container are: neither may take the other's messages for its own."""
    pair = [Worker(config, "holdfast") for _ in range(2)]
    assert pair[0].broker.consumer_name != pair[1].broker.consumer_name
    await pair[0].broker.startup()
    await pair[0].queue.send("tidy", "run-1")
    await pair[0].queue.send("tidy", "run-2")
    assert {(await worker.next())[0] for worker in pair} == {"run-1", "run-2"}
    held = {consumer["name"]: consumer["pending"] for consumer in await client.xinfo_consumers(STREAM, GROUP)}
    assert sorted(held.values()) == [1, 1]
    for worker in pair:
        await worker.close()
