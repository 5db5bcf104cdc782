"""All queries of inventory. `LedgerStore` is the ledger's: the only code that writes quantities."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pymongo import UpdateOne

from service.config import Config
from service.idempotency import IdempotencyRecord
from service.infra.mongo.client import Database, Session
from service.infra.mongo.commands import Command, CommandRunner, FindCommand, insert, update
from service.inventory.allowance import holders_of
from service.inventory.documents import (
    HOLD_FIELDS,
    LAPSED_FIELDS,
    STOCK_FIELDS,
    history_document,
    history_id,
    reference_documents,
    reference_prefix,
    reservation_documents,
    stock_fields,
    to_hold,
    to_lapsed,
    to_movement,
    to_stock,
)
from service.inventory.known_stock import KnownStock
from service.inventory.models import (
    BatchState,
    Confirm,
    Correct,
    Count,
    Expire,
    Hold,
    HoldChange,
    Holder,
    Lapsed,
    Movement,
    MovementKind,
    Posting,
    Reference,
    Release,
    Reserve,
    Stock,
    StockMoved,
    Write,
)

HOLDERS = "holders"
REFERENCES = "movement_references"
LAST = "\uffff"  # after every SKU
LEVEL_FIELDS = {"sku": 1, "seq": 1, "onHand": 1}


class LedgerStore:
    """Reads what a batch needs in one snapshot and writes what was decided, inside the ledger's transaction."""

    def __init__(self, runner: CommandRunner, config: Config) -> None:
        self._runner, self._known = runner, KnownStock(config.stock_assumed_after)
        self._holders_kept = timedelta(seconds=config.reservation_ttl_seconds + config.unpaid_holds_remembered_seconds)

    def keep(self, left: Mapping[str, Stock]) -> None:
        """The stock as a committed batch left it, for the next one to go by."""
        self._known.keep(left)

    def forget(self) -> None:
        """After a batch that failed, or whose end is not known."""
        self._known.forget()

    async def open(self, batch: Sequence[Posting], session: Session, assume: bool = False) -> BatchState:
        holds = await self._holds(_resolved(batch), session)
        skus = {line.sku for p in batch for line in getattr(p.action, "lines", ())}
        skus |= {line.sku for hold in holds.values() for line in hold.lines}
        assumed = self._known.assumed(skus) if assume else None
        reading = skus if assumed is None else set()
        claims = {posting.claim.id for posting in batch if posting.claim is not None}
        limited = _limited(batch)
        counted_at = _counted_at(batch)
        guarded = _guarded(batch)
        finds = [
            *([FindCommand("inventory", {"_id": {"$in": sorted(reading)}}, STOCK_FIELDS)] if reading else []),
            *([FindCommand("idempotency", {"_id": {"$in": sorted(claims)}})] if claims else []),
            *([FindCommand(HOLDERS, {"_id": {"$in": sorted(limited)}})] if limited else []),
            *([FindCommand("stock_history", {"_id": {"$in": counted_at}}, LEVEL_FIELDS)] if counted_at else []),
            *guarded,
        ]
        found = iter(await self._runner.find_all(finds, session) if finds else [])
        read = {document["_id"]: to_stock(document) for document in next(found)} if reading else {}
        recorded = {d["_id"]: IdempotencyRecord(d["fingerprint"], d["outcome"]) for d in next(found)} if claims else {}
        holders = {d["_id"]: Holder(d["_id"], tuple(d["orders"]), d["seq"]) for d in next(found)} if limited else {}
        levels = {(d["sku"], d["seq"]): d["onHand"] for d in next(found)} if counted_at else {}
        documents = {(find.collection, d["_id"]): d for find, each in zip(guarded, found, strict=True) for d in each}
        self._known.compare(read)
        counted = {order_id for holder in holders.values() for order_id in holder.orders}
        holds |= await self._holds(counted - holds.keys(), session)
        return BatchState(assumed or read, holds, documents, recorded, holders, levels, bool(assumed))

    async def _holds(self, order_ids: Collection[str], session: Session) -> dict[str, Hold]:
        """Those the batch resolves are read first: the stock to be read depends on them."""
        if not order_ids:
            return {}
        (found,) = await self._runner.find_all(
            [FindCommand("reservations", {"orderId": {"$in": sorted(order_ids)}}, HOLD_FIELDS)], session
        )
        by_order: dict[str, list[Mapping[str, Any]]] = {}
        for document in found:
            by_order.setdefault(document["orderId"], []).append(document)
        return {order_id: to_hold(documents) for order_id, documents in by_order.items()}

    async def write(
        self,
        stock: Sequence[tuple[Stock, Stock]],
        movements: Sequence[Movement],
        holds: Sequence[HoldChange],
        writes: Sequence[Write],
        records: Sequence[Mapping[str, Any]],
        facts: Sequence[Command],
        now: datetime,
        session: Session,
        holders: Sequence[tuple[Holder | None, Holder]] = (),
    ) -> None:
        """`stock` and `holders` have each as it was read and as it is now; `facts` are the outbox's."""
        guarded = [*self._stock_commands(stock, now), *self._holder_commands(holders, now)]
        commands = [
            *guarded,
            *self._history_commands(movements),
            *self._hold_commands(holds, now),
            *self._document_commands(writes),
            *([insert("idempotency", records)] if records else []),
            *facts,
        ]
        if commands:
            replies = await self._runner.send_all(commands, session)
            if sum(reply["n"] for reply in replies[: len(guarded)]) != len(stock) + len(holders):
                raise StockMoved

    def _stock_commands(self, stock: Sequence[tuple[Stock, Stock]], now: datetime) -> list[Command]:
        """One guarded update per SKU: it must still be as it was read. A threshold is changed without a
        movement, and so is whether it is on sale: `seq` alone does not tell."""
        updates = [
            {
                "q": {
                    **{"_id": after.sku, "seq": before.seq, "lowStockThreshold": before.threshold},
                    "onSale": {"$ne": not before.on_sale},
                },
                "u": {"$set": stock_fields(after, now)},
            }
            for before, after in stock
        ]
        return [update("inventory", updates)] if updates else []

    def _holder_commands(self, holders: Sequence[tuple[Holder | None, Holder]], now: datetime) -> list[Command]:
        """Customers who hold for the first time are inserted; of the others each must still be as it was read."""
        expires_at = now + self._holders_kept
        new = [
            {"_id": after.user_id, "orders": list(after.orders), "seq": after.seq, "expiresAt": expires_at}
            for before, after in holders
            if before is None
        ]
        updates = [
            {
                "q": {"_id": after.user_id, "seq": before.seq},
                "u": {"$set": {"orders": list(after.orders), "seq": after.seq, "expiresAt": expires_at}},
            }
            for before, after in holders
            if before is not None
        ]
        return _commands(HOLDERS, new, updates)

    def _history_commands(self, movements: Sequence[Movement]) -> list[Command]:
        referring = reference_documents(movements)
        return [
            *([insert("stock_history", [history_document(each) for each in movements])] if movements else []),
            *([insert(REFERENCES, referring)] if referring else []),
        ]

    def _hold_commands(self, holds: Sequence[HoldChange], now: datetime) -> list[Command]:
        """Neighbours that change alike share a statement: a sweep is one update, not hundreds."""
        born = [change.hold for change in holds if change.before is None]
        resolved = [change for change in holds if change.before is not None]
        updates = [
            {
                "q": {"orderId": {"$in": [change.hold.order_id for change in alike]}, "status": before},
                "u": {"$set": {"status": after.value, "resolvedAt": now}},
                "multi": True,
            }
            for (before, after), alike in groupby(resolved, key=lambda change: (change.before, change.hold.status))
        ]
        return _commands("reservations", [one for hold in born for one in reservation_documents(hold, now)], updates)

    def _document_commands(self, writes: Sequence[Write]) -> list[Command]:
        by_collection: dict[str, list[Write]] = {}
        for write in writes:
            by_collection.setdefault(write.collection, []).append(write)
        return [
            command
            for collection, wanted in by_collection.items()
            for command in _commands(collection, _new_documents(wanted), _statements(wanted))
        ]


def _resolved(batch: Sequence[Posting]) -> set[str]:
    resolved = {p.action.order_id for p in batch if isinstance(p.action, Confirm | Release | Expire)}
    return resolved.union(*(p.action.releases for p in batch if isinstance(p.action, Correct)))


def _counted_at(batch: Sequence[Posting]) -> list[str]:
    """The entries of the history that counts go by."""
    lines = [line for p in batch if isinstance(p.action, Count) for line in p.action.lines]
    return sorted({history_id(line.sku, line.at_seq) for line in lines if line.at_seq is not None and line.at_seq > 0})


def _limited(batch: Sequence[Posting]) -> set[str]:
    """The customers whose holds a batch counts."""
    reserves = (p.action for p in batch if isinstance(p.action, Reserve) and p.action.limits is not None)
    return {name for reserve in reserves for name in holders_of(reserve)}


def _guarded(batch: Sequence[Posting]) -> list[FindCommand]:
    """The documents that postings expect something of, with the fields they look at."""
    wanted: dict[str, set[str]] = {}
    fields: dict[str, int] = {}
    for expect in (expect for posting in batch for expect in posting.expects):
        wanted.setdefault(expect.collection, set()).add(expect.id)
        fields[expect.field] = 1
    return [FindCommand(collection, {"_id": {"$in": sorted(ids)}}, fields) for collection, ids in wanted.items()]


def _commands(collection: str, new: Sequence[Mapping[str, Any]], updates: Sequence[Mapping[str, Any]]) -> list[Command]:
    """What appears goes first: nothing that a batch inserts is looked for by a change it makes to older documents."""
    inserted = [insert(collection, new)] if new else []
    return [*inserted, update(collection, updates)] if updates else inserted


def _new_documents(writes: Sequence[Write]) -> list[Mapping[str, Any]]:
    return [{"_id": write.id, **write.document} for write in writes if write.document is not None]


def _statements(writes: Sequence[Write]) -> list[Mapping[str, Any]]:
    """In order; neighbours that change different documents alike share a statement."""
    statements: list[Mapping[str, Any]] = []
    changing = [write for write in writes if write.document is None]
    for change, run in groupby(changing, key=lambda write: write.update):
        alike = list(run)
        ids = [write.id for write in alike]
        if not any(write.upsert for write in alike) and len(set(ids)) == len(ids):
            statements.append({"q": {"_id": {"$in": ids}}, "u": change, "multi": True})
        else:
            statements += [{"q": {"_id": write.id}, "u": change, "upsert": write.upsert} for write in alike]
    return statements


class StockFilters(Struct, frozen=True):
    """Of a list of stock; None asks for both."""

    prefix: str = ""
    low: bool | None = None
    on_sale: bool | None = None
    in_stock: bool | None = None

    def fields(self) -> tuple[tuple[str, Any], ...]:
        """Each as the stored stock says it."""
        available = None if self.in_stock is None else {"$gt": 0} if self.in_stock else {"$lte": 0}
        on_sale = None if self.on_sale is None else {"$ne": not self.on_sale}
        return ("low", self.low), ("onSale", on_sale), ("available", available)


class InventoryRepository:
    """Reads, and the fields of an inventory document that are not quantities."""

    def __init__(self, database: Database) -> None:
        self._inventory = database["inventory"]
        self._history = database["stock_history"]
        self._reservations, self._references = database["reservations"], database[REFERENCES]

    async def create(self, sku: str, product_id: str, threshold: int, now: datetime, session: Session = None) -> None:
        """An empty SKU. Does nothing if it exists."""
        await self.create_all({sku: product_id}, threshold, now, session)

    async def create_all(
        self, products: Mapping[str, str], threshold: int, now: datetime, session: Session = None
    ) -> None:
        """An empty SKU for each of `products` (SKU → product id) that is not there yet."""
        empty = {"onHand": 0, "reserved": 0, "available": 0, "low": True, "seq": 0, "onSale": True}
        fields = {"lowStockThreshold": threshold, "updatedAt": now, **empty}
        writes = [
            UpdateOne({"_id": sku}, {"$setOnInsert": {"productId": product_id, **fields}}, upsert=True)
            for sku, product_id in products.items()
        ]
        if writes:
            await self._inventory.bulk_write(writes, ordered=False, session=session)

    async def set_on_sale(self, skus: Mapping[str, bool], now: datetime, session: Session) -> list[tuple[Stock, Stock]]:
        """Whether each of the SKUs has a live offer. Returns those for which that is new, as they were and are."""
        found = await self.stock(skus, session)
        changed = [
            (stock, replace(stock, on_sale=skus[sku])) for sku, stock in found.items() if stock.on_sale is not skus[sku]
        ]
        writes = [
            UpdateOne({"_id": after.sku}, {"$set": {"onSale": after.on_sale, "low": after.low, "updatedAt": now}})
            for _, after in changed
        ]
        if writes:
            await self._inventory.bulk_write(writes, ordered=False, session=session)
        return changed

    async def stock(self, skus: Iterable[str], session: Session = None) -> dict[str, Stock]:
        found = self._inventory.find({"_id": {"$in": sorted(skus)}}, STOCK_FIELDS, session=session)
        return {document["_id"]: to_stock(document) for document in await found.to_list(None)}

    async def history(self, sku: str, before_seq: int | None, limit: int) -> list[Movement]:
        """Newest first."""
        end = f"{sku}$" if before_seq is None else history_id(sku, before_seq)
        found = self._history.find({"_id": {"$gt": f"{sku}#", "$lt": end}}).sort("_id", -1).limit(limit)
        return [to_movement(document) for document in await found.to_list(limit)]

    async def referring(self, reference: Reference, after: str, limit: int) -> list[Movement]:
        """The movements of a document, by SKU and age."""
        prefix = reference_prefix(reference)
        of_it = {"_id": {"$gt": prefix + after, "$lt": prefix + LAST}}
        found = await self._references.find(of_it).sort("_id", 1).limit(limit).to_list(limit)
        ids = [document["_id"].removeprefix(prefix) for document in found]
        entries = await self._history.find({"_id": {"$in": ids}}).sort("_id", 1).to_list(None)
        return [to_movement(document) for document in entries]

    async def listed(self, filters: StockFilters, after_sku: str, limit: int) -> list[Stock]:
        """By SKU."""
        query: dict[str, Any] = {"_id": {"$gt": max(after_sku, filters.prefix), "$lt": filters.prefix + LAST}}
        if filters.prefix and after_sku < filters.prefix:
            query["_id"] = {"$gte": filters.prefix, "$lt": filters.prefix + LAST}
        query |= {name: wanted for name, wanted in filters.fields() if wanted is not None}
        found = self._inventory.find(query, STOCK_FIELDS).sort("_id", 1).limit(limit)
        return [to_stock(document) for document in await found.to_list(limit)]

    async def received_from(self, actor: str, skus: Iterable[str]) -> dict[str, int]:
        """Units that `actor` has ever brought in, by SKU; those of whom nothing came are missing."""
        of_skus = [{"_id": {"$gt": f"{sku}#", "$lt": f"{sku}$"}} for sku in skus]
        stages = [
            {"$match": {"$or": of_skus, "actor": {"$eq": actor}, "kind": MovementKind.RECEIVE.value}},
            {"$group": {"_id": "$sku", "units": {"$sum": "$onHandDelta"}}},
        ]
        found = await self._history.aggregate(stages).to_list(None) if of_skus else []
        return {document["_id"]: document["units"] for document in found}

    async def lapsed_holds(self, now: datetime, limit: int) -> list[Lapsed]:
        """Of the holds past their expiry and still active the oldest, by SKU: a batch of them then changes few SKUs,
        and seldom the same as a checkout does at that moment."""
        found = (
            self._reservations.find({"status": "active", "expiresAt": {"$lte": now}}, LAPSED_FIELDS)
            .sort("expiresAt", 1)
            .limit(limit)
        )
        by_sku = sorted(await found.to_list(limit), key=lambda document: document["sku"])
        return list({document["orderId"]: to_lapsed(document) for document in by_sku}.values())

    async def active_holds(self) -> int:
        count: int = await self._reservations.count_documents({"status": "active"})
        return count

    def all_history(self) -> AsyncIterator[Mapping[str, Any]]:
        cursor: AsyncIterator[Mapping[str, Any]] = self._history.find().sort("_id", 1)
        return cursor
