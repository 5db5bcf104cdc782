"""One simulated world: a loop, one database, and the processes on it. Everything in it comes from the seed."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bson import ObjectId

from workloads.simulation.mongo import mock
from workloads.simulation.mongo.database import Client, Cluster
from workloads.simulation.mongo.session import Link
from workloads.simulation.mongo.store import Store
from workloads.simulation.world.faults import NO_FAULTS, FaultPlan
from workloads.simulation.world.loop import new_loop
from workloads.simulation.world.processes import App, Latency, Process

Result = TypeVar("Result")

TRANSACTION_LIFETIME_SECONDS = 5.0
TTL_PASS_SECONDS = 60.0


class QuietLink:
    """A connection without delay or fault, for setting up and looking."""

    async def request(self, operation: str, in_transaction: bool) -> None: ...

    async def reply(self, operation: str, in_transaction: bool) -> None: ...


class World:
    def __init__(self, seed: int, plan: FaultPlan = NO_FAULTS, latency: Latency | None = None) -> None:
        self.seed, self.plan, self.latency = seed, plan, latency or Latency()
        self.loop = new_loop(seed)
        self.store = Store(transaction_lifetime_seconds=TRANSACTION_LIFETIME_SECONDS, now=self.loop.time)
        ids = random.Random(f"ids {seed}")
        self.cluster = Cluster(self.store, lambda: ObjectId(ids.randbytes(12)), mock.motor_client())
        self.processes: list[Process[Any]] = []

    def process(self, name: str, build: Callable[[Process[App]], App]) -> Process[App]:
        process = Process(name, self.seed, self.loop, self.cluster, self.plan, self.latency, build)
        self.processes.append(process)
        return process

    def client(self, link: Link | None = None) -> Client:
        """A connection of nobody's: no delay, no faults."""
        return Client(self.cluster, link or QuietLink())

    def run(self, main: Callable[[], Awaitable[Result]]) -> Result:
        async def whole() -> Result:
            try:
                return await main()
            finally:
                for process in self.processes:
                    await process.stop()

        return self.loop.run(whole())
