"""The conservation law, checked over the live database. It reports and changes nothing.

All checks read one snapshot, so traffic during the audit is no excuse and no false alarm. Sums are made by the
server; what comes back is one row a SKU, or the violations alone.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from service.clock import Clock
from service.infra.mongo.client import Database, Session
from service.inventory import books
from service.orders.repository import to_order
from service.orders.return_models import ReturnStatus

EXAMPLES_MAX = 5
CLOCKS_APART = timedelta(seconds=10)  # at most, of two machines
OVERDUE_AFTER = timedelta(minutes=10)  # two sweeps
SOLD = ["paid", "shipped", "delivered", "refunded"]
ACCOUNT_ID = "^[0-9a-f]{28}$"
OPEN = ["processing", "unknown", "requires_action", "returning"]


@dataclass(slots=True)
class Check:
    name: str
    violations: int = 0
    examples: list[Any] = field(default_factory=list)

    def add(self, example: Any) -> None:
        self.violations += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(example)

    def document(self) -> dict[str, Any]:
        found = {"violations": self.violations, "examples": self.examples}
        return {"name": self.name, "ok": self.violations == 0, **found}


class Audit:
    def __init__(self, client: Any, database: Database, clock: Clock) -> None:
        self._client, self._database, self._clock = client, database, clock

    async def run(self, done: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """{"ok", "checks": [{"name", "ok", "violations", "examples"}]}. `done` hears each finished step."""
        checks: list[Check] = []
        async with await self._client.start_session(snapshot=True) as session:
            for step in (
                self._stock,
                self._holds_of_settled_orders,
                self._lines_of_sold_orders,
                self._pending_orders,
                self._overdue,
                self._money,
                self._coupon_uses,
                self._accounts,
                self._returns,
            ):
                checks += await step(session)
                done(checks[-1].name)
        return {"ok": all(not check.violations for check in checks), "checks": [c.document() for c in checks]}

    async def _stock(self, session: Session) -> list[Check]:
        sums = {row["_id"]: row async for row in books.history_sums(self._database, session)}
        held = {row["_id"]: row["quantity"] async for row in books.active_holds(self._database, session)}
        names = (
            "on_hand_is_the_sum_of_history",
            "reserved_is_the_sum_of_active_holds",
            "available_is_never_negative",
            "history_has_no_gaps",
        )
        on_hand, reserved, available, gaps = checks = [Check(name) for name in names]
        async for stock in self._database["inventory"].find({}, session=session):
            history = sums.pop(stock["_id"], {"onHand": 0, "reserved": 0, "entries": 0, "last": 0, "lowest": 0})
            if (stock["onHand"], stock["reserved"]) != (history["onHand"], history["reserved"]):
                on_hand.add({"sku": stock["_id"], "onHand": stock["onHand"], "history": history["onHand"]})
            if stock["reserved"] != held.pop(stock["_id"], 0):
                reserved.add({"sku": stock["_id"], "reserved": stock["reserved"]})
            lowest = min(stock["available"], history["lowest"])
            if stock["available"] != stock["onHand"] - stock["reserved"] or lowest < 0:
                available.add({"sku": stock["_id"], "available": stock["available"], "lowest": lowest})
            if not stock["seq"] == history["entries"] == history["last"]:
                gaps.add({"sku": stock["_id"], "seq": stock["seq"], "entries": history["entries"]})
        for sku in sums:
            on_hand.add({"sku": sku, "onHand": None})
        for sku in held:
            reserved.add({"sku": sku, "reserved": None})
        return checks

    async def _holds_of_settled_orders(self, session: Session) -> list[Check]:
        stages = [
            {"$match": {"status": "active"}},
            {"$group": {"_id": "$orderId"}},
            {"$lookup": {"from": "orders", "localField": "_id", "foreignField": "_id", "as": "order"}},
            {"$match": {"order.status": {"$ne": "pending"}}},
            {"$project": {"status": {"$first": "$order.status"}}},
        ]
        return [await self._all("only_pending_orders_hold_stock", "reservations", stages, session)]

    async def _lines_of_sold_orders(self, session: Session) -> list[Check]:
        """Each SKU of a sold order against the sum of its confirmed reservations, and nothing else confirmed."""
        confirmed = [
            {"$match": {"status": "confirmed"}},
            {"$group": {"_id": "$sku", "quantity": {"$sum": "$quantity"}}},
            {"$project": {"_id": 0, "sku": "$_id", "quantity": 1}},
        ]
        wanted = {"$map": {"input": "$items", "in": {"quantity": "$$this.quantity", "sku": "$$this.sku"}}}
        stages = [
            {"$match": {"status": {"$in": SOLD}}},
            {
                "$lookup": {
                    "from": "reservations",
                    "localField": "_id",
                    "foreignField": "orderId",
                    "pipeline": confirmed,
                    "as": "held",
                }
            },
            {"$match": {"$expr": {"$not": {"$setEquals": ["$held", wanted]}}}},
            {"$project": {"status": 1, "held": 1}},
        ]
        unsold = [
            {"$match": {"status": "confirmed"}},
            {"$group": {"_id": "$orderId"}},
            {"$lookup": {"from": "orders", "localField": "_id", "foreignField": "_id", "as": "order"}},
            {"$match": {"order.status": {"$nin": SOLD}}},
            {"$project": {"status": {"$first": "$order.status"}}},
        ]
        return [
            await self._all("sold_orders_have_exactly_their_stock", "orders", stages, session),
            await self._all("stock_is_sold_to_paid_orders_only", "reservations", unsold, session),
        ]

    async def _pending_orders(self, session: Session) -> list[Check]:
        """One whose time is over may have been swept; the order does not say."""
        running = {"reservation.expiresAt": {"$gt": self._clock.now() + CLOCKS_APART}, "held.status": {"$ne": "active"}}
        stages = [
            {"$match": {"status": "pending", "reservation.status": "active"}},
            {"$lookup": {"from": "reservations", "localField": "_id", "foreignField": "orderId", "as": "held"}},
            {"$match": {"$or": [running, {"held.status": {"$nin": ["active", "expired"]}}]}},
            {"$project": {"status": 1}},
        ]
        return [await self._all("an_active_reservation_is_backed_by_holds", "orders", stages, session)]

    async def _overdue(self, session: Session) -> list[Check]:
        overdue: datetime = self._clock.now() - OVERDUE_AFTER
        stages = [
            {"$match": {"status": "active", "expiresAt": {"$lt": overdue}}},
            {"$project": {"orderId": 1, "expiresAt": {"$toString": "$expiresAt"}}},
        ]
        return [await self._all("no_hold_outlives_its_sweep", "reservations", stages, session)]

    async def _money(self, session: Session) -> list[Check]:
        """What the simulated provider kept against what the orders say; attempts still open are not judged."""
        returned = {"$filter": {"input": {"$ifNull": ["$order.refunds", []]}, "cond": "$$this.done"}}
        owed = {
            "$cond": [
                {"$and": [{"$in": ["$order.status", SOLD]}, {"$eq": ["$order.payment.id", "$_id"]}]},
                {"$subtract": ["$order.total", {"$sum": {"$map": {"input": returned, "in": "$$this.amount"}}}]},
                0,
            ]
        }
        unjust = [
            {"$match": {"status": "paid"}},
            {"$lookup": {"from": "orders", "localField": "orderId", "foreignField": "_id", "as": "order"}},
            {"$set": {"order": {"$first": "$order"}}},
            {"$match": {"order.payment.status": {"$nin": OPEN}, "order.refunds.done": {"$ne": False}}},
            {"$set": {"kept": {"$subtract": ["$amount", "$refunded"]}, "owed": owed}},
            {"$match": {"$expr": {"$ne": ["$kept", "$owed"]}}},
            {"$project": {"orderId": 1, "kept": 1, "owed": 1}},
        ]
        unpaid = [
            {"$match": {"status": {"$in": SOLD}, "total": {"$gt": 0}}},
            {"$lookup": {"from": "gateway_charges", "localField": "payment.id", "foreignField": "_id", "as": "charge"}},
            {"$match": {"charge.status": {"$ne": "paid"}}},
            {"$project": {"status": 1}},
        ]
        checks = [await self._all("no_money_is_kept_without_an_order", "gateway_charges", unjust, session)]
        if await self._database["gateway_charges"].find_one({}, {"_id": 1}, session=session):
            checks.append(await self._all("no_order_is_sold_without_money", "orders", unpaid, session))
        return checks

    async def _coupon_uses(self, session: Session) -> list[Check]:
        """A use counts for an order that is sold, and for one that waits until its hold has run out."""
        held = {"$and": [{"$eq": ["$status", "pending"]}, {"$ne": ["$couponHeld", False]}]}
        counts = {"$or": [{"$in": ["$status", SOLD]}, held]}
        using = [
            {"$match": {"coupon": {"$type": "string"}}},
            {"$match": {"$expr": counts}},
            {"$group": {"_id": "$coupon", "orders": {"$sum": 1}}},
        ]
        orders = {row["_id"]: row["orders"] async for row in self._rows("orders", using, session)}
        check = Check("coupons_are_used_by_the_orders_that_stand")
        async for coupon in self._database["coupons"].find({}, {"used": 1}, session=session):
            if coupon["used"] != orders.get(coupon["_id"], 0):
                check.add({"code": coupon["_id"], "used": coupon["used"], "orders": orders.get(coupon["_id"], 0)})
        return [check]

    async def _accounts(self, session: Session) -> list[Check]:
        """Erased accounts are there still, without the person. None at all: these stores are a part of others."""
        missing = [
            {"$match": {"userId": {"$regex": ACCOUNT_ID}}},
            {"$group": {"_id": "$userId", "orders": {"$sum": 1}}},
            {"$lookup": {"from": "users", "localField": "_id", "foreignField": "_id", "as": "user"}},
            {"$match": {"user": []}},
            {"$project": {"orders": 1}},
        ]
        check = Check("orders_belong_to_accounts")
        if await self._database["users"].find_one({}, {"_id": 1}, session=session):
            async for row in self._rows("orders", missing, session):
                check.add(dict(row))
        return [check]

    async def _returns(self, session: Session) -> list[Check]:
        """No unit comes back twice, and what a closed return put on the shelf is what the history says."""
        units, stock = Check("no_more_comes_back_than_was_sold"), Check("returns_agree_with_the_history")
        counted = [
            {"$match": {"kind": "restock", "reference.kind": "return"}},
            {"$group": {"_id": {"id": "$reference.id", "sku": "$sku"}, "units": {"$sum": "$onHandDelta"}}},
        ]
        rows = books.rows(self._database, "stock_history", counted, session)
        moved = {(row["_id"]["id"], row["_id"]["sku"]): row["units"] async for row in rows}
        async for document in self._database["orders"].find({"returns.0": {"$exists": True}}, session=session):
            order = to_order(document)
            if order.returned_too_much:
                units.add({"_id": order.id})
            for one in order.returns:
                for line in one.lines:
                    expected = line.restocked if one.status is ReturnStatus.CLOSED else 0
                    if moved.pop((one.id, line.sku), 0) != expected:
                        stock.add({"_id": order.id, "return": one.id, "sku": line.sku})
        for return_id, sku in moved:
            stock.add({"return": return_id, "sku": sku})
        return [units, stock]

    async def _all(self, name: str, collection: str, stages: list[Any], session: Session) -> Check:
        """A check whose pipeline returns its violations."""
        check = Check(name)
        async for row in self._rows(collection, stages, session):
            check.add(dict(row))
        return check

    def _rows(self, collection: str, stages: list[Any], session: Session) -> AsyncIterator[Mapping[str, Any]]:
        rows: AsyncIterator[Mapping[str, Any]] = self._database[collection].aggregate(
            stages, allowDiskUse=True, session=session
        )
        return rows
