"""All queries of alerts and subscriptions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from service.alerts.models import Alert, AlertKind, Subscription
from service.infra.mongo.client import Database, Session

FILTERS: Mapping[str, Mapping[str, Any]] = {
    "unresolved": {"open": True},
    "open": {"open": True, "acknowledgedAt": None},
    "acknowledged": {"open": True, "acknowledgedAt": {"$ne": None}},
    "resolved": {"open": False},
    "all": {},
}


class AlertRepository:
    def __init__(self, database: Database) -> None:
        self._alerts = database["alerts"]

    async def open_of(self, skus: Iterable[str], session: Session = None) -> list[Alert]:
        found = self._alerts.find({"open": True, "sku": {"$in": sorted(skus)}}, session=session)
        return [_to_alert(document) for document in await found.to_list(None)]

    async def add(self, alerts: Sequence[Alert], session: Session) -> None:
        """A duplicate key means another one has raised it meanwhile."""
        if alerts:
            await self._alerts.insert_many([_document(alert) for alert in alerts], ordered=False, session=session)

    async def resolve(self, ids: Sequence[str], now: datetime, session: Session) -> None:
        if ids:
            change = {"$set": {"open": False, "resolvedAt": now}}
            await self._alerts.update_many({"_id": {"$in": list(ids)}, "open": True}, change, session=session)

    async def acknowledge(self, alert_id: str, actor: str, now: datetime) -> Alert | None:
        """The first to acknowledge is remembered."""
        change = {"$set": {"acknowledgedAt": now, "acknowledgedBy": actor}}
        await self._alerts.update_one({"_id": alert_id, "acknowledgedAt": None}, change)
        document = await self._alerts.find_one({"_id": alert_id})
        return None if document is None else _to_alert(document)

    async def newest(self, status: str, kinds: Sequence[AlertKind], before_id: str | None, limit: int) -> list[Alert]:
        query = {**FILTERS[status], "kind": {"$in": [kind.value for kind in kinds]}}
        if before_id is not None:
            query["_id"] = {"$lt": before_id}
        found = self._alerts.find(query).sort("_id", -1).limit(limit)
        return [_to_alert(document) for document in await found.to_list(limit)]

    async def undigested(self, kind: AlertKind, limit: int, session: Session) -> list[Alert]:
        """Open alerts that no digest has named, oldest first."""
        query = {"open": True, "kind": kind.value, "digestedAt": None}
        found = self._alerts.find(query, session=session).sort("_id", 1).limit(limit)
        return [_to_alert(document) for document in await found.to_list(limit)]

    async def mark_digested(self, ids: Sequence[str], now: datetime, session: Session) -> None:
        await self._alerts.update_many({"_id": {"$in": list(ids)}}, {"$set": {"digestedAt": now}}, session=session)

    async def count_open(self, kind: AlertKind) -> int:
        count: int = await self._alerts.count_documents({"open": True, "kind": kind.value})
        return count


class SubscriptionRepository:
    def __init__(self, database: Database) -> None:
        self._subscriptions, self._queues = database["subscriptions"], database["notice_queues"]

    async def add(self, subscription: Subscription) -> bool:
        """False if the customer waits for that SKU already, or for the address to agree."""
        if subscription.pending:
            return await self._add_pending(subscription)
        try:
            await self._subscriptions.insert_one(_subscription_document(subscription))
        except DuplicateKeyError:
            return False
        return True

    async def _add_pending(self, subscription: Subscription) -> bool:
        mine = {"userId": subscription.user_id, "sku": subscription.sku, "pending": True, "email": subscription.email}
        new = {name: value for name, value in _subscription_document(subscription).items() if name not in mine}
        written = await self._subscriptions.update_one(mine, {"$setOnInsert": new}, upsert=True)
        return written.upserted_id is not None

    async def current_of(self, sku: str, user_id: str) -> Subscription | None:
        """The one that waits, or else one that is pending."""
        mine = {"userId": user_id, "sku": sku, "$or": [{"waiting": True}, {"pending": True}]}
        document = await self._subscriptions.find_one(mine, sort=[("waiting", -1)])
        return None if document is None else _to_subscription(document)

    async def count_current(self, user_id: str) -> int:
        mine = {"userId": user_id, "$or": [{"waiting": True}, {"pending": True}]}
        count: int = await self._subscriptions.count_documents(mine)
        return count

    async def pending_of(self, user_id: str) -> list[Subscription]:
        found = self._subscriptions.find({"userId": user_id, "pending": True})
        return [_to_subscription(document) for document in await found.to_list(None)]

    async def begin_to_wait(self, subscription: Subscription) -> None:
        """Its address has agreed; unless the customer waits for the SKU already."""
        mine = {"_id": subscription.id, "pending": True}
        change = {"waiting": True, "pending": False, "endedAt": None}
        try:
            await self._subscriptions.update_one(mine, {"$set": change})
        except DuplicateKeyError:
            await self._subscriptions.update_one(mine, {"$set": {"pending": False, "cancelled": True}})

    async def cancel(self, sku: str, user_id: str, now: datetime) -> None:
        """The customer does not want to be told, also not by a mail that has not gone out yet."""
        change = {"waiting": False, "pending": False, "fresh": False, "cancelled": True, "endedAt": now}
        await self._subscriptions.update_many({"userId": user_id, "sku": sku}, {"$set": change})

    async def of_user(self, user_id: str, limit: int) -> list[Subscription]:
        found = self._subscriptions.find({"userId": user_id}).sort("sku", 1).limit(limit)
        return [_to_subscription(document) for document in await found.to_list(limit)]

    async def forget_user(self, user_id: str) -> None:
        await self._subscriptions.delete_many({"userId": user_id})

    async def lock_queue(self, sku: str, session: Session) -> None:
        """Two transactions that tell of the same SKU conflict here, so they do not count the same units twice."""
        await self._queues.update_one({"_id": sku}, {"$inc": {"version": 1}}, upsert=True, session=session)

    async def with_fresh_notice(self, sku: str, told_after: datetime, session: Session = None) -> dict[str, datetime]:
        """Who was told lately and may still come to buy, with when."""
        query = {"sku": sku, "fresh": True, "toldAt": {"$gt": told_after}}
        found = self._subscriptions.find(query, {"userId": 1, "toldAt": 1}, session=session)
        return {document["userId"]: document["toldAt"] for document in await found.to_list(None)}

    async def oldest_waiting(self, sku: str, limit: int, session: Session = None) -> list[Subscription]:
        found = self._subscriptions.find({"sku": sku, "waiting": True}, session=session).sort("_id", 1).limit(limit)
        return [_to_subscription(document) for document in await found.to_list(limit)]

    async def told(self, ids: Sequence[str], now: datetime, session: Session) -> None:
        change = {"$set": {"waiting": False, "fresh": True, "toldAt": now, "endedAt": now}}
        await self._subscriptions.update_many({"_id": {"$in": list(ids)}}, change, session=session)

    async def sold_out(self, skus: Sequence[str], told_before: datetime) -> None:
        """Notices sent before are used up: there is nothing left to come for."""
        used = {"sku": {"$in": list(skus)}, "fresh": True, "toldAt": {"$lte": told_before}}
        await self._subscriptions.update_many(used, {"$set": {"fresh": False}})

    async def told_as(self, subscription_id: str, round_: int) -> Subscription | None:
        """If it still stands as told in that round."""
        query = {"_id": subscription_id, "waiting": False, "cancelled": False, "round": round_}
        document = await self._subscriptions.find_one(query)
        return None if document is None else _to_subscription(document)

    async def wait_again(self, subscription: Subscription) -> None:
        """At its old place in the queue; unless the customer has subscribed anew meanwhile."""
        mine = {"_id": subscription.id, "waiting": False, "cancelled": False, "round": subscription.round}
        change = {"waiting": True, "fresh": False, "toldAt": None, "endedAt": None, "round": subscription.round + 1}
        try:
            await self._subscriptions.update_one(mine, {"$set": change})
        except DuplicateKeyError:
            await self._subscriptions.update_one(mine, {"$set": {"fresh": False, "cancelled": True}})

    async def waited_for(self, after_sku: str, limit: int) -> list[str]:
        """SKUs that somebody waits for, by SKU: those of the next `limit` subscriptions. None when there are none."""
        found = self._subscriptions.find({"waiting": True, "sku": {"$gt": after_sku}}, {"sku": 1})
        page = await found.sort([("sku", 1), ("_id", 1)]).limit(limit).to_list(limit)
        return sorted({document["sku"] for document in page})

    async def waiting_among(self, skus: Iterable[str]) -> set[str]:
        """Those of the SKUs that somebody waits for."""
        return set(await self._subscriptions.distinct("sku", {"waiting": True, "sku": {"$in": sorted(skus)}}))


def _document(alert: Alert) -> dict[str, Any]:
    return {
        "_id": alert.id,
        "sku": alert.sku,
        "kind": alert.kind.value,
        "open": True,
        "available": alert.available,
        "threshold": alert.threshold,
        "raisedAt": alert.raised_at,
        "acknowledgedAt": None,
        "acknowledgedBy": None,
        "digestedAt": None,
    }


def _to_alert(document: Mapping[str, Any]) -> Alert:
    return Alert(
        document["_id"],
        document["sku"],
        AlertKind(document["kind"]),
        document["available"],
        document["threshold"],
        document["raisedAt"],
        document["acknowledgedAt"],
        document["acknowledgedBy"],
        document.get("resolvedAt"),
    )


def _subscription_document(subscription: Subscription) -> dict[str, Any]:
    return {
        "_id": subscription.id,
        "sku": subscription.sku,
        "userId": subscription.user_id,
        "email": subscription.email,
        "createdAt": subscription.created_at,
        "waiting": subscription.waiting,
        "pending": subscription.pending,
        "fresh": False,
        "toldAt": None,
        "cancelled": False,
        "endedAt": subscription.created_at if subscription.pending else None,  # what nobody agrees to goes by itself
        "round": 0,
    }


def _to_subscription(document: Mapping[str, Any]) -> Subscription:
    return Subscription(
        document["_id"],
        document["sku"],
        document["userId"],
        document["email"],
        document["createdAt"],
        document["waiting"],
        document["toldAt"],
        document["round"],
        document.get("pending", False),
    )
