"""One holder at a time of a named duty, for as long as it renews. A holder that was paused past its lease may overlap
with the next one for a moment, so what the duty does must bear being done twice."""

from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from service.clock import Clock
from service.infra.mongo.client import Database


class Lease:
    def __init__(self, database: Database, name: str, holder: str, seconds: float, clock: Clock) -> None:
        self._leases, self._name, self._holder = database["leases"], name, holder
        self._length, self._clock = timedelta(seconds=seconds), clock

    async def hold(self) -> bool:
        """Takes the lease or renews it. False while another one holds it."""
        now = self._clock.now()
        mine_or_free = {"_id": self._name, "$or": [{"holder": self._holder}, {"until": {"$lte": now}}]}
        change = {"$set": {"holder": self._holder, "until": now + self._length}}
        try:
            await self._leases.update_one(mine_or_free, change, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def holder(self) -> str | None:
        """Who holds it now."""
        found = await self._leases.find_one({"_id": self._name, "until": {"$gt": self._clock.now()}})
        return None if found is None else str(found["holder"])

    async def let_go(self) -> None:
        await self._leases.delete_one({"_id": self._name, "holder": self._holder})
