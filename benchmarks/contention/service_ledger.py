"""The service's own way: every checkout is a posting, and all that wait are committed in one transaction."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from benchmarks.contention.strategies import Client, Database, Strategy
from service import bootstrap
from service.config import Config
from service.infra.mongo.indexes import create_all
from service.infra.redis import client as redis
from service.inventory.models import HoldStatus, InsufficientStock, Line
from service.inventory.repository import InventoryRepository
from service.orders import postings
from service.orders.models import Order, OrderLine, OrderStatus, ReservationState, StatusChange

BUYER = "buyer"
PRICE = 1_299


class GroupCommit(Strategy):
    """The posting a checkout makes, on the real ledger: order, hold, history, outbox, guards and every index.

    Only the price look-up before it is left out, since none of the others looks a price up."""

    name = "group_commit"

    def __init__(self, client: Client, database: Database, randomness: random.Random) -> None:
        super().__init__(client, database, randomness)
        self._config = replace(Config(), database=database.name)
        stores = bootstrap.Stores(client, database, redis.connect(self._config))
        self._shop = bootstrap.build(self._config, stores, source=randomness)

    @property
    def client_retries(self) -> int:
        return self._shop.transactions.retries

    async def stock(self, skus: Sequence[str], units: int) -> None:
        await self.client.drop_database(self.database.name)
        await create_all(self.database, bootstrap.INDEXES)
        repository, now = InventoryRepository(self.database), self._shop.clock.now()
        for sku in skus:
            await repository.create(sku, sku, 0, now)
        lines_max = self._config.order_lines_max
        for start in range(0, len(skus), lines_max):
            lines = [Line(sku, units) for sku in skus[start : start + lines_max]]
            await self._shop.inventory.receive(lines, BUYER)

    async def buy(self, sku: str) -> bool:
        try:
            await self._shop.ledger.post(postings.placed(self._order(sku), key=None))
        except InsufficientStock:
            return False
        return True

    def _order(self, sku: str) -> Order:
        now = self._shop.clock.now()
        return Order(
            id=self._shop.ids.new(),
            number=self._shop.ids.number("HF-"),
            user_id=BUYER,
            status=OrderStatus.PENDING,
            lines=(OrderLine(sku, sku, sku, 1, PRICE),),
            subtotal=PRICE,
            discount=0,
            total=PRICE,
            currency=self._config.currency,
            created_at=now,
            reservation=ReservationState(
                HoldStatus.ACTIVE, now + timedelta(seconds=self._config.reservation_ttl_seconds)
            ),
            history=(StatusChange(OrderStatus.PENDING, now, BUYER),),
        )

    async def held(self) -> dict[str, int]:
        per_sku = await self.database.reservations.aggregate(
            [{"$group": {"_id": "$sku", "units": {"$sum": "$quantity"}}}]
        ).to_list(None)
        return {row["_id"]: row["units"] for row in per_sku}
