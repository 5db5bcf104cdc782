"""What was given up after all its attempts: kept, shown to staff, replayable."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from service.clock import Clock
from service.errors import NotFound
from service.infra.mongo.client import Database
from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
KEPT = timedelta(days=90)
ERROR_LENGTH_MAX = 2_000
Kind = Literal["job", "fact", "mail", "webhook"]

INDEXES = (
    Index(
        "dead_letters",
        (("diedAt", -1), ("_id", -1)),
        serves="dead letters, newest first",
        probe=Probe({"diedAt": {"$lte": A_MOMENT}}, sort=(("diedAt", -1), ("_id", -1)), limit=25),
    ),
    Index(
        "dead_letters",
        (("replayedAt", 1),),
        serves="how many dead letters nobody has replayed",
        probe=Probe({"replayedAt": None}),
    ),
    Index(
        "dead_letters",
        (("expiresAt", 1),),
        serves="dead letters delete themselves after 90 days",
        probe=Probe({"expiresAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=0,
    ),
)


class UnknownDeadLetter(NotFound):
    code, title = "unknown_dead_letter", "There is no such dead letter"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`kind` is job, fact, mail or webhook; `about` names the thing, `reference` its document."""

    id: str
    kind: Kind
    reference: str
    about: str
    error: str
    died_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


Replay = Callable[[str], Awaitable[None]]


class DeadLetters:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._letters, self._clock = database["dead_letters"], clock
        self._replays: dict[str, Replay] = {}

    def on_replay(self, kind: str, replay: Replay) -> None:
        """`replay` is given the reference of a letter of that kind; it must be safe to call twice."""
        self._replays[kind] = replay

    async def add(self, kind: str, reference: str, about: str, error: str) -> None:
        """The same thing dying again shows anew."""
        now = self._clock.now()
        fields = {"kind": kind, "reference": reference, "about": about, "error": error[:ERROR_LENGTH_MAX]}
        await self._letters.update_one(
            {"_id": hashlib.sha256(f"{kind}:{reference}".encode()).hexdigest()[:32]},
            {"$set": {**fields, "diedAt": now, "expiresAt": now + KEPT, "replayedAt": None, "replayedBy": None}},
            upsert=True,
        )

    async def newest(self, before: tuple[datetime, str] | None, limit: int) -> list[DeadLetter]:
        query: dict[str, Any] = {}
        if before is not None:
            at, letter_id = before
            earlier = [{"diedAt": {"$lt": at}}, {"diedAt": at, "_id": {"$lt": letter_id}}]
            query = {"diedAt": {"$lte": at}, "$or": earlier}
        found = self._letters.find(query).sort([("diedAt", -1), ("_id", -1)]).limit(limit)
        return [_to_letter(document) for document in await found.to_list(limit)]

    async def replay(self, letter_id: str, actor: str) -> DeadLetter:
        """Does it first and notes it after: a crash in between replays it twice, never not at all."""
        letter = await self.find(letter_id)
        await self._replays[letter.kind](letter.reference)
        done = {"replayedAt": self._clock.now(), "replayedBy": actor}
        await self._letters.update_one({"_id": letter_id}, {"$set": done})
        return await self.find(letter_id)

    async def find(self, letter_id: str) -> DeadLetter:
        document = await self._letters.find_one({"_id": letter_id})
        if document is None:
            raise UnknownDeadLetter()
        return _to_letter(document)

    async def waiting(self) -> int:
        """How many nobody has replayed."""
        count: int = await self._letters.count_documents({"replayedAt": None})
        return count


def _to_letter(document: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        document["_id"],
        document["kind"],
        document["reference"],
        document["about"],
        document["error"],
        document["diedAt"],
        document["replayedAt"],
        document["replayedBy"],
    )
