"""Sessions in Redis: one hash each, which the gate reads on every request, and per user the list of his own.

Everything that must not be torn apart by a second request is one script. Losing Redis logs everybody out, nothing
else."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from service.auth.models import Device, LockRule, Session
from service.clock import Clock
from service.config import Config
from service.web.security.gate import SESSION_PREFIX

USER_PREFIX = "sessions:"
FAILURES_PREFIX = "failures:"
AGENT_MAX = 200

OPEN = """
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[1], string.sub(KEYS[1], #ARGV[3] + 1))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""

ROTATE = """
local found = redis.call('HMGET', KEYS[1], 'user', 'generation', 'refreshed')
if not found[1] then return {'gone', '', 0} end
local presented, current, now = tonumber(ARGV[1]), tonumber(found[2]), tonumber(ARGV[2])
if presented == current then
  redis.call('HSET', KEYS[1], 'generation', current + 1, 'refreshed', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', ARGV[5] .. found[1], ARGV[4])
  return {'rotated', found[1], current + 1}
end
if presented == current - 1 and now - tonumber(found[3]) <= tonumber(ARGV[3]) then
  return {'rotated', found[1], current}
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', ARGV[5] .. found[1], string.sub(KEYS[1], #ARGV[6] + 1))
return {'reused', found[1], 0}
"""

END = """
local kept = ARGV[1]
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if id ~= kept then
    ended = ended + redis.call('DEL', ARGV[2] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
return ended
"""

CHANGE_ROLE = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', ARGV[2] .. id) == 1 then redis.call('HSET', ARGV[2] .. id, 'role', ARGV[1]) end
end
"""

ATTEMPT = """
local now, longest = tonumber(ARGV[1]), 0
for i, key in ipairs(KEYS) do
  local wait = tonumber(redis.call('HGET', key, 'until') or 0) - now
  if wait > longest then longest = wait end
end
if longest > 0 then return longest end
for i, key in ipairs(KEYS) do
  local free, delay, most = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local failures = redis.call('HINCRBY', key, 'count', 1)
  if failures > free then
    local wait = math.min(delay * 2 ^ math.min(failures - free - 1, 30), most)
    redis.call('HSET', key, 'until', string.format('%.0f', now + wait))
  end
  redis.call('PEXPIRE', key, ARGV[2])
end
return 0
"""


class SessionStore:
    def __init__(self, redis: Any, clock: Clock, config: Config) -> None:
        self._redis, self._clock, self._config = redis, clock, config
        self._open, self._rotate = redis.register_script(OPEN), redis.register_script(ROTATE)
        self._end, self._change_role = redis.register_script(END), redis.register_script(CHANGE_ROLE)
        self._ttl_ms = int(config.refresh_token_ttl_seconds * 1_000)

    async def open(self, session: Session) -> None:
        fields = _to_fields(session)
        keys = (SESSION_PREFIX + session.id, USER_PREFIX + session.user_id)
        await self._open(keys=keys, args=(_ms(session.created_at), self._ttl_ms, SESSION_PREFIX, *fields))
        await self._end_oldest(session.user_id)

    async def _end_oldest(self, user_id: str) -> None:
        beyond = -self._config.sessions_per_user_max - 1
        for oldest in await self._redis.zrange(USER_PREFIX + user_id, 0, beyond):
            await self.end(user_id, oldest.decode())

    async def rotate(self, session_id: str, generation: int) -> tuple[str, str, int]:
        """What happened ("rotated", "gone" or "reused"), the user, and the generation that is valid now."""
        outcome, user_id, valid = await self._rotate(
            keys=(SESSION_PREFIX + session_id,),
            args=(
                generation,
                _ms(self._clock.now()),
                int(self._config.refresh_grace_seconds * 1_000),
                self._ttl_ms,
                USER_PREFIX,
                SESSION_PREFIX,
            ),
        )
        return outcome.decode(), user_id.decode(), int(valid)

    async def of_user(self, user_id: str) -> list[Session]:
        """Those that live, newest first."""
        ids = [raw.decode() for raw in await self._redis.zrevrange(USER_PREFIX + user_id, 0, -1)]
        if not ids:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for session_id in ids:
                pipe.hgetall(SESSION_PREFIX + session_id)
            found = await pipe.execute()
        dead = [session_id for session_id, fields in zip(ids, found, strict=True) if not fields]
        if dead:
            await self._redis.zrem(USER_PREFIX + user_id, *dead)
        return [_to_session(session_id, fields) for session_id, fields in zip(ids, found, strict=True) if fields]

    async def end(self, user_id: str, session_id: str) -> bool:
        """Whether that user had that session."""
        if not await self._redis.zrem(USER_PREFIX + user_id, session_id):
            return False
        await self._redis.delete(SESSION_PREFIX + session_id)
        return True

    async def end_all(self, user_id: str, *, keep: str = "") -> int:
        """Ends every session of a user, but `keep`. Returns how many."""
        ended: int = await self._end(keys=(USER_PREFIX + user_id,), args=(keep, SESSION_PREFIX))
        return ended

    async def change_role(self, user_id: str, role: str) -> None:
        """Acts on the user's next request."""
        await self._change_role(keys=(USER_PREFIX + user_id,), args=(role, SESSION_PREFIX))


class LoginAttempts:
    """Counts an attempt before its password is checked, so that a burst of guesses gets no more tries than a slow
    one. Counted per account and address, and, far more generously, per account: one attacker cannot lock the owner
    out for long."""

    def __init__(self, redis: Any, clock: Clock, config: Config) -> None:
        self._redis, self._clock, self._script = redis, clock, redis.register_script(ATTEMPT)
        self._ttl_ms = int(config.login_failures_ttl_seconds * 1_000)
        self._rules = (
            LockRule(config.login_failures_free, config.login_delay_seconds, config.login_delay_max_seconds),
            LockRule(
                config.login_failures_free_account, config.login_delay_seconds, config.login_delay_max_account_seconds
            ),
        )

    async def begin(self, account: str, address: str) -> float:
        """Seconds to wait before this attempt may be made; 0 when it may be made now, and is counted."""
        rules = [n for r in self._rules for n in (r.free, r.delay_seconds * 1_000, r.delay_max_seconds * 1_000)]
        wait_ms: int = await self._script(
            keys=_attempt_keys(account, address), args=(_ms(self._clock.now()), self._ttl_ms, *rules)
        )
        return wait_ms / 1_000

    async def succeeded(self, account: str, address: str) -> None:
        await self._redis.delete(*_attempt_keys(account, address))


def _attempt_keys(account: str, address: str) -> tuple[str, str]:
    return f"{FAILURES_PREFIX}{account}:{address}", f"{FAILURES_PREFIX}{account}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def _moment(ms: bytes) -> datetime:
    return datetime.fromtimestamp(int(ms) / 1_000, UTC)


def _to_fields(session: Session) -> Iterable[str | int]:
    return (
        "user",
        session.user_id,
        "role",
        session.role,
        "generation",
        session.generation,
        "created",
        _ms(session.created_at),
        "refreshed",
        _ms(session.refreshed_at),
        "address",
        session.device.address,
        "agent",
        session.device.agent[:AGENT_MAX],
    )


def _to_session(session_id: str, fields: dict[bytes, bytes]) -> Session:
    return Session(
        session_id,
        fields[b"user"].decode(),
        fields[b"role"].decode(),
        int(fields[b"generation"]),
        _moment(fields[b"created"]),
        _moment(fields[b"refreshed"]),
        Device(fields[b"address"].decode(), fields[b"agent"].decode()),
    )
