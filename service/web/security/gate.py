"""One Redis round trip per request, shared by all requests that wait: the session is looked up, every rate limit is
counted and the generation of the catalogue is read, in one script. Redis's own clock counts, so all processes agree.

A limit is a sliding window of SLOTS slots. A slot counts until it lies wholly outside the window, so no window ever
holds more than its quota, and a request is counted in all of its limits or, when one refuses, in none. The memory of
a limit is SLOTS + 1 small numbers, whatever its quota.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from service.clock import Clock
from service.config import Config
from service.errors import Unavailable
from service.ids import Ids
from service.infra.batcher import GroupCommit
from service.infra.redis.cache_version import CURRENT
from service.infra.redis.client import UNREACHABLE
from service.infra.redis.script_connection import ScriptLine
from service.web.security.metrics import SecurityMetrics

log = logging.getLogger(__name__)
SLOTS = 10
SESSION_PREFIX = "session:"

SCRIPT = (
    f"local SLOTS = {SLOTS}\n"
    + CURRENT
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counters, touched = {}, {}

local function counter(key, window)
  local known = counters[key]
  if known then return known end
  local length = window / SLOTS
  local slot = math.floor(now / length)
  local found = {used = 0, oldest = slot, slot = slot, length = length, added = 0, stale = {}}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local at = tonumber(fields[i])
    if at >= slot - SLOTS then
      found.used = found.used + tonumber(fields[i + 1])
      if at < found.oldest then found.oldest = at end
    else
      found.stale[#found.stale + 1] = fields[i]
    end
  end
  counters[key] = found
  touched[#touched + 1] = key
  return found
end

local function answer(ask)
  local cost = ask[4]
  local user, role, seal = '', '', ''
  if ask[1] ~= '' then
    local session = redis.call('HMGET', ask[1], 'user', 'role', 'seal')
    user, role, seal = session[1] or '', session[2] or '', session[3] or ''
  end
  local limits, refused, tightest, left, reset = ask[2], 0, 0, math.huge, 0
  local counted = #limits
  if ask[1] ~= '' and user == '' then counted = ask[3] end
  for i = 1, counted, 3 do
    local found = counter(limits[i], limits[i + 2])
    local remaining = limits[i + 1] - found.used
    if remaining < math.max(1, math.min(cost, limits[i + 1])) and refused == 0 then refused = (i + 2) / 3 end
    if remaining < left then
      tightest, left = (i + 2) / 3, remaining
      reset = (found.oldest + SLOTS + 1) * found.length - now
    end
  end
  if refused == 0 and cost > 0 then
    for i = 1, counted, 3 do
      local found = counters[limits[i]]
      found.used, found.added = found.used + cost, found.added + cost
    end
    left = left - cost
  end
  if tightest == 0 then left = 0 end
  return {user, role, refused, tightest, math.max(left, 0), math.ceil(reset / 1000), seal}
end

local asked, answers = cmsgpack.unpack(ARGV[1]), {}
for i, ask in ipairs(asked[1]) do answers[i] = answer(ask) end
for _, key in ipairs(touched) do
  local found = counters[key]
  if #found.stale > 0 then redis.call('HDEL', key, unpack(found.stale)) end
  if found.added > 0 then
    redis.call('HINCRBY', key, string.format('%.0f', found.slot), found.added)
    redis.call('PEXPIRE', key, math.ceil(found.length * (SLOTS + 1)))
  end
end
return cmsgpack.pack({answers, current_generation(asked[2])})
"""
)


class Ask(NamedTuple):
    """`session`: its Redis key, or "". `limits`: key, quota and window in ms of each, flat; the first `always` of these
    count in any case, the rest are the account's, which a session that has ended does not spend. `cost`: how much of
    each quota it takes; what costs more than a whole quota passes when nothing of that is used, and 0 only asks."""

    session: str
    limits: tuple[str | int, ...]
    always: int
    cost: int = 1


class Answer(NamedTuple):
    """As the script sends it. `refused` and `tightest` count the limits from 1; 0 is none. No session: no user. What it
    says of a session holds only with its seal (`web.security.session_seal`)."""

    user_id: str
    role: str
    refused: int
    tightest: int
    remaining: int
    reset_seconds: int
    seal: str = ""


class Reply(NamedTuple):
    answers: list[Answer]
    generation: str


class StoreDown(Unavailable):
    """Redis did not answer; each route class says what that means for it."""


class Gate:
    """`generation` is the catalogue's as the last batch found it: no older than any request that has passed. b"" while
    Redis is down."""

    def __init__(self, clock: Clock, ids: Ids, config: Config, metrics: SecurityMetrics) -> None:
        self._line, self._clock, self._ids, self._metrics = ScriptLine(SCRIPT, config), clock, ids, metrics
        self.generation, self._first_generation = b"", ids.new()
        self._pause_seconds = config.redis_pause_seconds
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Reply).decode
        self._closed_until = 0.0
        self.group: GroupCommit[Ask, Answer] = GroupCommit(
            self._ask_together, items_max=config.gate_batch_max, waiting_max=config.gate_waiting_max
        )

    async def ask(
        self, session_id: str, limits: tuple[str | int, ...], cost: int = 1, *, always: int | None = None
    ) -> Answer:
        """Raises StoreDown; after one failure nobody waits for Redis again until `redis_pause_seconds` have passed."""
        if self._closed_until > self._clock.monotonic():
            raise StoreDown(retry_after_seconds=1)
        session = SESSION_PREFIX + session_id if session_id else ""
        return await self.group(Ask(session, limits, len(limits) if always is None else always, cost))

    def close(self) -> None:
        self._line.close()

    async def _ask_together(self, batch: Sequence[Ask]) -> Sequence[Answer]:
        try:
            reply = self._decode(await self._line.call(self._encode((batch, self._first_generation))))
        except UNREACHABLE as error:
            self.generation, self._first_generation = b"", self._ids.new()
            log.warning("requests go on without Redis: %s", error)
            self._metrics.gate_failures.inc()
            self._closed_until = self._clock.monotonic() + self._pause_seconds
            raise StoreDown(retry_after_seconds=1) from None
        self._learn(reply.generation)
        return reply.answers

    def _learn(self, generation: str) -> None:
        if generation == self._first_generation:  # a Redis that had none has taken it, and no token is used twice
            self._first_generation = self._ids.new()
        self.generation = generation.encode()
