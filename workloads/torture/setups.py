"""Owns where the stores of a tortured stack are, and so what can be done to them: inside the stack, behind proxies of
ours, or as a replica set of three."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from workloads.torture import stores
from workloads.torture.moved_clock import MovedClock
from workloads.torture.proxy import Proxy
from workloads.torture.stack_under_test import TorturedStack, send
from workloads.torture.stores import REPLICA_SET, ReplicaSet, Server


@dataclass(slots=True)
class Setup:
    """A stack and what is known of its stores; what is None is not there to be broken."""

    name: str
    stack: TorturedStack
    clock: MovedClock
    mongod: Server | None = None
    redis: Server | None = None
    mongo_proxy: Proxy | None = None
    redis_proxy: Proxy | None = None
    replica_set: ReplicaSet | None = None

    def victims(self) -> tuple[str, ...]:
        """The processes that can be killed or frozen, by name."""
        ours = tuple(name for name, server in (("mongod", self.mongod), ("redis", self.redis)) if server is not None)
        return (*self.stack.processes(), *ours)

    def send(self, victim: str, number: signal.Signals) -> None:
        server = {"mongod": self.mongod, "redis": self.redis}.get(victim)
        if server is not None:
            server.send(number)
        elif victim in (processes := self.stack.processes()):
            send(processes[victim], number)

    def revive(self) -> None:
        """Starts our own stores again if they are down; the supervisor sees to what is its own."""
        members = self.replica_set.members if self.replica_set else []
        for server in (self.mongod, self.redis, *members):
            if server is not None and not server.runs:
                server.start()


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Setup]:
    """`holdfast up` with stores of its own."""
    clock = MovedClock(folder / "clock")
    stack = TorturedStack(folder / "data", clock.environment)
    stack.start()
    try:
        yield Setup("embedded", stack, clock)
    finally:
        stack.stop()


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[Setup]:
    """One mongod and one Redis outside, each behind a proxy."""
    async with AsyncExitStack() as opened:
        members = opened.enter_context(ReplicaSet(folder, 1))
        redis = _redis(folder, opened)
        mongo_proxy = await opened.enter_async_context(Proxy(members.members[0].port))
        redis_proxy = await opened.enter_async_context(Proxy(redis.port))
        options = f"replicaSet={REPLICA_SET}&directConnection=true&retryWrites=true&w=majority"
        environment = {
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongo_proxy.port}/?{options}",
            "REDIS_URL": f"redis://127.0.0.1:{redis_proxy.port}/0",
        }
        clock = MovedClock(folder / "clock")
        stack = await _started(TorturedStack(folder / "data", environment | clock.environment), opened)
        yield Setup("proxied", stack, clock, members.members[0], redis, mongo_proxy, redis_proxy)


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[Setup]:
    """A replica set of three and one Redis, reached directly."""
    async with AsyncExitStack() as opened:
        members = opened.enter_context(ReplicaSet(folder, 3))
        redis = _redis(folder, opened)
        environment = {"MONGODB_URI": members.uri, "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
        clock = MovedClock(folder / "clock")
        stack = await _started(TorturedStack(folder / "data", environment | clock.environment), opened)
        yield Setup("replicated", stack, clock, redis=redis, replica_set=members)


SETUPS = {"embedded": embedded, "proxied": proxied, "replicated": replicated}


def _redis(folder: Path, opened: AsyncExitStack) -> Server:
    redis = stores.redis_server(folder)
    redis.start()
    opened.callback(redis.stop)
    stores.until(lambda: stores.redis_answers(redis.port), "redis-server does not answer")
    return redis


async def _started(stack: TorturedStack, opened: AsyncExitStack) -> TorturedStack:
    """Not in the loop's own thread: the proxies must serve while the stack comes up."""
    opened.callback(stack.stop)
    await asyncio.to_thread(stack.start)
    return stack
