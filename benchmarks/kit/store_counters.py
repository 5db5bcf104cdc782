"""What the stores do for a piece of work, by their own counters."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis

from benchmarks.kit.served_stack import Served

# Drivers' heartbeats, cursors that wait for news, and this counter's own questions.
NOT_WORK = frozenset(
    {"hello", "isMaster", "ping", "serverStatus", "buildInfo", "getMore", "endSessions", "getParameter", "top"}
)

OWN_READS = 1  # Redis counts the question that ends a count


@dataclass(frozen=True, slots=True)
class Calls:
    mongo_commands: int
    redis_calls: int


class Counters:
    def __init__(self, stack: Served) -> None:
        self._mongo: Any = AsyncIOMotorClient(stack.mongodb_uri)
        self._database = stack.database
        self._redis: Any = Redis.from_url(stack.redis_url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._mongo.close()
        await self._redis.aclose()

    async def around(self, work: Awaitable[None]) -> Calls:
        """What both stores did while `work` was done, background work included."""
        before = await self._now()
        await work
        after = await self._now()
        commands, reads = (now - then for now, then in zip(after, before, strict=True))
        return Calls(commands, reads - OWN_READS)

    async def documents_examined(self, collection: str, work: Awaitable[None]) -> int:
        """Documents of `collection` that the server's own profiler saw looked at while `work` was done."""
        database = self._mongo[self._database]
        await database.command("profile", 2)
        try:
            await work
        finally:
            await database.command("profile", 0)
        seen = database["system.profile"].find({"ns": f"{self._database}.{collection}"}, {"docsExamined": 1})
        examined: int = sum([operation.get("docsExamined", 0) async for operation in seen])
        await database.drop_collection("system.profile")
        return examined

    async def _now(self) -> tuple[int, int]:
        metrics = (await self._mongo.admin.command("serverStatus"))["metrics"]
        redis = await self._redis.info("stats")
        # Reads from clients' sockets: a script, a pipeline and a lone command are one round trip each.
        return commands_in(metrics), int(redis["total_reads_processed"])


def commands_in(metrics: Mapping[str, Any]) -> int:
    """Commands done so far that are work, in the `metrics` of a serverStatus."""
    counted = {name: count for name, count in metrics["commands"].items() if isinstance(count, Mapping)}
    return sum(int(count["total"]) for name, count in counted.items() if name not in NOT_WORK and "total" in count)
