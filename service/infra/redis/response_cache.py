"""Answers ready to send, for everyone who asks the same: a bounded lru in each process, Redis behind it.

An answer belongs to the generation that was current when its making began. One that was begun before a change and
finished after it is kept under a generation nobody asks for any more, so an old price never follows a newer one.
Within a generation the first answer Redis took is everybody's, and no process keeps it longer than Redis does, so two
processes never disagree. Stock moves without ending a generation: `cache_ttl_seconds` bounds how old it is.

Without Redis nothing is kept and nothing is shared: every request reads for itself."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from service.clock import Clock
from service.config import Config
from service.infra.batcher import Batcher
from service.infra.redis.cache_version import Generation
from service.infra.redis.client import UNREACHABLE

PREFIX = b"catalogue:"
ENTRY_OVERHEAD_BYTES = 512


class CachedResponse(msgspec.Struct, array_like=True, frozen=True):
    """A body in its coding; `tag` is of its content, whatever the coding."""

    body: bytes
    coding: str
    tag: str


Make = Callable[[], Awaitable[CachedResponse]]
FlightKey = tuple[bytes, bytes]
Found = tuple[CachedResponse, float]  # and until when it may be told
Kept = tuple[bytes, CachedResponse, float]  # its name, and until when


class LruCache:
    """The answers of this process, the least recently used one leaves first. Moments are of a monotonic clock."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self._entries: OrderedDict[bytes, tuple[CachedResponse, float]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> CachedResponse | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: bytes, ready: CachedResponse, until: float) -> None:
        self._drop(key)
        self._entries[key] = ready, until
        self.bytes += _size(key, ready)
        while len(self._entries) > self._entries_max or self.bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= _size(key, entry[0])


class Cache:
    """`hits`, `found` (in Redis) and `made` count how answers came about."""

    def __init__(self, redis: Any, generation: Generation, clock: Clock, config: Config) -> None:
        self._redis, self._clock, self._config = redis, clock, config
        self.generation, self.current = generation, b""  # `current`: the token seen last, b"" if there was none
        self.lru = LruCache(config.cache_entries_max, config.cache_bytes_max)
        self._flights: dict[FlightKey, asyncio.Task[CachedResponse]] = {}
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(CachedResponse).decode
        self._find: Batcher[bytes, Found | None] = Batcher(
            self._find_together, items_max=config.cache_batch_max, waiting_max=config.gate_waiting_max
        )
        self._keep: Batcher[Kept, bool | None] = Batcher(
            self._keep_together, items_max=config.cache_batch_max, waiting_max=config.gate_waiting_max
        )
        self.hits = self.found = self.made = 0

    async def get(self, key: bytes, make: Make) -> CachedResponse:
        """The answer to `key`. What `make` raises is raised to all who wait for it, and not kept."""
        generation = await self.generation.now()
        if generation != self.current:
            self.current = generation or b""
            self.lru.clear()
        if generation is None:
            return await make()
        ready = self.lru.get(key, self._clock.monotonic())
        if ready is None:
            return await self._shared((generation, key), make)
        self.hits += 1
        return ready

    async def _shared(self, flight: FlightKey, make: Make) -> CachedResponse:
        """One makes it for all who wait, and goes on when its client hangs up."""
        task = self._flights.get(flight)
        if task is None:
            task = self._flights[flight] = asyncio.create_task(self._fetch(flight, make))
            task.add_done_callback(partial(self._landed, flight))
        return await asyncio.shield(task)

    def _landed(self, flight: FlightKey, task: asyncio.Task[CachedResponse]) -> None:
        del self._flights[flight]
        if not task.cancelled():
            task.exception()  # told to those who waited, if any still did

    async def _fetch(self, flight: FlightKey, make: Make) -> CachedResponse:
        generation, key = flight
        name = PREFIX + generation + b":" + key
        found = await self._find(name)
        if found is None:
            found = await self._make(name, make)
        ready, until = found
        if generation == self.current and until > self._clock.monotonic():
            self.lru.put(key, ready, until)
        return ready

    async def _find_together(self, names: Sequence[bytes]) -> Sequence[Found | None]:
        """What Redis has, and until when, by Redis's own clock: one round trip for all that wait."""
        asked_at = self._clock.monotonic()
        asking = self._redis.pipeline(transaction=False)
        for name in names:
            asking.get(name).pttl(name)
        try:
            said = await asking.execute()
        except UNREACHABLE:
            return [None] * len(names)
        return [self._found(packed, left_ms, asked_at) for packed, left_ms in zip(said[::2], said[1::2], strict=True)]

    def _found(self, packed: bytes | None, left_ms: int, asked_at: float) -> Found | None:
        if packed is None:
            return None
        self.found += 1
        return self._decode(packed), asked_at + max(left_ms, 0) / 1000

    async def _make(self, name: bytes, make: Make) -> Found:
        """A new answer; or, if another process was first, that one's."""
        until = self._clock.monotonic() + self._config.cache_ttl_seconds
        ready = await make()
        self.made += 1
        if len(ready.body) > self._config.cache_body_max_bytes or self._left_ms(until) <= 0:
            return ready, 0.0
        kept = await self._keep((name, ready, until))
        if kept is None:
            return ready, 0.0
        if kept:
            return ready, until
        return await self._find(name) or (ready, 0.0)

    async def _keep_together(self, kept: Sequence[Kept]) -> Sequence[bool | None]:
        """Whether Redis took each, as it keeps the first one of a name; None if it could not be asked."""
        keeping = self._redis.pipeline(transaction=False)
        for name, ready, until in kept:
            keeping.set(name, self._encode(ready), px=max(1, self._left_ms(until)), nx=True)
        try:
            return [bool(taken) for taken in await keeping.execute()]
        except UNREACHABLE:
            return [None] * len(kept)

    def _left_ms(self, until: float) -> int:
        return int((until - self._clock.monotonic()) * 1000)

    async def close(self) -> None:
        for task in self._flights.values():
            task.cancel()
        self.generation.close()


def _size(key: bytes, ready: CachedResponse) -> int:
    return len(key) + len(ready.body) + ENTRY_OVERHEAD_BYTES
