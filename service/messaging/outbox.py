"""Facts that must follow a commit are written in its transaction, one document a batch, and relayed afterwards.

An entry waits until every consumer has had it; then it is kept for three days, without what was secret in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.clock import Clock
from service.events import BY_NAME, Event
from service.ids import Ids
from service.infra.mongo.client import Database, Session
from service.infra.mongo.commands import Command, insert
from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)  # due also on a clock that has been put back since
KEPT_SECONDS = 3 * 86_400

INDEXES = (
    Index(
        "outbox",
        (("waiting", 1), ("_id", 1)),
        serves="entries not relayed yet, oldest first",
        probe=Probe({"waiting": True, "retryAt": {"$lte": A_MOMENT}}, sort=(("_id", 1),), limit=100),
        partial={"waiting": True},
        examined_per_returned_max=2,
        why_not_one="entries whose consumer failed are passed over until their next try",
    ),
    Index(
        "outbox",
        (("relayedAt", 1),),
        serves="relayed entries delete themselves after three days",
        probe=Probe({"relayedAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=KEPT_SECONDS,
    ),
)


class UnknownFact(Exception):
    """Written by a newer version than this one."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One event of an entry. `id` stays the same however often it is relayed."""

    id: str
    event: Event
    at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    at: datetime
    documents: tuple[Mapping[str, Any], ...]
    done: frozenset[str]
    failures: int

    def facts(self) -> list[Fact]:
        """Raises UnknownFact."""
        return [Fact(f"{self.id}:{n}", _to_event(document), self.at) for n, document in enumerate(self.documents)]


class Outbox:
    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._entries, self._clock, self._ids = database["outbox"], clock, ids

    async def add(self, facts: Sequence[Event], session: Session) -> None:
        if facts:
            await self._entries.insert_one(self._entry(facts), session=session)

    def commands(self, facts: Sequence[Event]) -> list[Command]:
        """What `add` does, to be sent with a transaction's other writes."""
        return [insert("outbox", [self._entry(facts)])] if facts else []

    def _entry(self, facts: Sequence[Event]) -> dict[str, Any]:
        return {
            "_id": self._ids.new(),
            "createdAt": self._clock.now(),
            "facts": [fact.document() for fact in facts],
            "waiting": True,
            "retryAt": ALWAYS,
        }

    async def waiting(self, limit: int) -> list[Entry]:
        """Entries to relay now, oldest first."""
        due = {"waiting": True, "retryAt": {"$lte": self._clock.now()}}
        found = self._entries.find(due).sort("_id", 1).limit(limit)
        return [_to_entry(document) for document in await found.to_list(limit)]

    async def relayed(self, ids: Sequence[str]) -> None:
        """Done for every consumer. What mails carried is cleared: it may be a token."""
        if ids:
            change = {"$set": {"relayedAt": self._clock.now(), "facts.$[mail].values": {}}, "$unset": {"waiting": 1}}
            await self._entries.update_many(
                {"_id": {"$in": list(ids)}}, change, array_filters=[{"mail.values": {"$exists": True}}]
            )

    async def failed(self, entry: Entry, done: Sequence[str], retry_at: datetime) -> None:
        change = {"$set": {"retryAt": retry_at}, "$addToSet": {"done": {"$each": list(done)}}, "$inc": {"failures": 1}}
        await self._entries.update_one({"_id": entry.id}, change)

    async def bury(self, entry: Entry, done: Sequence[str]) -> None:
        """Waits no longer, but keeps what it carries so that it can be replayed."""
        change = {"$unset": {"waiting": 1}, "$addToSet": {"done": {"$each": list(done)}}}
        await self._entries.update_one({"_id": entry.id}, change)

    async def revive(self, entry_id: str) -> None:
        change = {"$set": {"waiting": True, "failures": 0, "retryAt": ALWAYS}}
        await self._entries.update_one({"_id": entry_id, "relayedAt": {"$exists": False}}, change)

    async def backlog(self) -> tuple[int, float]:
        """How many entries wait, and for how many seconds the oldest one has."""
        count = await self._entries.count_documents({"waiting": True})
        oldest = await self._entries.find_one({"waiting": True}, {"createdAt": 1}, sort=[("_id", 1)])
        age = 0.0 if oldest is None else (self._clock.now() - oldest["createdAt"]).total_seconds()
        return count, max(0.0, age)


def _to_entry(document: Mapping[str, Any]) -> Entry:
    return Entry(
        document["_id"],
        document["createdAt"],
        tuple(document["facts"]),
        frozenset(document.get("done", ())),
        document.get("failures", 0),
    )


def _to_event(document: Mapping[str, Any]) -> Event:
    kind = BY_NAME.get(document["name"])
    if kind is None:
        raise UnknownFact(f"This version does not know the fact {document['name']}")
    return kind(**{name: document[name] for name in kind.__struct_fields__ if name in document})
