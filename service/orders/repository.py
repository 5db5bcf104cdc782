"""All queries of orders. Statuses change only by a write that names the status it expects."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from service.config import Config
from service.idempotency import IdempotencyKey, IdempotencyRecord
from service.infra.mongo.client import Database
from service.infra.mongo.commands import CommandRunner, FindCommand, FindLoader
from service.inventory.models import HoldStatus
from service.orders.models import (
    OPEN_PAYMENTS,
    Coupon,
    CouponKind,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
)
from service.orders.return_models import Return

COLLECTION = "orders"
COUPONS = "coupons"
COUPON_USERS = "coupon_users"
RESOLVED_UNSOLD = [HoldStatus.RELEASED.value, HoldStatus.EXPIRED.value]
RETURNED, NOTHING_TOLD = {"returns.0": {"$exists": True}}, {"$set": {"returns.$[].reason": ""}}
OPEN = [status.value for status in OPEN_PAYMENTS]


def open_refunds_filter(made_before: datetime) -> dict[str, Any]:
    """`refunds.done` is asked for twice: a partial index is not seen through an $elemMatch alone."""
    return {"refunds.done": False, "refunds": {"$elemMatch": {"done": False, "at": {"$lt": made_before}}}}


class OrderRepository:
    def __init__(self, database: Database, runner: CommandRunner, config: Config) -> None:
        self._orders, self._reads = database[COLLECTION], FindLoader(runner, config)
        self._idempotency, self._reservations = database["idempotency"], database["reservations"]

    async def find(self, order_id: str) -> Order | None:
        document = await self._orders.find_one({"_id": order_id})
        return None if document is None else to_order(document)

    async def find_all(self, order_ids: Iterable[str]) -> list[Order]:
        found = self._orders.find({"_id": {"$in": sorted(order_ids)}})
        return [to_order(document) for document in await found.to_list(None)]

    async def of_payment(self, payment_id: str) -> Order | None:
        document = await self._orders.find_one({"payment.id": payment_id})
        return None if document is None else to_order(document)

    async def newest(
        self,
        user_id: str | None,
        status: OrderStatus | None,
        before: tuple[datetime, str] | None,
        limit: int,
        number: str | None = None,
    ) -> list[Order]:
        """Newest first, after the order `before` names by time and id."""
        query: dict[str, Any] = {} if number is None else {"number": number}
        if user_id is not None:
            query["userId"] = user_id
        if status is not None:
            query["status"] = status.value
        if before is not None:
            at, order_id = before
            query = {
                **query,
                "createdAt": {"$lte": at},
                "$or": [{"createdAt": {"$lt": at}}, {"createdAt": at, "_id": {"$lt": order_id}}],
            }
        newest = FindCommand(COLLECTION, query, sort=(("createdAt", -1), ("_id", -1)), limit=limit)
        return [to_order(document) for document in await self._reads.find(newest)]

    async def count_of(self, user_ids: Iterable[str]) -> int:
        """How many orders these customers have ever placed."""
        return int(await self._orders.count_documents({"userId": {"$in": list(user_ids)}}))

    async def paid_by(self, payment_ids: Sequence[str]) -> set[str]:
        """Those of them that an order knows as its payment."""
        found = self._orders.find({"payment.id": {"$in": list(payment_ids)}}, {"payment.id": 1})
        return {document["payment"]["id"] for document in await found.to_list(None)}

    async def newest_at(self) -> datetime | None:
        """When the last order was placed."""
        found = await self._orders.find_one({}, {"createdAt": 1}, sort=[("_id", -1)])  # ids begin with the time
        return None if found is None else found["createdAt"]

    async def forget_guest(self, order_id: str) -> None:
        """The order stays, without the address of the guest who placed it: no link opens it any more."""
        await self._orders.update_one({"_id": order_id}, {"$unset": {"shippingAddress": "", "email": ""}})
        await self._orders.update_many({"_id": order_id} | RETURNED, NOTHING_TOLD)

    async def mark_payment(self, order_id: str, payment_id: str, before: PaymentStatus, status: PaymentStatus) -> None:
        """Does nothing to an attempt that another process has brought on meanwhile: it is not as `before` any more."""
        await self._orders.update_one(
            {"_id": order_id, "payment.id": payment_id, "payment.status": before.value},
            {"$set": {"payment.status": status.value}},
        )

    async def open_payments(self, started_before: datetime, limit: int) -> list[Order]:
        """Orders whose payment was started and never settled, oldest first."""
        found = (
            self._orders.find({"payment.status": {"$in": OPEN}, "payment.startedAt": {"$lt": started_before}})
            .sort("payment.startedAt", 1)
            .limit(limit)
        )
        return [to_order(document) for document in await found.to_list(limit)]

    async def open_refunds(self, made_before: datetime, limit: int) -> list[Order]:
        """Orders with a refund that was promised and not yet confirmed by the provider."""
        found = self._orders.find(open_refunds_filter(made_before)).limit(limit)
        return [to_order(document) for document in await found.to_list(limit)]

    async def finish_refund(self, order_id: str, refund_id: str) -> None:
        await self._orders.update_one({"_id": order_id, "refunds.id": refund_id}, {"$set": {"refunds.$.done": True}})

    async def abandoned(self, expired_before: datetime, limit: int) -> list[Order]:
        """Pending orders whose hold ended before that, with no payment open, longest first."""
        found = (
            self._orders.find(
                {
                    "status": OrderStatus.PENDING.value,
                    "reservation.expiresAt": {"$lt": expired_before},
                    "payment.status": {"$nin": OPEN},
                }
            )
            .sort("reservation.expiresAt", 1)
            .limit(limit)
        )
        return [to_order(document) for document in await found.to_list(limit)]

    async def never_paid(
        self, placed_before: datetime, after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[datetime, str]]:
        """Cancelled orders for which no money ever came, longest first, by time and id."""
        query: dict[str, Any] = {
            "status": OrderStatus.CANCELLED.value,
            "createdAt": {"$lt": placed_before},
            "payment.status": {"$in": [None, PaymentStatus.DECLINED.value]},
        }
        if after is not None:
            at, order_id = after
            query["createdAt"]["$gte"] = at
            query["$or"] = [{"createdAt": {"$gt": at}}, {"createdAt": at, "_id": {"$gt": order_id}}]
        found = self._orders.find(query, {"createdAt": 1}).sort([("createdAt", 1), ("_id", 1)]).limit(limit)
        return [(document["createdAt"], document["_id"]) for document in await found.to_list(limit)]

    async def delete_never_paid(self, order_ids: Sequence[str]) -> int:
        """Those of the orders that are still such, and what became of their holds."""
        gone = {"_id": {"$in": list(order_ids)}, "status": OrderStatus.CANCELLED.value}
        deleted = await self._orders.delete_many(gone)
        await self._reservations.delete_many({"orderId": {"$in": list(order_ids)}, "status": {"$in": RESOLVED_UNSOLD}})
        return int(deleted.deleted_count)

    async def ordered_since(self, sku: str, since: Mapping[str, datetime]) -> set[str]:
        """Those users who have a living order of the SKU, placed after the instant given for each."""
        query = {
            "userId": {"$in": sorted(since)},
            "createdAt": {"$gte": min(since.values())},
            "items.sku": sku,
            "status": {"$ne": OrderStatus.CANCELLED.value},
        }
        found = await self._orders.find(query, {"userId": 1, "createdAt": 1}).to_list(None)
        return {document["userId"] for document in found if document["createdAt"] >= since[document["userId"]]}

    async def has_bought(self, user_id: str, product_id: str) -> bool:
        """Whether the customer has paid for the product, in whatever variant."""
        paid = [OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.REFUNDED]
        query = {"userId": user_id, "items.productId": product_id, "status": {"$in": [status.value for status in paid]}}
        return await self._orders.find_one(query, {"_id": 1}) is not None

    async def recorded(self, key_id: str) -> IdempotencyRecord | None:
        """What an idempotency key already stands for."""
        record = await self._idempotency.find_one({"_id": key_id})
        return None if record is None else IdempotencyRecord(record["fingerprint"], record["outcome"])


class ShippingAddresses:
    def __init__(self, database: Database) -> None:
        self._orders = database[COLLECTION]

    async def forget_user(self, user_id: str) -> None:
        """The orders stay; where the person lives goes, and what they wrote about their returns."""
        kept = {"userId": user_id, "shippingAddress": {"$exists": True}}
        await self._orders.update_many(kept, {"$unset": {"shippingAddress": ""}})
        await self._orders.update_many({"userId": user_id} | RETURNED, NOTHING_TOLD)


class CouponRepository:
    def __init__(self, database: Database) -> None:
        self._coupons = database[COUPONS]

    async def add(self, coupon: Coupon) -> bool:
        """False if there is one with this code."""
        try:
            await self._coupons.insert_one({"_id": coupon.code, **_coupon_document(coupon)})
        except DuplicateKeyError:
            return False
        return True

    async def find(self, code: str) -> Coupon | None:
        document = await self._coupons.find_one({"_id": code})
        return None if document is None else _to_coupon(document)

    async def edit(self, before: Coupon, after: Coupon) -> bool:
        """False if someone else edited it meanwhile. The count of its uses is left alone."""
        fields = {name: value for name, value in _coupon_document(after).items() if name not in {"used", "version"}}
        result = await self._coupons.update_one(
            {"_id": before.code, "version": before.version}, {"$set": fields, "$inc": {"version": 1}}
        )
        return bool(result.modified_count)

    async def by_code(self, after_code: str, limit: int) -> list[Coupon]:
        found = self._coupons.find({"_id": {"$gt": after_code}}).sort("_id", 1).limit(limit)
        return [_to_coupon(document) for document in await found.to_list(limit)]


def coupon_user_id(code: str, user_id: str) -> str:
    return f"{code}:{user_id}"


def status_update(status: OrderStatus, actor: str, at: datetime, **fields: Any) -> dict[str, Any]:
    """A status change and its entry in the status history."""
    return {
        "$set": {"status": status.value, "updatedAt": at, **fields},
        "$push": {"history": {"status": status.value, "at": at, "actor": actor}},
        "$inc": {"version": 1},
    }


def order_document(order: Order) -> dict[str, Any]:
    return {
        "number": order.number,
        "userId": order.user_id,
        "status": order.status.value,
        "items": [_line_document(line) for line in order.lines],
        "subtotal": order.subtotal,
        "discount": order.discount,
        "total": order.total,
        "currency": order.currency,
        "coupon": order.coupon,
        "createdAt": order.created_at,
        "updatedAt": order.created_at,
        "reservation": {"status": order.reservation.status.value, "expiresAt": order.reservation.expires_at},
        "history": [
            {"status": change.status.value, "at": change.at, "actor": change.actor} for change in order.history
        ],
        "version": 0,
        **({} if order.coupon is None else {"couponHeld": True}),
        **({} if order.email is None else {"email": order.email}),
        **({} if order.shipping_address is None else {"shippingAddress": dict(order.shipping_address)}),
    }


def _line_document(line: OrderLine) -> dict[str, Any]:
    return {
        "sku": line.sku,
        "productId": line.product_id,
        "name": line.name,
        "quantity": line.quantity,
        "unitPrice": line.unit_price,
    }


def payment_document(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "status": payment.status.value,
        "method": payment.method,
        "startedAt": payment.started_at,
        "key": None if payment.key is None else _key_document(payment.key),
    }


def _key_document(key: IdempotencyKey) -> dict[str, Any]:
    return {"id": key.id, "fingerprint": key.fingerprint, "expiresAt": key.expires_at}


def refund_document(refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "amount": refund.amount,
        "restocked": refund.restocked,
        "lines": [{"sku": line.sku, "quantity": line.quantity} for line in refund.lines],
        "at": refund.at,
        "actor": refund.actor,
        "done": refund.done,
    }


def return_document(one: Return) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(one, builtin_types=(datetime,))
    return document


def to_order(document: Mapping[str, Any]) -> Order:
    return msgspec.convert(document, Order)


def _coupon_document(coupon: Coupon) -> dict[str, Any]:
    return {
        "kind": coupon.kind.value,
        "value": coupon.value,
        "createdAt": coupon.created_at,
        "minimumSubtotal": coupon.minimum_subtotal,
        "startsAt": coupon.starts_at,
        "endsAt": coupon.ends_at,
        "usesMax": coupon.uses_max,
        "usesPerUserMax": coupon.uses_per_user_max,
        "active": coupon.active,
        "used": coupon.used,
        "version": coupon.version,
    }


def _to_coupon(document: Mapping[str, Any]) -> Coupon:
    return Coupon(
        document["_id"],
        CouponKind(document["kind"]),
        document["value"],
        document["createdAt"],
        document["minimumSubtotal"],
        document["startsAt"],
        document["endsAt"],
        document["usesMax"],
        document["usesPerUserMax"],
        document["active"],
        document["used"],
        document["version"],
    )
