"""/api/inventory/jobs and /api/inventory/dead-letters: background work as staff see and start it."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from sanic import Blueprint

from service.jobs.repository import Run
from service.jobs.usecases import Jobs, UnknownJob
from service.messaging.dead_letters import DeadLetter, DeadLetters, UnknownDeadLetter
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, Wire, operation


class PageQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class JobAccepted(Wire):
    """A trigger while the job is queued or running joins that run."""

    job_id: str


class JobReply(Wire):
    """`ticks` are the scheduled instants the run stands for, none when it was asked for by hand."""

    job_id: str
    name: str
    status: Literal["queued", "running", "succeeded", "failed"]
    actor: str
    ticks: list[datetime]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failures: int
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None


class JobsReply(Wire):
    items: list[JobReply]
    next_cursor: str | None


class DeadLetterView(Wire):
    """`kind` says what was given up: a job, a fact that could not be relayed, a mail or a webhook."""

    id: str
    kind: Literal["job", "fact", "mail", "webhook"]
    reference: str
    about: str
    error: str
    died_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


class DeadLettersReply(Wire):
    items: list[DeadLetterView]
    next_cursor: str | None


def routes(jobs: Jobs, dead_letters: DeadLetters) -> Blueprint:
    blueprint = Blueprint("jobs", url_prefix="/api/inventory")

    @operation(
        blueprint,
        "POST",
        "/jobs/<name:str>",
        "Run a job now, or join its present run",
        returns={202: JobAccepted},
        access=Access.STAFF,
        scope="jobs:write",
        errors=(UnknownJob,),
        gives={"job_id": "/jobId"},
    )
    async def trigger_job(call: Call[Nothing], name: str) -> Reply:
        """202 with the run's id; a job that is running already is joined, not started twice."""
        run = await jobs.trigger(name, call.user.user_id)
        return Reply(202, JobAccepted(job_id=run.id), {"Location": f"/api/inventory/jobs/{run.id}"})

    @operation(
        blueprint,
        "GET",
        "/jobs/<job_id:str>",
        "How a job run is getting on, and how it ended",
        returns={200: JobReply},
        access=Access.STAFF,
        scope="jobs:read",
        errors=(UnknownJob,),
    )
    async def job(call: Call[Nothing], job_id: str) -> Reply:
        """`queued`, `running`, `succeeded` with `result`, or `failed` with `error`."""
        return Reply(200, _job_view(await jobs.get(job_id)))

    @operation(
        blueprint,
        "GET",
        "/jobs",
        "Job runs, newest first",
        takes=PageQuery,
        returns={200: JobsReply},
        access=Access.STAFF,
        scope="jobs:read",
    )
    async def job_list(call: Call[PageQuery]) -> Reply:
        """Runs by schedule and by hand alike, newest first."""
        before = None if call.taken.cursor is None else cursor.decode(call.taken.cursor, str)
        found = await jobs.newest(before, call.taken.limit + 1)
        page = found[: call.taken.limit]
        next_cursor = cursor.encode(page[-1].id) if len(found) > len(page) else None
        return Reply(200, JobsReply(items=[_job_view(run) for run in page], next_cursor=next_cursor))

    @operation(
        blueprint,
        "GET",
        "/dead-letters",
        "What was given up after all its attempts, newest first",
        takes=PageQuery,
        returns={200: DeadLettersReply},
        access=Access.STAFF,
        scope="jobs:read",
    )
    async def dead_letter_list(call: Call[PageQuery]) -> Reply:
        """Deliveries and jobs that failed every attempt, with the last error, kept until somebody decides."""
        position = None if call.taken.cursor is None else cursor.decode(call.taken.cursor, cursor.TimePosition)
        before = None if position is None else (position.at, position.id)
        found = await dead_letters.newest(before, call.taken.limit + 1)
        page = found[: call.taken.limit]
        more = len(found) > len(page)
        next_cursor = cursor.encode(cursor.TimePosition(page[-1].died_at, page[-1].id)) if more else None
        return Reply(200, DeadLettersReply(items=[_letter_view(letter) for letter in page], next_cursor=next_cursor))

    @operation(
        blueprint,
        "POST",
        "/dead-letters/<letter_id:str>/replay",
        "Try it again from the start",
        returns={200: DeadLetterView},
        access=Access.STAFF,
        scope="jobs:write",
        errors=(UnknownDeadLetter,),
    )
    async def replay_dead_letter(call: Call[Nothing], letter_id: str) -> Reply:
        """It gets all its attempts again and leaves the list if it succeeds."""
        return Reply(200, _letter_view(await dead_letters.replay(letter_id, call.user.user_id)))

    return blueprint


def _job_view(run: Run) -> JobReply:
    return JobReply(
        job_id=run.id,
        name=run.name,
        status=run.status,
        actor=run.actor,
        ticks=list(run.ticks),
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        failures=run.failures,
        progress=None if run.progress is None else dict(run.progress),
        result=None if run.result is None else dict(run.result),
        error=run.error,
    )


def _letter_view(letter: DeadLetter) -> DeadLetterView:
    return DeadLetterView(
        id=letter.id,
        kind=letter.kind,
        reference=letter.reference,
        about=letter.about,
        error=letter.error,
        died_at=letter.died_at,
        replayed_at=letter.replayed_at,
        replayed_by=letter.replayed_by,
    )
