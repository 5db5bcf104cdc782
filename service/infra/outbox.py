"""Facts that must follow a commit are written in its transaction, one document a batch, and relayed afterwards."""

from collections.abc import Sequence
from typing import Any

from service.clock import Clock
from service.events import Event
from service.ids import Ids
from service.infra.mongo import Database, Session


class Outbox:
    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._entries, self._clock, self._ids = database["outbox"], clock, ids

    async def add(self, facts: Sequence[Event], session: Session) -> None:
        if facts:
            entry: dict[str, Any] = {
                "_id": self._ids.new(),
                "createdAt": self._clock.now(),
                "facts": [fact.document() for fact in facts],
                "relayedAt": None,
            }
            await self._entries.insert_one(entry, session=session)
