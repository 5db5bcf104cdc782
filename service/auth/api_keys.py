"""API keys of services: made by admins, shown once, stored as a hash, rotated with an overlap, revoked by deletion.
What was done with a key stays in the audit log under its id."""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from service.auth.api_key_repository import ApiKeyRepository
from service.auth.models import ApiKey, ApiKeyNotFound, KeySecret, TooManyApiKeys
from service.errors import Conflict, Invalid
from service.runtime import Runtime


class Shown(NamedTuple):
    """`text` is what the service sends. Nobody sees it again."""

    key: ApiKey
    text: str


class ApiKeys:
    def __init__(self, repository: ApiKeyRepository, runtime: Runtime) -> None:
        self._repository, self._clock = repository, runtime.clock
        self._ids, self._config = runtime.ids, runtime.config

    async def create(
        self, name: str, scopes: Collection[str], created_by: str, expires_at: datetime | None = None
    ) -> Shown:
        """Raises Invalid, TooManyApiKeys."""
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise Invalid(errors=[{"path": "expiresAt", "message": "It would have expired before it was made"}])
        if await self._repository.count() >= self._config.api_keys_max:
            raise TooManyApiKeys()
        key_id, secret = self._ids.new(), self._ids.secret()
        made = (KeySecret(digest(_text(key_id, secret))),)
        key = ApiKey(key_id, name, tuple(sorted(set(scopes))), made, now, created_by, expires_at)
        await self._repository.add(key)
        return Shown(key, _text(key_id, secret))

    async def newest(self, before: str | None, limit: int) -> list[ApiKey]:
        return await self._repository.newest(before, limit)

    async def rotate(self, key_id: str, overlap_seconds: float) -> Shown:
        """A new secret; the one before it works for `overlap_seconds` more. Raises ApiKeyNotFound, Conflict."""
        key, text = await self._get(key_id), _text(key_id, self._ids.secret())
        secrets = key.rotated(digest(text), self._clock.now() + timedelta(seconds=overlap_seconds))
        if not await self._repository.replace_secrets(key, secrets):
            raise Conflict("The key was changed at the same moment; look at it again")
        return Shown(await self._get(key_id), text)

    async def revoke(self, key_id: str) -> None:
        """It ends within a second. Raises ApiKeyNotFound."""
        if not await self._repository.remove(key_id):
            raise ApiKeyNotFound()

    async def _get(self, key_id: str) -> ApiKey:
        key = await self._repository.get(key_id)
        if key is None:
            raise ApiKeyNotFound()
        return key


def digest(text: str) -> str:
    """A plain hash is enough: 256 random bits cannot be guessed from it, nor replaced by a change of our secret."""
    return hashlib.sha256(text.encode()).hexdigest()


def _text(key_id: str, secret: str) -> str:
    """Told by its prefix wherever it leaks to."""
    return f"hfk_{key_id}_{secret}"
