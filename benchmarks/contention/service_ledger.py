"""The service's own way: every checkout is a posting, and all that wait are committed in one transaction."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from benchmarks.contention.strategies import Client, Database, Strategy
from service.clock import SystemClock
from service.config import Config
from service.events import OrderPlaced
from service.ids import Ids
from service.infra.indexes import reconcile
from service.infra.mongo import Transactions
from service.infra.outbox import Outbox
from service.inventory.indexes import INDEXES
from service.inventory.ledger import Ledger
from service.inventory.models import InsufficientStock, Line, Posting, Reserve, Write
from service.inventory.repository import Bookkeeping, InventoryRepository
from service.inventory.usecases import Inventory

BUYER = "buyer"


class GroupCommit(Strategy):
    """The real ledger: order, hold, history, outbox and guards included, with the indexes the service keeps."""

    name = "group_commit"

    def __init__(self, client: Client, database: Database, randomness: random.Random) -> None:
        super().__init__(client, database, randomness)
        self._clock = SystemClock()
        self._ids = Ids(self._clock, randomness)
        self._config = replace(Config(), database=database.name)
        self._transactions = Transactions(client, self._clock, self._ids, self._config)
        outbox = Outbox(database, self._clock, self._ids)
        self._ledger = Ledger(Bookkeeping(database), self._transactions, outbox, self._clock, self._config)
        self._repository = InventoryRepository(database)
        self._inventory = Inventory(self._repository, self._ledger, self._clock, self._config)

    @property
    def client_retries(self) -> int:
        return self._transactions.retries

    async def stock(self, skus: Sequence[str], units: int) -> None:
        await self.client.drop_database(self.database.name)
        await reconcile(self.database, INDEXES)
        for sku in skus:
            await self._repository.create(sku, sku, 0, self._clock.now())
        lines_max = self._config.order_lines_max
        for start in range(0, len(skus), lines_max):
            await self._inventory.receive([Line(sku, units) for sku in skus[start : start + lines_max]], BUYER)

    async def buy(self, sku: str) -> bool:
        try:
            await self._ledger.post(self._checkout(sku))
        except InsufficientStock:
            return False
        return True

    def _checkout(self, sku: str) -> Posting:
        order_id, now = self._ids.new(), self._clock.now()
        expires_at = now + timedelta(seconds=self._config.reservation_ttl_seconds)
        order = {"userId": BUYER, "status": "pending", "items": [{"sku": sku, "quantity": 1}], "createdAt": now}
        return Posting(
            Reserve(order_id, BUYER, (Line(sku, 1),), expires_at),
            actor=BUYER,
            reason="checkout",
            order_id=order_id,
            writes=(Write("orders", order_id, order),),
            facts=(OrderPlaced(order_id, BUYER),),
        )

    async def held(self) -> dict[str, int]:
        grouped: list[dict[str, Any]] = [{"$group": {"_id": "$sku", "units": {"$sum": "$quantity"}}}]
        per_sku = await self.database.reservations.aggregate(grouped).to_list(None)
        return {row["_id"]: row["units"] for row in per_sku}
