"""Background jobs, the asking side: trigger one, join the one that runs, see how it ended.

MongoDB is the truth and the queue a hint: a trigger writes the run first and then sends its id through the queue. What
the queue loses is sent again by whoever looks after the runs, so a trigger succeeds even while the queue is down."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.clock import Clock
from service.config import Config
from service.errors import Conflict, NotFound
from service.ids import Ids
from service.jobs.repository import JobRuns, Run
from service.jobs.runner import Job, JobRunner, Queue, QueueDown
from service.messaging.dead_letters import DeadLetters

log = logging.getLogger(__name__)
OPEN = {"queued", "running"}


class UnknownJob(NotFound):
    code, title = "unknown_job", "There is no such job"


class JobFailed(Conflict):
    code, title = "job_failed", "The job failed"


class Jobs:
    def __init__(
        self,
        jobs: Iterable[Job],
        runner: JobRunner,
        runs: JobRuns,
        queue: Queue,
        dead_letters: DeadLetters,
        clock: Clock,
        ids: Ids,
        config: Config,
    ) -> None:
        self.by_name = {job.name: job for job in jobs}
        self._runner, self._runs, self._queue = runner, runs, queue
        self._clock, self._ids, self._config = clock, ids, config
        dead_letters.on_replay("job", self._replay)

    async def trigger(self, name: str, actor: str) -> Run:
        """The new run, or the open one it joins. Raises UnknownJob."""
        run = await self._open(name, actor)
        await self._send(run)
        return run

    async def tick(self, name: str, ticks: Sequence[datetime]) -> Run | None:
        """One run for all ticks that are due; None when other schedulers have seen to them."""
        now = self._clock.now()
        run = await self._runs.open_for_ticks(self._ids.new(), name, ticks, now, self._look_again_at(now))
        if run is not None:
            await self._send(run)
        return run

    async def run_now(self, name: str) -> Mapping[str, Any]:
        """Runs the job in this process, or waits for the run it joins, at most as long as all its attempts may take.
        Raises UnknownJob, JobFailed."""
        run = await self._open(name, "command line")
        give_up = self._clock.monotonic() + self._config.job_seconds_max * self._config.job_attempts_max
        while run.status in OPEN:
            if self._clock.monotonic() > give_up:
                raise JobFailed("It is still running elsewhere", jobId=run.id)
            await self._runner.execute(run.id)
            run = await self.get(run.id)
            if run.status in OPEN:
                await self._clock.sleep(self._config.job_look_seconds)
        if run.status == "failed":
            raise JobFailed(run.error or "", jobId=run.id)
        return {"jobId": run.id, "name": name, "status": run.status, "result": run.result}

    async def get(self, run_id: str) -> Run:
        run = await self._runs.find(run_id)
        if run is None:
            raise UnknownJob("There is no such job run")
        return run

    async def newest(self, before_id: str | None, limit: int) -> list[Run]:
        return await self._runs.newest(before_id, limit)

    async def _open(self, name: str, actor: str) -> Run:
        if name not in self.by_name:
            raise UnknownJob(f"There is no job {name}")
        now = self._clock.now()
        return await self._runs.open(self._ids.new(), name, actor, now, self._look_again_at(now))

    async def _send(self, run: Run) -> None:
        try:
            await self._queue.send(run.name, run.id)
        except QueueDown as error:
            log.warning("the queue is down, %s %s waits for who looks after it: %s", run.name, run.id, error)

    def _look_again_at(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._config.job_resend_seconds)

    async def _replay(self, run_id: str) -> None:
        await self.trigger((await self.get(run_id)).name, "replay")
