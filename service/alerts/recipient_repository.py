"""All queries of the recipients of notices. Who was never mailed has no document."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from service.alerts.models import Recipient
from service.clock import Clock
from service.infra.mongo.client import Database

PERIOD = timedelta(days=1)


class RecipientRepository:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._recipients, self._clock = database["notice_recipients"], clock

    async def get(self, mark: str) -> Recipient:
        document = await self._recipients.find_one({"_id": {"$eq": mark}})
        return _to_recipient(mark, document or {})

    async def take_mail(self, mark: str, most: int) -> bool:
        """Counts one more mail of this day, unless there were `most` already: exact, however many ask at once."""
        now = self._clock.now()
        await self._recipients.update_one({"_id": mark}, {"$setOnInsert": self._unmailed()}, upsert=True)
        over = {"_id": mark, "since": {"$lte": now - PERIOD}}
        await self._recipients.update_one(over, {"$set": {"mails": 0, "since": now}})
        taken = await self._recipients.update_one({"_id": mark, "mails": {"$lt": most}}, {"$inc": {"mails": 1}})
        return bool(taken.modified_count)

    async def unsubscribe(self, mark: str) -> None:
        change = {"$set": {"unsubscribed": True, "confirmedFor": []}, "$setOnInsert": self._unmailed()}
        await self._recipients.update_one({"_id": mark}, change, upsert=True)

    async def confirm(self, mark: str, user_id: str) -> None:
        change = {"$set": {"unsubscribed": False}, "$addToSet": {"confirmedFor": user_id}}
        change["$setOnInsert"] = self._unmailed()
        await self._recipients.update_one({"_id": mark}, change, upsert=True)

    async def welcome_back(self, mark: str) -> None:
        """The owner of the address has asked for notices again."""
        await self._recipients.update_one({"_id": mark, "unsubscribed": True}, {"$set": {"unsubscribed": False}})

    async def carry_over(self, old: str, new: str) -> None:
        found = await self._recipients.find_one_and_delete({"_id": {"$eq": old}})
        if found is None:
            return
        change: dict[str, Any] = {"$addToSet": {"confirmedFor": {"$each": found.get("confirmedFor", [])}}}
        change["$setOnInsert"] = {"mails": found["mails"], "since": found["since"]}
        if found.get("unsubscribed"):
            change["$set"] = {"unsubscribed": True}
        await self._recipients.update_one({"_id": new}, change, upsert=True)

    def _unmailed(self) -> dict[str, Any]:
        return {"mails": 0, "since": self._clock.now()}


def _to_recipient(mark: str, document: Mapping[str, Any]) -> Recipient:
    return Recipient(mark, bool(document.get("unsubscribed")), frozenset(document.get("confirmedFor", ())))
