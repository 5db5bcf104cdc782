"""What leaves the shop, mails and webhooks: kept in MongoDB until the other side has taken it.

A sender claims a delivery by pushing its due time ahead, so a sender that dies gives it back by itself. A provider that
is down means later: ever longer pauses, for three days, then a dead letter. An attempt that died between sending and
noting it is made again, because it cannot be known whether it arrived; such attempts are counted as `uncertain`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from service.infra.lasting_metrics import LastingMetrics
from service.infra.mongo.client import Database, insert_new
from service.infra.mongo.indexes import Index, Probe
from service.messaging.dead_letters import DeadLetters
from service.runtime import Runtime

log = logging.getLogger(__name__)
A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)  # due also on a clock that has been put back since
KEPT_SECONDS = 30 * 86_400
ERROR_LENGTH_MAX = 500
BACKOFF_DOUBLINGS_MAX = 20

INDEXES = (
    Index(
        "deliveries",
        (("dueAt", 1),),
        serves="the mail or webhook to send next",
        probe=Probe({"waiting": True, "dueAt": {"$lte": A_MOMENT}}, sort=(("dueAt", 1),), limit=1),
        partial={"waiting": True},
    ),
    Index(
        "deliveries",
        (("endedAt", 1),),
        serves="finished deliveries delete themselves after 30 days",
        probe=Probe({"endedAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=KEPT_SECONDS,
    ),
)


class Refused(Exception):
    """The other side will never take this one: trying again is of no use."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`id` is the same for the same message however often it is asked for. `content` is the channel's own."""

    id: str
    channel: str
    to: str
    content: Mapping[str, Any]
    attempts: int = 0
    created_at: datetime | None = None


Send = Callable[[Delivery], Awaitable[None]]
StillWanted = Callable[[Delivery], Awaitable[bool]]


class Deliveries:
    """`channels` send; they raise Refused, or anything else for later. `guards` are asked, by template, right before
    sending, whether the mail is still wanted."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Send],
        guards: Mapping[str, StillWanted],
        dead_letters: DeadLetters,
        metrics: LastingMetrics,
        runtime: Runtime,
    ) -> None:
        self._deliveries, self._channels, self._guards = database["deliveries"], channels, guards
        self._dead_letters, self._metrics = dead_letters, metrics
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config
        for channel in channels:
            dead_letters.on_replay(channel, self._revive)

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Those that were asked for before are left as they are."""
        if not deliveries:
            return
        now = self._clock.now()
        await insert_new(self._deliveries, [_document(delivery, now) for delivery in deliveries])

    async def step(self) -> float:
        """Sends what is due, some at once. Returns the seconds to pause."""
        senders = [self._send_next() for _ in range(self._config.deliveries_at_once_max)]
        return 0.0 if all(await asyncio.gather(*senders)) else self._config.delivery_poll_seconds

    async def _send_next(self) -> bool:
        delivery = await self._claim()
        if delivery is None:
            return False
        await self._deliver(delivery)
        return True

    async def _claim(self) -> Delivery | None:
        now = self._clock.now()
        until = now + timedelta(seconds=self._config.delivery_lease_seconds)
        document = await self._deliveries.find_one_and_update(
            {"waiting": True, "dueAt": {"$lte": now}, "channel": {"$in": list(self._channels)}},
            {"$set": {"dueAt": until, "underWay": True}, "$inc": {"attempts": 1}},
            sort=[("dueAt", 1)],
            return_document=ReturnDocument.BEFORE,
        )
        if document is None:
            return None
        if document.get("underWay"):
            log.warning("an attempt to deliver %s died; it may arrive twice", document["_id"])
            self._metrics.count("holdfast_deliveries", document["channel"], "uncertain")
            await self._deliveries.update_one({"_id": document["_id"]}, {"$inc": {"uncertain": 1}})
        return _to_delivery(document)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            guard = self._guards.get(delivery.content.get("template", ""))
            if guard is not None and not await guard(delivery):
                await self._end(delivery, "dropped")
                return
            await self._channels[delivery.channel](delivery)
        except Refused as error:
            await self._bury(delivery, error)
        except Exception as error:  # noqa: BLE001 - whatever the provider or the way to it does: later, never lost
            await self._later(delivery, error)
        else:
            await self._end(delivery, "sent")

    async def _later(self, delivery: Delivery, error: Exception) -> None:
        assert delivery.created_at is not None
        now = self._clock.now()
        log.warning("%s to be delivered later: %s: %s", delivery.id, type(error).__name__, error)
        if (now - delivery.created_at).total_seconds() > self._config.delivery_give_up_seconds:
            await self._bury(delivery, error)
            return
        self._metrics.count("holdfast_deliveries", delivery.channel, "retried")
        change = {"dueAt": now + self._pause(delivery.attempts), "error": _said(error), "underWay": False}
        await self._deliveries.update_one({"_id": delivery.id, "waiting": True}, {"$set": change})

    def _pause(self, attempts: int) -> timedelta:
        doubled = self._config.delivery_retry_pause_seconds * 2 ** min(attempts, BACKOFF_DOUBLINGS_MAX)
        ceiling = min(doubled, self._config.delivery_retry_pause_max_seconds)
        return timedelta(seconds=ceiling / 2 + self._ids.jitter(ceiling / 2))

    async def _end(self, delivery: Delivery, outcome: str) -> None:
        """What it carried is not kept."""
        self._metrics.count("holdfast_deliveries", delivery.channel, outcome)
        change = {"outcome": outcome, "endedAt": self._clock.now()}
        await self._deliveries.update_one(
            {"_id": delivery.id}, {"$set": change, "$unset": {"waiting": 1, "underWay": 1, "content": 1}}
        )

    async def _bury(self, delivery: Delivery, error: Exception) -> None:
        log.error("%s is given up: %s", delivery.id, error)
        self._metrics.count("holdfast_deliveries", delivery.channel, "dead")
        await self._dead_letters.add(
            delivery.channel, delivery.id, f"{delivery.channel} to {delivery.to}", _said(error)
        )
        change = {"$set": {"outcome": "dead"}, "$unset": {"waiting": 1, "underWay": 1}}
        await self._deliveries.update_one({"_id": delivery.id}, change)

    async def _revive(self, delivery_id: str) -> None:
        now = self._clock.now()
        change = {"waiting": True, "dueAt": ALWAYS, "createdAt": now, "attempts": 0}
        await self._deliveries.update_one({"_id": delivery_id, "outcome": "dead"}, {"$set": change})

    async def backlog(self) -> Mapping[str, int]:
        """How many wait, by channel. The index of those that are due is small: it holds only what waits."""
        waiting = {"waiting": True, "dueAt": {"$gte": ALWAYS}}
        grouped = self._deliveries.aggregate(
            [{"$match": waiting}, {"$group": {"_id": "$channel", "waiting": {"$sum": 1}}}]
        )
        return {document["_id"]: document["waiting"] for document in await grouped.to_list(None)}


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]


def _document(delivery: Delivery, now: datetime) -> dict[str, Any]:
    return {
        "_id": delivery.id,
        "channel": delivery.channel,
        "to": delivery.to,
        "content": dict(delivery.content),
        "waiting": True,
        "createdAt": now,
        "dueAt": ALWAYS,
        "attempts": 0,
    }


def _to_delivery(document: Mapping[str, Any]) -> Delivery:
    """One that lacks something, of whatever version, is tried and buried like any that cannot be sent."""
    return Delivery(
        document["_id"],
        document["channel"],
        document.get("to", ""),
        document.get("content", {}),
        document.get("attempts", 0),
        document.get("createdAt", ALWAYS),
    )
