"""Whose key a request carries. A key that was found is remembered for half a second, so a busy service costs one read
then and not one a request, and a revoked key ends within a second. Implements `web.security.api_keys.KeyReader`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from service.auth.api_key_repository import ApiKeyRepository
from service.auth.api_keys import digest
from service.auth.models import ApiKey
from service.clock import Clock
from service.config import Config
from service.infra.batcher import Batcher
from service.web.security.api_keys import FORM, KnownKey

AT_ONCE_MAX = 100


class Memory(NamedTuple):
    key: KnownKey
    fresh_until: float


class ApiKeyReader:
    """Only keys that exist are remembered, so there are never more than twice as many as may be made."""

    def __init__(self, repository: ApiKeyRepository, clock: Clock, config: Config) -> None:
        self._repository, self._clock = repository, clock
        self._known_seconds = config.api_key_known_seconds
        self._used_every = timedelta(seconds=config.api_key_used_seconds)
        self._known: dict[str, Memory] = {}
        self._get: Batcher[str, ApiKey | None] = Batcher(
            self._get_together, items_max=AT_ONCE_MAX, waiting_max=config.gate_waiting_max
        )

    def remembered(self, presented: str) -> KnownKey | None:
        memory = self._known.get(digest(presented))
        if memory is None or memory.fresh_until <= self._clock.monotonic():
            return None
        return memory.key if _lives(memory.key, self._clock.now()) else None

    def knows(self, presented: str) -> bool:
        return digest(presented) in self._known

    async def find(self, presented: str) -> KnownKey | None:
        hashed, begun = digest(presented), self._clock.monotonic()
        key = await self._stored(presented, hashed)
        if key is None:
            self._known.pop(hashed, None)
            return None
        end = key.end_of(hashed)
        known = KnownKey(key.id, frozenset(key.scopes), None if end is None else end.timestamp())
        self._known[hashed] = Memory(known, begun + self._known_seconds)
        await self._note_use(key)
        return known

    async def _stored(self, presented: str, hashed: str) -> ApiKey | None:
        """The key of that secret, if both live."""
        form = FORM.match(presented)
        key = await self._get(form[1]) if form else None
        if key is None or all(secret.digest != hashed for secret in key.secrets):
            return None
        end = key.end_of(hashed)
        return None if end is not None and end <= self._clock.now() else key

    async def _get_together(self, key_ids: Sequence[str]) -> Sequence[ApiKey | None]:
        found = await self._repository.among(key_ids)
        return [found.get(key_id) for key_id in key_ids]

    async def _note_use(self, key: ApiKey) -> None:
        """To the minute: not a write a request."""
        now = self._clock.now()
        if key.last_used_at is None or now - key.last_used_at >= self._used_every:
            await self._repository.used(key.id, now)


def _lives(key: KnownKey, now: datetime) -> bool:
    return key.ends_at is None or now.timestamp() < key.ends_at
