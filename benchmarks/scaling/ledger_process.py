"""One ledger in a process of its own, as an API process has: told over a pipe what to do, and answers what came of it.

Nothing is shared with its siblings but the store."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.contention.service_ledger import GroupCommit

POOL_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Turn:
    """Closed loop: `buyers` of this process check out from `starts_at` (time.time) for `seconds`; a `hot_share` of
    the checkouts wants the first SKU, the rest any of the others."""

    buyers: int
    hot_share: float
    seconds: float
    starts_at: float
    seed: int


@dataclass(slots=True)
class Seen:
    """What one process saw in one turn. `read_seconds` is spent before the first write of an attempt, of
    `attempt_seconds` in all; `retries` are attempts that met a conflict."""

    checkouts: int = 0
    batches: int = 0
    retries: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    read_seconds: float = 0.0
    attempt_seconds: float = 0.0
    latencies_ms: Sequence[float] = ()


class TimedBooks:
    """The ledger's books, with a stopwatch on the part of an attempt that only reads."""

    def __init__(self, books: Any, seen: Seen) -> None:
        self._store, self.seen = books, seen

    async def open(self, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return await self._store.open(*arguments, **named)
        finally:
            self.seen.read_seconds += time.perf_counter() - began

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def serve(pipe: Connection, mongodb_uri: str, database: str, skus: Sequence[str], seed: int) -> None:
    """Answers each Turn with what was seen of it, until None comes."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        strategy = runner.run(_open(mongodb_uri, database, seed))
        pipe.send("ready")
        while (asked := pipe.recv()) is not None:
            pipe.send(asdict(runner.run(_turn(strategy, skus, asked))))
        strategy.client.close()


async def _open(mongodb_uri: str, database: str, seed: int) -> GroupCommit:
    client: Any = AsyncIOMotorClient(mongodb_uri, w="majority", maxPoolSize=POOL_CONNECTIONS, tz_aware=True)
    await client.admin.command("ping")
    return GroupCommit(client, client[database], random.Random(seed))


async def _turn(strategy: GroupCommit, skus: Sequence[str], turn: Turn) -> Seen:
    seen, latencies = Seen(), list[float]()
    ledger, transactions = strategy._shop.ledger, strategy._shop.transactions
    books, commit, choose = ledger._store, ledger.group._commit, random.Random(turn.seed)

    async def timed_commit(batch: Any) -> Any:
        began = time.perf_counter()
        try:
            return await commit(batch)
        finally:
            seen.attempt_seconds += time.perf_counter() - began

    ledger._store, ledger.group._commit = TimedBooks(books, seen), timed_commit  # type: ignore[assignment]
    await asyncio.sleep(max(0.0, turn.starts_at - time.time()))
    began, worked = time.perf_counter(), time.process_time()
    batches, retries = ledger.group.batches, transactions.retries

    async def buyer() -> None:
        while (asked := time.perf_counter()) < began + turn.seconds:
            hot = choose.random() < turn.hot_share
            await strategy.buy(skus[0] if hot else skus[choose.randrange(1, len(skus))])
            latencies.append((time.perf_counter() - asked) * 1_000)

    try:
        await asyncio.gather(*(buyer() for _ in range(turn.buyers)))
    finally:
        ledger._store, ledger.group._commit = books, commit
    seen.wall_seconds, seen.cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    seen.batches, seen.retries = ledger.group.batches - batches, transactions.retries - retries
    seen.checkouts, seen.latencies_ms = len(latencies), latencies
    return seen
