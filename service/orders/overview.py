"""What is going on now, in numbers that cost an index range each, however large the shop."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from service.clock import Clock
from service.infra.mongo.client import Database

HOLD_AGES_MINUTES = (0, 3, 6, 9, 12, 15)
RECENT = timedelta(minutes=1)
RATE_OVER_SECONDS = 5
STATUSES = ("pending", "paid", "shipped", "delivered", "cancelled", "refunded")


class Overview:
    def __init__(self, database: Database, clock: Clock, reservation_ttl_seconds: float) -> None:
        self._database, self._clock = database, clock
        self._ttl = timedelta(seconds=reservation_ttl_seconds)

    async def now(self) -> dict[str, Any]:
        """{"at", "checkoutsPerSecond", "skus", "low", "holds": [{"fromMinutes", "count"}], "overdueHolds",
        "ordersLastMinute": {status: count}}"""
        now = self._clock.now()
        recent = {"createdAt": {"$gte": now - RECENT}}
        return {
            "at": now,
            "checkoutsPerSecond": await self._checkouts_per_second(),
            "skus": await self._database["inventory"].estimated_document_count(),
            "low": await self._database["inventory"].count_documents({"low": True}, limit=10_000),
            "holds": [await self._holds(younger, older) for younger, older in pairwise(HOLD_AGES_MINUTES)],
            "overdueHolds": await self._active({"$lt": now}),
            "ordersLastMinute": {
                status: await self._database["orders"].count_documents({"status": status, **recent})
                for status in STATUSES
            },
        }

    async def _checkouts_per_second(self) -> float:
        since = self._clock.now() - timedelta(seconds=RATE_OVER_SECONDS)
        placed: int = await self._database["orders"].count_documents({"createdAt": {"$gte": since}})
        return placed / RATE_OVER_SECONDS

    async def _holds(self, younger_minutes: int, older_minutes: int) -> dict[str, int]:
        """Active holds of an age: a hold made `n` minutes ago expires `ttl - n` minutes from now."""
        end = self._clock.now() + self._ttl
        ages = {"$gt": end - timedelta(minutes=older_minutes), "$lte": end - timedelta(minutes=younger_minutes)}
        return {"fromMinutes": younger_minutes, "count": await self._active(ages)}

    async def _active(self, expires_at: dict[str, Any]) -> int:
        count: int = await self._database["reservations"].count_documents(
            {"status": "active", "expiresAt": expires_at}, limit=100_000
        )
        return count
