"""All queries on API keys. There are some hundreds at most, found by their id, which begins with the time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.auth.models import ApiKey, KeySecret
from service.infra.mongo.client import Database


class ApiKeyRepository:
    def __init__(self, database: Database) -> None:
        self._keys = database["api_keys"]

    async def count(self) -> int:
        return int(await self._keys.estimated_document_count())

    async def add(self, key: ApiKey) -> None:
        await self._keys.insert_one(
            {
                "_id": key.id,
                "name": key.name,
                "scopes": list(key.scopes),
                "secrets": _secrets(key.secrets),
                "createdAt": key.created_at,
                "createdBy": key.created_by,
                "expiresAt": key.expires_at,
                "lastUsedAt": None,
            }
        )

    async def get(self, key_id: str) -> ApiKey | None:
        document = await self._keys.find_one({"_id": {"$eq": key_id}})
        return None if document is None else _to_key(document)

    async def among(self, key_ids: Sequence[str]) -> dict[str, ApiKey]:
        found = await self._keys.find({"_id": {"$in": list(key_ids)}}).to_list(None)
        return {document["_id"]: _to_key(document) for document in found}

    async def newest(self, before: str | None, limit: int) -> list[ApiKey]:
        query = {} if before is None else {"_id": {"$lt": before}}
        found = await self._keys.find(query).sort("_id", -1).limit(limit).to_list(limit)
        return [_to_key(document) for document in found]

    async def replace_secrets(self, key: ApiKey, secrets: Sequence[KeySecret]) -> bool:
        """Whether nobody else rotated or revoked it meanwhile."""
        unchanged = {"_id": {"$eq": key.id}, "secrets": {"$eq": _secrets(key.secrets)}}
        found = await self._keys.update_one(unchanged, {"$set": {"secrets": _secrets(secrets)}})
        return bool(found.matched_count)

    async def remove(self, key_id: str) -> bool:
        removed = await self._keys.delete_one({"_id": {"$eq": key_id}})
        return bool(removed.deleted_count)

    async def used(self, key_id: str, at: datetime) -> None:
        await self._keys.update_one({"_id": {"$eq": key_id}}, {"$max": {"lastUsedAt": at}})


def _secrets(secrets: Sequence[KeySecret]) -> list[dict[str, Any]]:
    return [{"digest": secret.digest, "endsAt": secret.ends_at} for secret in secrets]


def _to_key(document: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        document["_id"],
        document["name"],
        tuple(document["scopes"]),
        tuple(KeySecret(secret["digest"], secret["endsAt"]) for secret in document["secrets"]),
        document["createdAt"],
        document["createdBy"],
        document["expiresAt"],
        document["lastUsedAt"],
    )
