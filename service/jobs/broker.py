"""Taskiq on Redis streams: how a job's id reaches a worker, acknowledged once it has been worked on.

Differs from `RedisStreamBroker` where that one fails in practice: a lost connection or a wiped Redis does not end the
worker (taskiq-redis #129), a dead worker's messages are taken over by the clock and not only when a new one arrives,
messages sent before the first worker came are not skipped, and the stream does not grow for ever.

There is no retry here and no result backend: `JobRunner` keeps both in MongoDB, where they outlive Redis. (Taskiq's
retry sends a task again at once on this broker, and loses it with the queue.)"""

import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from taskiq import AckableMessage
from taskiq.exceptions import SendTaskError
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisStreamBroker

from service.clock import Clock
from service.config import Config
from service.infra.redis.client import RECONNECTS_MAX, UNREACHABLE
from service.jobs.runner import JobRunner, QueueDown

log = logging.getLogger(__name__)
STREAM = "holdfast:jobs"
GROUP = "workers"
FROM_THE_START = "0"
MESSAGES_PER_READ = 1  # what one worker has fetched, another cannot start
PAUSE_WHILE_DOWN_SECONDS = 0.5
GONE_AFTER_MS = 86_400_000


def _of_this_process(app_name: str) -> str:
    """Two processes of one name would be one consumer to Redis, and each take the other's messages for its own."""
    return f"{app_name}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class StreamBroker(RedisStreamBroker):
    def __init__(self, config: Config, clock: Clock) -> None:
        super().__init__(
            config.redis_url,
            queue_name=STREAM,
            consumer_group_name=GROUP,
            consumer_name=_of_this_process(config.app_name),
            consumer_id=FROM_THE_START,
            maxlen=config.queue_length_max,
            xread_block=int(config.queue_block_seconds * 1000),
            xread_count=MESSAGES_PER_READ,
            idle_timeout=int(config.queue_reclaim_seconds * 1000),
            max_connection_pool_size=config.redis_pool_size,
            timeout=config.redis_timeout_seconds,
            socket_timeout=config.redis_timeout_seconds + config.queue_block_seconds,
            socket_connect_timeout=config.redis_timeout_seconds,
            retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), RECONNECTS_MAX),
            client_name=config.app_name,
        )
        self.with_serializer(JSONSerializer())
        self._clock, self._reclaim_seconds = clock, config.queue_reclaim_seconds

    async def startup(self) -> None:
        """Comes up also while Redis is down: `listen` declares the group when it is there."""
        try:
            await super().startup()
            await self._forget_the_gone()
        except UNREACHABLE as error:
            log.warning("the queue is not there yet: %s", error)

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        reclaimed_at: float | None = None
        while True:
            try:
                now = self._clock.monotonic()
                if reclaimed_at is None or now - reclaimed_at >= self._reclaim_seconds / 2:
                    found = await self._of_dead_workers()
                    reclaimed_at = None if found else now
                else:
                    found = await self._new()
            except UNREACHABLE as error:
                log.warning("the queue is down: %s", error)
                await self._clock.sleep(PAUSE_WHILE_DOWN_SECONDS)
                continue
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                log.warning("the queue is gone and made anew: %s", error)
                await self._declare_consumer_group()
                continue
            for message in found:
                yield message

    async def _new(self) -> list[AckableMessage]:
        async with Redis(connection_pool=self.connection_pool) as redis:
            fetched: Any = await redis.xreadgroup(
                GROUP, self.consumer_name, {STREAM: ">"}, block=self.block, count=self.count
            )
        return [self._message(entry) for _, entries in fetched or () for entry in entries]

    async def _of_dead_workers(self) -> list[AckableMessage]:
        """Messages that nobody has acknowledged for `queue_reclaim_seconds`, one at a time."""
        async with Redis(connection_pool=self.connection_pool) as redis:
            _, entries, _ = await redis.xautoclaim(
                STREAM, GROUP, self.consumer_name, min_idle_time=self.idle_timeout, count=MESSAGES_PER_READ
            )
        return [self._message(entry) for entry in entries]

    def _message(self, entry: Any) -> AckableMessage:
        message_id, fields = entry
        return AckableMessage(data=fields[b"data"], ack=self._ack_generator(id=message_id, queue_name=STREAM))

    async def _forget_the_gone(self) -> None:
        """Names of processes that were killed; what they still held has been taken over before."""
        async with Redis(connection_pool=self.connection_pool) as redis:
            for consumer in await redis.xinfo_consumers(STREAM, GROUP):
                if not consumer["pending"] and consumer["idle"] > GONE_AFTER_MS:
                    await redis.xgroup_delconsumer(STREAM, GROUP, consumer["name"])

    async def leave(self) -> None:
        """Stopped workers do not gather in the group. What one still holds stays in it, to be taken over."""
        try:
            async with Redis(connection_pool=self.connection_pool) as redis:
                consumers = await redis.xinfo_consumers(STREAM, GROUP)
                if any(c["name"].decode() == self.consumer_name and not c["pending"] for c in consumers):
                    await redis.xgroup_delconsumer(STREAM, GROUP, self.consumer_name)
        except (*UNREACHABLE, ResponseError) as error:
            log.warning("could not leave the group of workers: %s", error)
        await self.shutdown()


class JobQueue:
    """Jobs as Taskiq tasks: one per job name, whose argument is the id of the run."""

    def __init__(self, broker: StreamBroker) -> None:
        self.broker = broker

    def register(self, names: list[str], runner: JobRunner) -> None:
        async def execute(run_id: str) -> None:
            await runner.execute(run_id)

        for name in names:
            self.broker.register_task(execute, task_name=name)

    async def send(self, name: str, run_id: str) -> None:
        task = self.broker.find_task(name)
        assert task is not None, f"{name} is not registered"
        try:
            await task.kiq(run_id)
        except SendTaskError as error:
            raise QueueDown(str(error.__cause__)) from error
