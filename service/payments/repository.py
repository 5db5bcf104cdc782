"""All queries of payments: which notices were heard, and which intent of the provider an attempt became."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from service.infra.mongo.client import Database


class EventRepository:
    def __init__(self, database: Database) -> None:
        self._events = database["payment_events"]

    async def heard(self, event_id: str) -> bool:
        return await self._events.find_one({"_id": event_id}, {"_id": 1}) is not None

    async def remember(self, event_id: str, at: datetime) -> None:
        await self._events.update_one({"_id": event_id}, {"$setOnInsert": {"at": at}}, upsert=True)


class AttemptRepository:
    """The first word on an attempt stands: an intent to be confirmed, or none for ever."""

    def __init__(self, database: Database) -> None:
        self._attempts = database["payment_attempts"]

    async def open(self, payment_id: str, intent_id: str, at: datetime) -> bool:
        """False if the attempt was closed, or opened, before."""
        try:
            await self._attempts.insert_one({"_id": payment_id, "intentId": intent_id, "at": at})
        except DuplicateKeyError:
            return False
        return True

    async def intent_or_close(self, payment_id: str, at: datetime) -> str | None:
        """The attempt's intent. An attempt without one is closed by asking, so it can never be confirmed later."""
        try:
            await self._attempts.insert_one({"_id": payment_id, "intentId": None, "at": at})
        except DuplicateKeyError:
            return await self.intent(payment_id)
        return None

    async def intent(self, payment_id: str) -> str | None:
        attempt: Mapping[str, Any] | None = await self._attempts.find_one({"_id": payment_id})
        return None if attempt is None else attempt["intentId"]
