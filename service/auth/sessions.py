"""Sessions in Redis: one hash each, which the gate reads on every request, and per user the list of his own.

A session carries a seal over its id, user, role and end (`web.security.session_seal`), so that somebody who can write
to Redis makes nobody an admin. It ends when it was not refreshed for a while, and in any case after its longest life.
Everything that must not be torn apart by a second request is one script. Losing Redis logs everybody out."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from service.auth.models import Device, Session
from service.clock import Clock
from service.config import Config
from service.web.http.access import ROLES, Access
from service.web.security.gate import SESSION_PREFIX
from service.web.security.session_seal import SessionSeals, ends_of

USER_PREFIX = "sessions:"
AGENT_MAX = 200
ENDED_AT_ONCE = 500

OPEN = """
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[1], string.sub(KEYS[1], #ARGV[3] + 1))
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
"""

ROTATE = """
local found = redis.call('HMGET', KEYS[1], 'user', 'generation', 'refreshed', 'role', 'seal', 'factor')
if not found[1] then return {'gone', '', 0, '', '', ''} end
local presented, current, now = tonumber(ARGV[1]), tonumber(found[2]), tonumber(ARGV[2])
local left = tonumber(string.match(found[5] or '', '^%d+') or 0) - now
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return {'gone', '', 0, '', '', ''}
end
if presented == current then
  local idle = math.min(tonumber(ARGV[4]), left)
  redis.call('HSET', KEYS[1], 'generation', current + 1, 'refreshed', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], idle)
  if redis.call('PTTL', ARGV[5] .. found[1]) < idle then redis.call('PEXPIRE', ARGV[5] .. found[1], idle) end
  return {'rotated', found[1], current + 1, found[4], found[5], found[6] or ''}
end
if presented == current - 1 and now - tonumber(found[3]) <= tonumber(ARGV[3]) then
  return {'rotated', found[1], current, found[4], found[5], found[6] or ''}
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', ARGV[5] .. found[1], string.sub(KEYS[1], #ARGV[6] + 1))
return {'reused', found[1], 0, '', '', ''}
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
if redis.call('HGET', KEYS[1], 'seal') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'role', ARGV[2], 'seal', ARGV[3])
local left = tonumber(ARGV[4])
if redis.call('PTTL', KEYS[1]) > left then redis.call('PEXPIRE', KEYS[1], math.max(left, 1)) end
return 1
"""


class Rotation(NamedTuple):
    """`outcome` is "rotated", "gone" or "reused"; `generation` the one that is valid now."""

    outcome: str
    user_id: str
    generation: int
    role: str
    factor_id: str = ""


class SessionStore:
    def __init__(self, redis: Any, clock: Clock, config: Config) -> None:
        self._redis, self._clock, self._config = redis, clock, config
        self._open, self._rotate = redis.register_script(OPEN), redis.register_script(ROTATE)
        self._end, self._change_role = redis.register_script(END), redis.register_script(CHANGE_ROLE)
        self._seals, self._idle_ms = SessionSeals(config), int(config.refresh_token_ttl_seconds * 1_000)

    def _life_ms(self, role: str) -> int:
        staff = ROLES[role] >= Access.STAFF
        return int((self._config.staff_session_ttl_seconds if staff else self._config.session_ttl_seconds) * 1_000)

    async def open(self, session: Session) -> None:
        created_ms, life_ms = _ms(session.created_at), self._life_ms(session.role)
        seal = self._seals.seal(session.id, session.user_id, session.role, created_ms + life_ms)
        keys = (SESSION_PREFIX + session.id, USER_PREFIX + session.user_id)
        fields = (*_to_fields(session), "seal", seal)
        await self._open(keys=keys, args=(created_ms, min(self._idle_ms, life_ms), SESSION_PREFIX, *fields))
        await self._end_oldest(session.user_id)

    async def _end_oldest(self, user_id: str) -> None:
        beyond = -self._config.sessions_per_user_max - 1
        for oldest in await self._redis.zrange(USER_PREFIX + user_id, 0, beyond):
            await self.end(user_id, oldest.decode())

    async def rotate(self, session_id: str, generation: int) -> Rotation:
        outcome, user_id, valid, role, seal, factor_id = await self._rotate(
            keys=(SESSION_PREFIX + session_id,),
            args=(
                generation,
                _ms(self._clock.now()),
                int(self._config.refresh_grace_seconds * 1_000),
                self._idle_ms,
                USER_PREFIX,
                SESSION_PREFIX,
            ),
        )
        rotation = Rotation(outcome.decode(), user_id.decode(), int(valid), role.decode(), factor_id.decode())
        if rotation.outcome == "rotated" and not self._seals.hold(
            session_id, rotation.user_id, rotation.role, seal.decode()
        ):
            return Rotation("gone", "", 0, "")
        return rotation

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

    async def end_everybodys(self) -> int:
        """All sessions there are, in pieces, so that Redis answers others in between. Returns how many."""
        ended = 0
        for prefix in (SESSION_PREFIX, USER_PREFIX):
            keys: list[bytes] = []
            async for key in self._redis.scan_iter(match=f"{prefix}*", count=ENDED_AT_ONCE):
                keys.append(key)
                if len(keys) == ENDED_AT_ONCE:
                    ended += await self._redis.unlink(*keys) * (prefix == SESSION_PREFIX)
                    keys.clear()
            if keys:
                ended += await self._redis.unlink(*keys) * (prefix == SESSION_PREFIX)
        return ended

    async def change_role(self, user_id: str, role: str) -> None:
        """Acts on the user's next request. A session whose seal does not hold is not ours to seal anew: it ends."""
        for raw in await self._redis.zrange(USER_PREFIX + user_id, 0, -1):
            await self._change_role_of(raw.decode(), user_id, role)

    async def _change_role_of(self, session_id: str, user_id: str, role: str) -> None:
        key, now_ms = SESSION_PREFIX + session_id, _ms(self._clock.now())
        found = [(value or b"").decode() for value in await self._redis.hmget(key, "user", "role", "seal")]
        if found[1:] == ["", ""]:
            return
        if found[0] != user_id or not self._seals.hold(session_id, user_id, found[1], found[2]):
            await self.end(user_id, session_id)
            return
        ends_ms = min(ends_of(found[2]), now_ms + self._life_ms(role))
        seal = self._seals.seal(session_id, user_id, role, ends_ms)
        await self._change_role(keys=(key,), args=(found[2], role, seal, ends_ms - now_ms))


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
        "factor",
        session.factor_id,
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
        fields.get(b"factor", b"").decode(),
    )
