"""Job runs as MongoDB knows them: the truth of which job was asked for, who runs it and how it ended.

A run is *open* while it is queued or running; a job has at most one open run. A worker holds a run by a lease and by
the run's `claims` count: what an earlier claimant still writes finds another count and changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from service.errors import Unavailable
from service.infra.mongo.client import Database
from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)  # due also on a clock that has been put back since
KEPT_SECONDS = 30 * 86_400
OPENINGS_MAX = 100
BUSY = "The job's runs come and go too fast to join one"
Status = Literal["queued", "running", "succeeded", "failed"]

INDEXES = (
    Index(
        "job_runs",
        (("name", 1), ("open", 1)),
        serves="the open run of a job: a second trigger joins it",
        probe=Probe({"name": "expired-cleanup", "open": True}),
        unique=True,
        partial={"open": True},
    ),
    Index(
        "job_runs",
        (("name", 1), ("ticks", 1)),
        serves="the run of a scheduled tick: however many schedulers there are, it happens once",
        probe=Probe({"name": "expired-cleanup", "ticks": A_MOMENT}),
        unique=True,
        partial={"ticks": {"$exists": True}},
        lists=("ticks",),
    ),
    Index(
        "job_runs",
        (("lookAt", 1),),
        serves="open runs to look after: not taken from the queue, or their worker is silent",
        probe=Probe({"open": True, "lookAt": {"$lte": A_MOMENT}}, sort=(("lookAt", 1),), limit=10),
        partial={"open": True},
    ),
    Index(
        "job_runs",
        (("finishedAt", 1),),
        serves="finished runs delete themselves after 30 days",
        probe=Probe({"finishedAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=KEPT_SECONDS,
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    """`ticks` are the scheduled instants it stands for: several when it catches up or was joined."""

    id: str
    name: str
    status: Status
    actor: str
    ticks: tuple[datetime, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    claims: int
    failures: int
    returns: int
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: str | None

    @property
    def lost_workers(self) -> int:
        """How many of its workers died on it, the present one not counted."""
        return max(0, self.claims - self.failures - self.returns - 1)


class JobRuns:
    def __init__(self, database: Database) -> None:
        self._runs, self._schedules = database["job_runs"], database["schedules"]

    async def open(self, run_id: str, name: str, actor: str, now: datetime, look_at: datetime) -> Run:
        """The new run, or the job's open one that is joined. Raises Unavailable when others keep opening and ending
        runs in between."""
        for _ in range(OPENINGS_MAX):
            try:
                document = _new(run_id, name, actor, now, look_at)
                await self._runs.insert_one(document)
                return to_run(document)
            except DuplicateKeyError:
                joined = await self._runs.find_one({"name": name, "open": True})
            if joined is not None:
                return to_run(joined)
        raise Unavailable(BUSY, retry_after_seconds=1)

    async def open_for_ticks(
        self, run_id: str, name: str, ticks: Sequence[datetime], now: datetime, look_at: datetime
    ) -> Run | None:
        """The run that stands for these ticks, new or joined. None when they have all been run already. Raises
        Unavailable as `open` does."""
        for _ in range(OPENINGS_MAX):
            if not (new := await self._not_run_yet(name, ticks)):
                return None
            try:
                document = _new(run_id, name, "schedule", now, look_at) | {"ticks": new}
                await self._runs.insert_one(document)
                return to_run(document)
            except DuplicateKeyError:
                joined = await self._join(name, new)
            if joined is not None:
                return joined
        raise Unavailable(BUSY, retry_after_seconds=1)

    async def _not_run_yet(self, name: str, ticks: Sequence[datetime]) -> list[datetime]:
        found = await self._runs.find({"name": name, "ticks": {"$in": list(ticks)}}, {"ticks": 1}).to_list(None)
        run = {tick for document in found for tick in document["ticks"]}
        return [tick for tick in ticks if tick not in run]

    async def _join(self, name: str, ticks: Sequence[datetime]) -> Run | None:
        try:
            document = await self._runs.find_one_and_update(
                {"name": name, "open": True},
                {"$addToSet": {"ticks": {"$each": list(ticks)}}},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # another scheduler has just taken one of them
            return None
        return None if document is None else to_run(document)

    async def forget_ticks_after(self, name: str, now: datetime) -> None:
        """They were run by a clock that has been put back since, so they come again."""
        earlier = {"$filter": {"input": "$ticks", "cond": {"$lte": ["$$this", now]}}}
        none_left = {"$cond": [{"$eq": ["$ticks", []]}, "$$REMOVE", "$ticks"]}
        await self._runs.update_many(
            {"name": name, "ticks": {"$gt": now}}, [{"$set": {"ticks": earlier}}, {"$set": {"ticks": none_left}}]
        )

    async def claim(self, run_id: str, worker: str, now: datetime, lease: timedelta) -> Run | None:
        """The run, now this worker's; None when it is not due, somebody else's, or over."""
        free = [{"status": "queued", "notBefore": {"$lte": now}}, {"status": "running", "lookAt": {"$lte": now}}]
        document = await self._runs.find_one_and_update(
            {"_id": run_id, "open": True, "$or": free},
            {
                "$set": {"status": "running", "worker": worker, "startedAt": now, "lookAt": now + lease},
                "$inc": {"claims": 1},
            },
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else to_run(document)

    async def renew(self, run: Run, progress: Mapping[str, Any], look_at: datetime) -> bool:
        """False when the run is not this claimant's any more."""
        result = await self._runs.update_one(_held(run), {"$set": {"lookAt": look_at, "progress": progress}})
        return bool(result.matched_count)

    async def hand_back(self, run: Run) -> None:
        """To be taken at once by another worker; nothing is wrong with the run."""
        change = {"$set": {"status": "queued", "notBefore": ALWAYS, "lookAt": ALWAYS}, "$inc": {"returns": 1}}
        await self._runs.update_one(_held(run), change)

    async def retry(self, run: Run, error: str, not_before: datetime) -> None:
        change = {"status": "queued", "error": error, "notBefore": not_before, "lookAt": not_before}
        await self._runs.update_one(_held(run), {"$set": change, "$inc": {"failures": 1}})

    async def succeed(self, run: Run, result: Mapping[str, Any], now: datetime) -> bool:
        change = {"status": "succeeded", "result": result, "error": None, "finishedAt": now}
        done = await self._runs.update_one(_held(run), {"$set": change, "$unset": {"open": 1, "lookAt": 1}})
        return bool(done.matched_count)

    async def fail(self, run: Run, error: str, now: datetime) -> bool:
        change = {"status": "failed", "error": error, "finishedAt": now}
        done = await self._runs.update_one(_held(run), {"$set": change, "$unset": {"open": 1, "lookAt": 1}})
        return bool(done.matched_count)

    async def to_look_after(self, now: datetime, limit: int) -> list[Run]:
        found = self._runs.find({"open": True, "lookAt": {"$lte": now}}).sort("lookAt", 1).limit(limit)
        return [to_run(document) for document in await found.to_list(limit)]

    async def sent(self, run: Run, look_at: datetime) -> None:
        """It was put into the queue again: look after it later, if nobody takes it."""
        await self._runs.update_one(
            {"_id": run.id, "open": True, "claims": run.claims, "status": "queued"}, {"$set": {"lookAt": look_at}}
        )

    async def find(self, run_id: str) -> Run | None:
        document = await self._runs.find_one({"_id": run_id})
        return None if document is None else to_run(document)

    async def newest(self, before_id: str | None, limit: int) -> list[Run]:
        query = {} if before_id is None else {"_id": {"$lt": before_id}}
        found = self._runs.find(query).sort("_id", -1).limit(limit)
        return [to_run(document) for document in await found.to_list(limit)]

    async def scheduled_until(self, name: str, now: datetime) -> datetime:
        """Up to when the job's ticks have been dealt with: `now` on the very first look."""
        document = await self._schedules.find_one_and_update(
            {"_id": name}, {"$setOnInsert": {"until": now}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        until: datetime = document["until"]
        return until

    async def set_scheduled_until(self, name: str, until: datetime) -> None:
        await self._schedules.update_one({"_id": name}, {"$set": {"until": until}}, upsert=True)


def _held(run: Run) -> dict[str, Any]:
    return {"_id": run.id, "open": True, "status": "running", "claims": run.claims}


def _new(run_id: str, name: str, actor: str, now: datetime, look_at: datetime) -> dict[str, Any]:
    return {
        "_id": run_id,
        "name": name,
        "open": True,
        "status": "queued",
        "actor": actor,
        "createdAt": now,
        "notBefore": ALWAYS,
        "lookAt": look_at,
        "claims": 0,
        "failures": 0,
        "returns": 0,
    }


def to_run(document: Mapping[str, Any]) -> Run:
    return Run(
        document["_id"],
        document["name"],
        document["status"],
        document["actor"],
        tuple(document.get("ticks", ())),
        document["createdAt"],
        document.get("startedAt"),
        document.get("finishedAt"),
        document["claims"],
        document["failures"],
        document["returns"],
        document.get("progress"),
        document.get("result"),
        document.get("error"),
    )
