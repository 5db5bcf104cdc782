"""Simulated operating-system processes: each with its own clock, its own connection, its own luck.

A process runs the service as a real one would and may die between any two store calls: none of its code runs
afterwards, what it had open on the server stays open until the server's limit, whoever waited for it learns that
the connection died, and it comes back empty some seconds later.
"""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pymongo.errors import AutoReconnect

from workloads.simulation.mongo.database import Client, Cluster
from workloads.simulation.world.faults import FaultPlan, Misfortune
from workloads.simulation.world.loop import GROUP, Group, SimulationLoop

App = TypeVar("App")
Result = TypeVar("Result")

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, so that a simulated week begins like one


class ConnectionDied(Exception):
    """The client's connection broke before the answer came: the outcome is unknown."""


class NotConnected(Exception):
    """The process was not there to take the call: it certainly did not happen."""


class SimulatedClock:
    """Virtual time as one process reads it; its wall clock may be off, its monotonic clock is not."""

    def __init__(self, loop: SimulationLoop, skew_seconds: float = 0.0) -> None:
        self._loop, self._start = loop, EPOCH + timedelta(seconds=skew_seconds)
        self._read_at, self._read = -1.0, self._start

    def now(self) -> datetime:
        """Asked often within one instant, worked out once."""
        at = self._loop.time()
        if at != self._read_at:
            now = self._start + timedelta(seconds=at)
            self._read_at, self._read = at, now.replace(microsecond=now.microsecond // 1000 * 1000)
        return self._read

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._loop.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Latency:
    """Mean virtual seconds, one way."""

    store_seconds: float = 0.003
    network_seconds: float = 0.002


class Process(Generic[App]):
    """`build` makes the application on a fresh connection; it is called again after every crash."""

    def __init__(
        self,
        name: str,
        seed: int,
        loop: SimulationLoop,
        cluster: Cluster,
        plan: FaultPlan,
        latency: Latency,
        build: Callable[["Process[App]"], App],
    ) -> None:
        self.name, self.loop, self._cluster, self._latency, self._build = name, loop, cluster, latency, build
        self.luck = Misfortune(plan, f"{name} {seed}")
        self.random = random.Random(f"ids {name} {seed}")
        self.clock = SimulatedClock(loop, self.luck.skew_seconds())
        self.crashes = 0
        self._waiting: dict[asyncio.Future[Any], None] = {}
        self._jobs: list[Callable[[App], Coroutine[Any, Any, Any]]] = []
        self._start()

    @property
    def alive(self) -> bool:
        return self.group.alive

    def _start(self) -> None:
        self.group = Group(self.name)
        self.client = Client(self._cluster, StoreLink(self, self.group, self.luck, self._latency.store_seconds))
        self.app = self._build(self)
        for job in self._jobs:
            self.spawn(job(self.app))

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """A task that lives and dies with this process."""
        context = contextvars.copy_context()
        context.run(GROUP.set, self.group)
        return self.loop.create_task(work, context=context)

    def daemon(self, job: Callable[[App], Coroutine[Any, Any, Any]]) -> None:
        """A job that runs as long as the process does and is started again with it."""
        self._jobs.append(job)
        self.spawn(job(self.app))

    async def call(self, action: Callable[[App], Awaitable[Result]]) -> Result:
        """A client's request. Raises what the application raises, NotConnected, or ConnectionDied (unknown)."""
        await self.loop.sleep(self.luck.latency_seconds(self._latency.network_seconds))
        if not self.alive or self.luck.strikes("request_lost"):
            raise NotConnected
        if self.luck.strikes("duplicate"):
            self._serve(action).add_done_callback(_ignore_outcome)
        reply = self._serve(action)
        if self.luck.strikes("reply_lost"):
            reply.add_done_callback(_ignore_outcome)
            raise ConnectionDied
        result = await reply
        await self.loop.sleep(self.luck.latency_seconds(self._latency.network_seconds))
        return result

    def _serve(self, action: Callable[[App], Awaitable[Result]]) -> asyncio.Future[Result]:
        reply: asyncio.Future[Result] = self.loop.create_future()
        self._waiting[reply] = None
        reply.add_done_callback(self._waiting.pop)
        self.spawn(_answer(action, self.app, reply))
        return reply

    def crash(self) -> None:
        """Now, for good: the group never runs again. Whoever waits hears that the connection died."""
        assert self.alive
        self.crashes += 1
        self.loop.bury(self.group)
        for reply in list(self._waiting):
            if not reply.done():
                reply.set_exception(ConnectionDied())
        delay = self.luck.seconds(self.luck.plan.restart_seconds_max)
        self.loop.call_later(delay, self._start, context=contextvars.Context())

    async def stop(self) -> None:
        """Ends what still runs, orderly: for the end of a scenario."""
        self._jobs.clear()
        for task in list(self.group.tasks):
            task.cancel()
        await asyncio.gather(*self.group.tasks, return_exceptions=True)


@dataclass
class StoreLink:
    """One life of one process, on its way to the store: every call may be its last."""

    process: Process[Any]
    group: Group
    luck: Misfortune
    latency_seconds: float

    async def request(self, operation: str, in_transaction: bool) -> None:
        await self.process.loop.sleep(self._way_seconds())
        strikes = self.luck.strikes
        if strikes("pause"):
            self.group.paused_until = self.process.loop.time() + self.luck.seconds(self.luck.plan.pause_seconds_max)
            await asyncio.sleep(0)
        if strikes("crash"):
            await self._die()
        error = self.luck.store_error(operation, in_transaction)
        if error is not None:
            raise error

    async def reply(self, operation: str, in_transaction: bool) -> None:
        if self.luck.strikes("crash"):
            await self._die()
        if self.luck.strikes("lost_reply"):
            raise AutoReconnect("connection closed before the reply came")
        await self.process.loop.sleep(self._way_seconds())

    def _way_seconds(self) -> float:
        seconds = self.luck.latency_seconds(self.latency_seconds)
        if self.luck.strikes("stall"):
            seconds += self.luck.seconds(self.luck.plan.stall_seconds_max)
        return seconds

    async def _die(self) -> None:
        self.process.crash()
        await self.process.loop.create_future()


async def _answer(action: Callable[[App], Awaitable[Result]], app: App, reply: asyncio.Future[Result]) -> None:
    """The process boundary: whatever a request raises is its answer, and the process goes on."""
    try:
        result = await action(app)
    except Exception as error:  # noqa: BLE001 - the boundary described above
        if not reply.done():
            reply.set_exception(error)
    else:
        if not reply.done():
            reply.set_result(result)


def _ignore_outcome(reply: asyncio.Future[Any]) -> None:
    if not reply.cancelled():
        reply.exception()
