"""Who did what to what, when, from where, with which outcome: append-only, tamper-evident, and gone after its time.

Every process writes a chain of its own (`audit_chain`). A chain's first entry links to the newest entry of any chain
it found, and `audit_heads` keeps the end of each, so that whole chains and cut-off ends are missed as well. Entries
leave from the front of a chain only, by the TTL index.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.batcher import GroupCommit
from service.infra.mongo.client import Database
from service.web.audit.chain import Entry, Link, Seal, Verifier

SEAL = "audit log"  # the purpose of the key: `config.key(SEAL)`
TTL_GRACE = timedelta(minutes=2)  # MongoDB looks for expired documents once a minute


class AuditLog:
    def __init__(self, database: Database, clock: Clock, ids: Ids, config: Config) -> None:
        self._entries, self._heads, self._clock, self._ids = database["audit_log"], database["audit_heads"], clock, ids
        self._seal, self._keep = Seal(*config.keys(SEAL)), timedelta(seconds=config.audit_ttl_seconds)
        self._chain = ""
        self._seq, self._last = 0, Link()
        self._group: GroupCommit[Entry, None] = GroupCommit(
            self._append, items_max=config.audit_batch_max, waiting_max=config.audit_waiting_max
        )

    async def record(self, entry: Entry) -> None:
        """Returns once the entry is stored. Raises what the store raises."""
        await self._group(entry)

    async def drain(self) -> None:
        await self._group.drain()

    async def _append(self, batch: Sequence[Entry]) -> list[None]:
        """All of a batch in one insert. When its answer is lost, what comes next begins a chain of its own."""
        if not self._chain:
            await self._begin()
        chain, self._chain = self._chain, ""
        now = self._clock.now()
        documents = self._sealed(chain, batch, now)
        await self._entries.insert_many(documents, ordered=True)
        await self._set_head(chain, documents[-1])
        self._chain, self._seq = chain, documents[-1]["seq"]
        self._last = Link(documents[-1]["hash"], documents[-1]["expiresAt"])
        return [None] * len(batch)

    async def _begin(self) -> None:
        newest = await self._entries.find_one({}, {"hash": 1, "expiresAt": 1}, sort=[("at", -1), ("_id", -1)])
        chain = self._ids.new()
        await self._set_head(chain, {"seq": 0, "hash": "", "expiresAt": self._clock.now() + self._keep})
        self._chain, self._seq = chain, 0
        self._last = Link(newest["hash"], newest["expiresAt"]) if newest else Link()

    def _sealed(self, chain: str, batch: Sequence[Entry], now: datetime) -> list[dict[str, Any]]:
        documents: list[dict[str, Any]] = []
        last = self._last
        for seq, entry in enumerate(batch, self._seq + 1):
            documents.append(self._seal.document(chain, seq, entry, last, now, now + self._keep))
            last = Link(documents[-1]["hash"], documents[-1]["expiresAt"])
        return documents

    async def _set_head(self, chain: str, end: Mapping[str, Any]) -> None:
        head = {"seq": end["seq"], "hash": end["hash"], "expiresAt": end["expiresAt"]}
        await self._heads.update_one({"_id": chain}, {"$set": head}, upsert=True)

    async def find(
        self, query: Mapping[str, str], before: tuple[datetime, str] | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Newest first; `query` names exact values of actor, target or outcome."""
        asked: dict[str, Any] = {name: {"$eq": value} for name, value in query.items()}
        if before is not None:
            at, entry_id = before
            asked["at"] = {"$lte": at}
            asked["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": entry_id}}]
        found = self._entries.find(asked).sort([("at", -1), ("_id", -1)]).limit(limit)
        documents: list[Mapping[str, Any]] = await found.to_list(limit)
        return documents

    async def verify(self) -> dict[str, Any]:
        """Reads the whole log once: {ok, entries, checks: [{name, ok, violations, examples}], heads}. What is written
        meanwhile is seen or not, and is no violation either way."""
        verifier = Verifier(self._seal, self._clock.now(), TTL_GRACE)
        heads = {head["_id"]: head async for head in self._heads.find()}
        async for document in self._entries.find().sort("_id", 1):
            verifier.see(document)
        new = [chain for chain in verifier.chains if chain not in heads]
        heads |= {head["_id"]: head async for head in self._heads.find({"_id": {"$in": new}})}
        verdict = verifier.finish(heads)
        check = {"name": "audit_log_chain", "violations": verdict.violations, "examples": verdict.examples}
        return {
            "ok": verdict.ok,
            "entries": verdict.entries,
            "checks": [check | {"ok": verdict.ok}],
            "heads": verdict.heads,
        }
