"""Which generation of answers is current: a token in Redis that every change replaces, and that is never used again.

A request learns it after its own arrival, from the gate that it has just passed or with one Redis read for all requests
that wait: whoever has seen a change, wherever that was, is answered in the generation after it. Tokens are compared,
not ordered, so a Redis that was wiped or replaced brings no old answer back.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.batcher import Batcher
from service.infra.redis.client import UNREACHABLE
from service.infra.redis.script_connection import RedisScriptConnection

log = logging.getLogger(__name__)
KEY = "catalogue:generation"
CURRENT = f"""
local function current_generation(unless_there_is_one)
  local token = redis.call('GET', '{KEY}')
  if token then return token end
  redis.call('SET', '{KEY}', unless_there_is_one)
  return unless_there_is_one
end
"""
SCRIPT = CURRENT + "return current_generation(ARGV[1])"


class Generation:
    def __init__(
        self, redis: Any, clock: Clock, ids: Ids, config: Config, known_version: Callable[[], bytes] = lambda: b""
    ) -> None:
        """`known_version`: the token that whoever asks now has come by, if it has."""
        self._redis, self._clock, self._ids, self._known_version = redis, clock, ids, known_version
        self._connection = RedisScriptConnection(SCRIPT, config)
        self._pause_seconds, self._closed_until, self._pending_invalidation = config.redis_pause_seconds, 0.0, False
        self._read: Batcher[None, bytes | None] = Batcher(
            self._read_together, items_max=config.gate_batch_max, waiting_max=config.gate_waiting_max
        )

    async def now(self) -> bytes | None:
        """The token; None while Redis is down, and nobody waits for it then."""
        if not self._pending_invalidation and (known := self._known_version()):
            return known
        if self._closed_until > self._clock.monotonic():
            return None
        return await self._read(None)

    async def end(self) -> None:
        """What was begun until now is asked for no more. While Redis is down nobody is answered from it; this process
        then ends the generation before it reads the next token."""
        try:
            await self._end()
        except UNREACHABLE as error:
            self._pending_invalidation = True
            log.warning("the cache was not told of a change yet: %s", error)

    async def _end(self) -> None:
        await self._redis.set(KEY, self._ids.new())
        self._pending_invalidation = False

    async def _read_together(self, batch: Sequence[None]) -> Sequence[bytes | None]:
        try:
            if self._pending_invalidation:
                await self._end()
            token = await self._connection.call(self._ids.new().encode())
        except UNREACHABLE as error:
            log.warning("the catalogue is read without its cache: %s", error)
            self._closed_until = self._clock.monotonic() + self._pause_seconds
            return [None] * len(batch)
        return [token] * len(batch)

    def close(self) -> None:
        self._connection.close()
