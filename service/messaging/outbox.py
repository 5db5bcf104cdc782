"""Facts that must follow a commit are written in its transaction, one document a batch, and relayed afterwards.

An entry waits until every consumer has had it; then it is kept for three days, without what was secret in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

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


class UnreadableFact(Exception):
    """Not of the form that this version reads. `for_good`: no other version can be expected to read it either."""

    def __init__(self, why: str, *, for_good: bool) -> None:
        super().__init__(why)
        self.for_good = for_good


@dataclass(frozen=True, slots=True)
class Fact:
    """One event of an entry. `id` stays the same however often it is relayed."""

    id: str
    event: Event
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    id: str
    at: datetime
    documents: tuple[Any, ...]
    done: frozenset[str] = frozenset()
    failures: int = 0

    def read(self) -> tuple[list[Fact], dict[int, UnreadableFact]]:
        """Its facts, and by their number those that cannot be read."""
        facts, faults = [], {}
        for number, document in enumerate(self.documents):
            try:
                facts.append(Fact(f"{self.id}:{number}", _to_event(document), self.at))
            except UnreadableFact as error:
                faults[number] = error
        return facts, faults

    @property
    def about(self) -> str:
        """The names of its facts."""
        return ", ".join(sorted({_name(document) for document in self.documents}))


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

    async def set_aside(self, entry: Entry, number: int) -> Entry:
        """One fact of an entry as an entry of its own, that waits from now on; the same one however often it is
        done."""
        own = Entry(f"{entry.id}:{number}", entry.at, (entry.documents[number],))
        fields = {"createdAt": own.at, "facts": list(own.documents), "waiting": True, "retryAt": ALWAYS}
        await self._entries.update_one({"_id": own.id}, {"$setOnInsert": fields}, upsert=True)
        return own

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
    facts = document.get("facts")
    return Entry(
        document["_id"],
        document.get("createdAt", ALWAYS),
        tuple(facts) if isinstance(facts, list) else (facts,),
        frozenset(document.get("done", ())),
        document.get("failures", 0),
    )


def _name(document: Any) -> str:
    name = document.get("name") if isinstance(document, Mapping) else None
    return name if isinstance(name, str) else "unreadable"


def _to_event(document: Any) -> Event:
    """Older facts may lack what has a default."""
    name = _name(document)
    if name not in BY_NAME:
        raise UnreadableFact(f"This version does not know the fact {name}", for_good=name == "unreadable")
    try:
        return msgspec.convert(document, BY_NAME[name])
    except msgspec.ValidationError as error:
        raise UnreadableFact(f"{name}: {error}", for_good=True) from error
