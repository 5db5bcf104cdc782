"""The ways to reserve that others use, each as short as its authors would write it. Also what a strategy is.

Every strategy has a database of its own, so its documents are its own audit: what its holds say was sold, against
the stock it was given."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from pymongo.errors import PyMongoError

from benchmarks.kit.outcome import RunInvalid

Database = Any
Client = Any

WRITTEN_IN_TRANSACTIONS = ("orders", "holds", "history")
BACKOFF_SECONDS = 0.001
BACKOFF_SECONDS_MAX = 0.05


class Strategy(ABC):
    name: ClassVar[str]

    def __init__(self, client: Client, database: Database, randomness: random.Random) -> None:
        self.client, self.database, self.randomness = client, database, randomness
        self.retried = 0

    @property
    def client_retries(self) -> int:
        """How often this client had to run something again."""
        return self.retried

    async def stock(self, skus: Sequence[str], units: int) -> None:
        """Starts anew with `units` of each SKU."""
        await self.client.drop_database(self.database.name)
        for collection in WRITTEN_IN_TRANSACTIONS:
            await self.database.create_collection(collection)
        await self.database.inventory.insert_many(
            [{"_id": sku, "available": units, "reserved": 0, "version": 0} for sku in skus]
        )

    @abstractmethod
    async def buy(self, sku: str) -> bool:
        """Reserves one unit. False when there is none left."""

    async def held(self) -> dict[str, int]:
        """Units each SKU's holds add up to."""
        per_sku = await self.database.holds.aggregate(
            [{"$group": {"_id": "$sku", "units": {"$sum": "$quantity"}}}]
        ).to_list(None)
        return {row["_id"]: row["units"] for row in per_sku}

    async def hold(self, sku: str, session: Any = None) -> None:
        await self.database.holds.insert_one({"sku": sku, "quantity": 1, "status": "active"}, session=session)


class ReadThenWrite(Strategy):
    """Look, decide, write: sells the last unit to everybody who looked in time."""

    name = "read_then_write"

    async def buy(self, sku: str) -> bool:
        stock = await self.database.inventory.find_one({"_id": sku})
        if stock["available"] < 1:
            return False
        left = {"available": stock["available"] - 1, "reserved": stock["reserved"] + 1}
        await self.database.inventory.update_one({"_id": sku}, {"$set": left})
        await self.hold(sku)
        return True


class TransactionPerRequest(Strategy):
    """The textbook: the driver's own with_transaction, which runs the body again on every conflict."""

    name = "transaction_per_request"

    async def buy(self, sku: str) -> bool:
        attempts = 0

        async def body(session: Any) -> bool:
            nonlocal attempts
            attempts += 1
            return await self._reserve(sku, session)

        try:
            async with await self.client.start_session() as session:
                reserved = bool(await session.with_transaction(body))
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
            gave_up = (
                f"a buyer's transaction lost every race for two minutes ({attempts} attempts): the machine is too busy"
            )
            raise RunInvalid(gave_up) from error
        self.retried += attempts - 1
        return reserved

    async def _reserve(self, sku: str, session: Any) -> bool:
        taken = await self.database.inventory.update_one(
            {"_id": sku, "available": {"$gte": 1}}, {"$inc": {"available": -1, "reserved": 1}}, session=session
        )
        if not taken.modified_count:
            return False
        await self.database.orders.insert_one({"sku": sku, "status": "pending"}, session=session)
        await self.hold(sku, session)
        await self.database.history.insert_one({"sku": sku, "delta": -1}, session=session)
        return True


class OptimisticVersion(Strategy):
    """Read, compare, write guarded by the version read; start again when somebody was faster."""

    name = "optimistic_version"

    async def buy(self, sku: str) -> bool:
        pause = BACKOFF_SECONDS
        while True:
            stock = await self.database.inventory.find_one({"_id": sku})
            if stock["available"] < 1:
                return False
            if await self._write(stock):
                await self.hold(sku)
                return True
            self.retried += 1
            await self._back_off(pause)
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)

    async def _write(self, stock: dict[str, Any]) -> bool:
        written = await self.database.inventory.update_one(
            {"_id": stock["_id"], "version": stock["version"]},
            {"$inc": {"available": -1, "reserved": 1, "version": 1}},
        )
        return bool(written.modified_count)

    async def _back_off(self, seconds: float) -> None:
        await asyncio.sleep(self.randomness.random() * seconds)


class ConditionalUpdate(Strategy):
    """One guarded update, then the hold. Never oversells; a crash between the two loses a unit."""

    name = "conditional_update"

    async def buy(self, sku: str) -> bool:
        taken = await self.database.inventory.update_one(
            {"_id": sku, "available": {"$gte": 1}}, {"$inc": {"available": -1, "reserved": 1}}
        )
        if not taken.modified_count:
            return False
        await self.hold(sku)
        return True
