"""How far it goes, on paper: group commit with more processes, more shards and more SKUs than there is a machine for.

A model of a few parts in SimPy, not the real use cases. An API process takes what waits, commits it together and
meanwhile gathers the next batch. A commit reads, then writes its SKUs, which it locks until it is done: whoever meets
a lock, or a SKU that changed since it began to read, has lost, waits as infra/mongo's Transactions do, and begins
anew. A shard is a commit server with cores of its own that keeps its SKUs' orders beside them; a SKU lives on one.
"""

import heapq
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import simpy

from service.config import Config

WARM_UP_SHARE = 0.2
# An attempt that loses has read, tried its first write, and tells the server to forget it: a call each.
LOST_CALLS = 3
CONFIG = Config()


@dataclass(frozen=True, slots=True)
class Line:
    """Milliseconds as a function of the items in a batch."""

    of_a_batch: float
    of_an_item: float

    def seconds(self, items: int) -> float:
        return (self.of_a_batch + self.of_an_item * items) / 1_000


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one batch that nobody disturbs. `commit` is its whole time, of which `read` passes before its first write;
    `process_cpu` and `store_cpu` are worked in it, the rest is waiting. `around` is the process's work for its buyers
    between two commits, `http_cpu_ms` its work for a request before that."""

    commit: Line
    read: Line
    process_cpu: Line
    store_cpu: Line
    around: Line
    http_cpu_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Plant:
    """What there is, and what is asked of it: `buyers` in all, each with one unit in mind, again as soon as answered.

    `cores` are shared by everything, as on one machine; infinite means that every process has a core and every shard
    `store_cores` of its own. `by_sku` sends all that concerns a SKU to one process, so that nobody else commits it."""

    processes: int = 1
    shards: int = 1
    buyers: int = 64
    skus: int = 1_000
    hot_skus: int = 1
    hot_share: float = 0.0
    cores: float = inf
    store_cores: float = 4.0
    by_sku: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """What came of it. `conflicts` are per batch; waits are from the request to its answer."""

    checkouts_per_second: float
    batch_items: float
    conflicts: float
    p50_ms: float
    p99_ms: float


class Cores:
    """Some cores shared evenly by whatever runs on them; nothing uses more than one."""

    def __init__(self, env: simpy.Environment, count: float) -> None:
        self._env, self._count = env, count
        self._running: list[tuple[float, int, simpy.Event]] = []
        self._done = self._at = 0.0  # the work every job has had since the beginning, and when that was
        self._number = 0

    def work(self, seconds: float) -> simpy.Event:
        if self._count == inf:
            return self._env.timeout(seconds)
        self._catch_up()
        self._number += 1
        finished = self._env.event()
        heapq.heappush(self._running, (self._done + seconds, self._number, finished))
        self._wake_at_next_end()
        return finished

    @property
    def _rate(self) -> float:
        return min(1.0, self._count / len(self._running)) if self._running else 0.0

    def _catch_up(self) -> None:
        self._done += (self._env.now - self._at) * self._rate
        self._at = self._env.now

    def _wake_at_next_end(self) -> None:
        self._number += 1
        number = self._number
        left = max(0.0, self._running[0][0] - self._done) / self._rate
        self._env.timeout(left).callbacks.append(lambda _: self._end(number))

    def _end(self, number: int) -> None:
        """A wake-up that something newer has overtaken does nothing."""
        if number != self._number:
            return
        self._catch_up()
        while self._running and self._running[0][0] <= self._done + 1e-12:
            heapq.heappop(self._running)[2].succeed()
        if self._running:
            self._wake_at_next_end()


@dataclass(slots=True)
class Shard:
    """The locks of the commits under way, and when each SKU last changed."""

    cores: Cores
    locked: set[int] = field(default_factory=set)
    changed_at: dict[int, float] = field(default_factory=dict)

    def would_conflict(self, skus: set[int], began_at: float) -> bool:
        return not self.locked.isdisjoint(skus) or any(self.changed_at.get(sku, -1.0) > began_at for sku in skus)


@dataclass(slots=True)
class Queue:
    """What waits in one process for one shard: (SKU, to be told), and the runner's bell."""

    waiting: deque[tuple[int, simpy.Event]] = field(default_factory=deque)
    bell: simpy.Event | None = None


class Model:
    """One run: `Model(costs, plant, seed).run(seconds)`."""

    def __init__(self, costs: Costs, plant: Plant, seed: int = 1) -> None:
        self._costs, self._plant = costs, plant
        self._random = random.Random(f"scale {seed}")
        self._env = simpy.Environment()
        self._machine = Cores(self._env, plant.cores)
        own = plant.cores == inf
        self._shards = [
            Shard(Cores(self._env, plant.store_cores) if own else self._machine) for _ in range(plant.shards)
        ]
        self._threads = [simpy.Resource(self._env) for _ in range(plant.processes)]
        self._queues = [[Queue() for _ in range(plant.shards)] for _ in range(plant.processes)]
        self._counted_from = inf
        self._waits_ms: list[float] = []
        self._batches = self._items = self._conflicts = 0

    def run(self, seconds: float = 3.0) -> Flow:
        for process, queues in enumerate(self._queues):
            for shard, queue in enumerate(queues):
                self._env.process(self._commits(process, self._shards[shard], queue))
        for number in range(self._plant.buyers):
            self._env.process(self._buyer(number % self._plant.processes))
        self._counted_from = WARM_UP_SHARE * seconds
        self._env.run(until=seconds)
        return self._flow(seconds - self._counted_from)

    def _flow(self, seconds: float) -> Flow:
        waits, batches = self._waits_ms or [inf], max(1, self._batches)
        return Flow(
            len(self._waits_ms) / seconds,
            self._items / batches,
            self._conflicts / batches,
            *(float(level) for level in np.percentile(waits, (50, 99))),
        )

    def _buyer(self, home: int) -> Generator[simpy.Event, Any, None]:
        while True:
            asked_at = self._env.now
            sku = self._pick_sku()
            yield from self._on_thread(home, self._costs.http_cpu_ms / 1_000)
            process = sku % self._plant.processes if self._plant.by_sku else home
            yield self._wait_in(self._queues[process][self._shard_of(sku)], sku)
            if asked_at >= self._counted_from:
                self._waits_ms.append(1_000 * (self._env.now - asked_at))

    def _pick_sku(self) -> int:
        if self._random.random() < self._plant.hot_share:
            return self._random.randrange(self._plant.hot_skus)
        return self._plant.hot_skus + self._random.randrange(self._plant.skus)

    def _shard_of(self, sku: int) -> int:
        """By a hash that has nothing to do with the process."""
        return (sku * 2_654_435_761 % 2**32 >> 12) % self._plant.shards

    def _wait_in(self, queue: Queue, sku: int) -> simpy.Event:
        answered = self._env.event()
        queue.waiting.append((sku, answered))
        if queue.bell is not None:
            queue.bell.succeed()
            queue.bell = None
        return answered

    def _commits(self, process: int, shard: Shard, queue: Queue) -> Generator[simpy.Event, Any, None]:
        while True:
            if not queue.waiting:
                queue.bell = self._env.event()
                yield queue.bell
            batch = [queue.waiting.popleft() for _ in range(min(len(queue.waiting), CONFIG.batch_postings_max))]
            yield from self._on_thread(process, self._costs.around.seconds(len(batch)))
            yield from self._commit(process, shard, {sku for sku, _ in batch}, len(batch))
            if self._env.now >= self._counted_from:
                self._batches, self._items = self._batches + 1, self._items + len(batch)
            for _, answered in batch:
                answered.succeed()

    def _commit(self, process: int, shard: Shard, skus: set[int], items: int) -> Generator[simpy.Event, Any, None]:
        pause = CONFIG.retry_pause_seconds
        whole, read = self._costs.commit.seconds(items), self._costs.read.seconds(items)
        while True:
            began_at = self._env.now
            yield from self._part(process, shard, items, read / whole)
            if not shard.would_conflict(skus, began_at):
                break
            self._conflicts += self._env.now >= self._counted_from
            yield from self._part(process, shard, items, (LOST_CALLS - 1) * read / whole)
            yield self._env.timeout(self._random.random() * pause)
            pause = min(2 * pause, CONFIG.retry_pause_max_seconds)
        shard.locked |= skus
        yield from self._part(process, shard, items, 1 - read / whole)
        shard.locked -= skus
        shard.changed_at.update(dict.fromkeys(skus, self._env.now))

    def _part(self, process: int, shard: Shard, items: int, share: float) -> Generator[simpy.Event, Any, None]:
        """A share of a commit: worked in the process, worked in the store, waited for."""
        here, there = self._costs.process_cpu.seconds(items), self._costs.store_cpu.seconds(items)
        yield from self._on_thread(process, share * here)
        yield shard.cores.work(share * there)
        waiting = share * max(0.0, self._costs.commit.seconds(items) - here - there)
        yield self._env.timeout(self._random.expovariate(1.0) * waiting)

    def _on_thread(self, process: int, seconds: float) -> Generator[simpy.Event, Any, None]:
        """A process is one thread: it does one thing at a time."""
        if seconds > 0:
            with self._threads[process].request() as turn:
                yield turn
                yield self._machine.work(seconds)
