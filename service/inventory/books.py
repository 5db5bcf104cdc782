"""The books of stock: each SKU's stored state against its history and its holds, and the correction that makes them
agree. What is on hand stays as it is stored, since sales went by it; the history is given the entry that it lacks."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec import Struct

from service.infra.mongo.client import Database, Session
from service.inventory.documents import to_stock
from service.inventory.models import Correction, Stock


class Book(Struct, frozen=True):
    """One SKU. `available` is what is stored beside the rest; `held` the units of its active holds."""

    stock: Stock
    available: int
    history_on_hand: int
    history_reserved: int
    last_seq: int
    held: int

    @property
    def agrees(self) -> bool:
        stock = self.stock
        return (stock.on_hand, stock.reserved, self.available) == (
            self.history_on_hand,
            self.history_reserved,
            stock.available,
        ) and (stock.reserved == self.held and stock.seq >= self.last_seq)

    @property
    def can_be_corrected(self) -> bool:
        return 0 <= self.held <= self.stock.on_hand

    def correction(self) -> Correction:
        return Correction(
            self.stock,
            on_hand_delta=self.stock.on_hand - self.history_on_hand,
            reserved_delta=self.held - self.history_reserved,
            reserved=self.held,
            seq=max(self.stock.seq, self.last_seq) + 1,
        )


def history_sums(database: Database, session: Session) -> AsyncIterator[Mapping[str, Any]]:
    """Of each SKU."""
    totals = {
        "onHand": {"$sum": "$onHandDelta"},
        "reserved": {"$sum": "$reservedDelta"},
        "entries": {"$sum": 1},
        "last": {"$max": "$seq"},
        "lowest": {"$min": {"$subtract": ["$onHand", "$reserved"]}},  # an oversell that goods in made up for
    }
    return rows(database, "stock_history", [{"$group": {"_id": "$sku", **totals}}], session)


def active_holds(database: Database, session: Session) -> AsyncIterator[Mapping[str, Any]]:
    """Units by SKU."""
    stages = [{"$match": {"status": "active"}}, {"$group": {"_id": "$sku", "quantity": {"$sum": "$quantity"}}}]
    return rows(database, "reservations", stages, session)


async def read_books(database: Database, session: Session) -> dict[str, Book]:
    """Every SKU's. Those that have only a history or holds have none."""
    sums = {row["_id"]: row async for row in history_sums(database, session)}
    held = {row["_id"]: row["quantity"] async for row in active_holds(database, session)}
    nothing: Mapping[str, Any] = {"onHand": 0, "reserved": 0, "last": 0}
    books = {}
    async for document in database["inventory"].find({}, session=session):
        sku, history = document["_id"], sums.get(document["_id"], nothing)
        books[sku] = Book(
            to_stock(document),
            document["available"],
            history["onHand"],
            history["reserved"],
            history["last"],
            held.get(sku, 0),
        )
    return books


def rows(database: Database, collection: str, stages: list[Any], session: Session) -> AsyncIterator[Mapping[str, Any]]:
    found: AsyncIterator[Mapping[str, Any]] = database[collection].aggregate(stages, allowDiskUse=True, session=session)
    return found
