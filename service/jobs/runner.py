"""The working side of jobs: claims a run, works under a lease, writes down how it ended, looks after what got stuck."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from service.infra.lasting_metrics import LastingMetrics
from service.infra.loops import STORE_DOWN
from service.jobs.repository import JobRuns, Run
from service.messaging.dead_letters import DeadLetters
from service.runtime import Runtime

log = logging.getLogger(__name__)
REQUEUED_MAX = 20
BEATS_PER_LEASE = 5
ERROR_LENGTH_MAX = 500


class Stopped(Exception):
    """The worker stops: the run goes back into the queue."""


@dataclass(slots=True)
class Progress:
    """What a running job says about itself, kept with its lease and shown to whoever asks."""

    said: dict[str, Any] = field(default_factory=dict)
    stopping: bool = False

    def checkpoint(self, **said: Any) -> None:
        """Raises Stopped between two steps when the worker stops."""
        self.said.update(said)
        if self.stopping:
            raise Stopped


Body = Callable[[Progress], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Job:
    """`body` may run twice at the same time, and again after having been killed anywhere."""

    name: str
    cron: str
    body: Body


class QueueDown(Exception):
    """The queue does not take anything now."""


class Queue(Protocol):
    async def send(self, name: str, run_id: str) -> None:
        """Raises QueueDown."""


class JobRunner:
    def __init__(
        self,
        jobs: Iterable[Job],
        runs: JobRuns,
        queue: Queue,
        dead_letters: DeadLetters,
        metrics: LastingMetrics,
        runtime: Runtime,
    ) -> None:
        self._bodies = {job.name: job.body for job in jobs}
        self._runs, self._queue, self._dead_letters, self._metrics = runs, queue, dead_letters, metrics
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config
        self._lease = timedelta(seconds=runtime.config.job_lease_seconds)
        self._working: dict[asyncio.Task[Mapping[str, Any]], Progress] = {}
        self._beside: set[asyncio.Task[None]] = set()

    async def execute(self, run_id: str) -> None:
        """Runs it if it is due and free. What the job raises is written down, not raised."""
        run = await self._runs.claim(run_id, self._config.app_name, self._clock.now(), self._lease)
        if run is None:
            return
        if run.lost_workers >= self._config.job_deaths_max:
            await self._give_up(run, f"{run.lost_workers} workers died on it")
            return
        started = self._clock.monotonic()
        task = await self._work(run)
        self._measure(run, task, self._clock.monotonic() - started)
        await self._conclude(run, task)

    async def _work(self, run: Run) -> asyncio.Task[Mapping[str, Any]]:
        """The body's task, ended one way or another."""
        progress = Progress()
        task = asyncio.create_task(self._bounded(run.name, progress))
        beat = asyncio.create_task(self._keep(run, task, progress))
        self._working[task] = progress
        try:
            await asyncio.wait({task})
        finally:
            beat.cancel()
            task.cancel()
            del self._working[task]
        return task

    async def _bounded(self, name: str, progress: Progress) -> Mapping[str, Any]:
        async with asyncio.timeout(self._config.job_seconds_max):
            return await self._bodies[name](progress)

    async def _keep(self, run: Run, task: asyncio.Task[Any], progress: Progress) -> None:
        """Renews the lease and shows progress; ends the work when another worker has taken the run over."""
        while True:
            await self._clock.sleep(self._config.job_lease_seconds / BEATS_PER_LEASE)
            try:
                kept = await self._runs.renew(run, progress.said, self._clock.now() + self._lease)
            except STORE_DOWN as error:
                log.warning("the lease of %s %s could not be renewed: %s", run.name, run.id, error)
                continue
            if not kept:
                log.warning("%s %s was taken over by another worker", run.name, run.id)
                task.cancel()

    async def _conclude(self, run: Run, task: asyncio.Task[Mapping[str, Any]]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or isinstance(error, Stopped):
            await self._runs.hand_back(run)
        elif error is None:
            await self._runs.succeed(run, task.result(), self._clock.now())
        else:
            await self._failed(run, error)

    async def _failed(self, run: Run, error: BaseException) -> None:
        log.error("%s %s failed", run.name, run.id, exc_info=error)
        said = f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]
        if run.failures + 1 >= self._config.job_attempts_max:
            await self._give_up(run, said)
        else:
            await self._runs.retry(run, said, self._clock.now() + self._pause_before_retry(run.failures))

    def _pause_before_retry(self, failures: int) -> timedelta:
        ceiling = min(self._config.job_retry_pause_seconds * 2**failures, self._config.job_retry_pause_max_seconds)
        return timedelta(seconds=ceiling / 2 + self._ids.jitter(ceiling / 2))

    async def _give_up(self, run: Run, error: str) -> None:
        if await self._runs.fail(run, error, self._clock.now()):
            await self._dead_letters.add("job", run.id, run.name, error)

    def _measure(self, run: Run, task: asyncio.Task[Any], duration_seconds: float) -> None:
        stopped = task.cancelled() or isinstance(task.exception(), Stopped)
        outcome = "returned" if stopped else "failed" if task.exception() else "succeeded"
        self._metrics.count("holdfast_job_runs", run.name, outcome)
        self._metrics.observe("holdfast_job_duration_seconds", [duration_seconds], run.name)
        if run.ticks and run.started_at is not None and run.claims == 1:
            lag = (run.started_at - min(run.ticks)).total_seconds()
            self._metrics.observe("holdfast_job_lag_seconds", [max(0.0, lag)], run.name)

    async def requeue_stuck(self) -> float:
        """Sends again what nobody took and what a dead worker held; runs it here while the queue is down."""
        now = self._clock.now()
        for run in await self._runs.stuck(now, REQUEUED_MAX):
            try:
                await self._queue.send(run.name, run.id)
                await self._runs.sent(run, now + timedelta(seconds=self._config.job_resend_seconds))
            except QueueDown as error:
                log.warning("the queue is down, %s runs without it: %s", run.name, error)
                self._run_beside(run.id)
        return self._config.job_look_seconds

    def _run_beside(self, run_id: str) -> None:
        if len(self._beside) < self._config.worker_tasks_max:
            task = asyncio.create_task(self.execute(run_id), name="beside")
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    async def stop(self, grace_seconds: float) -> None:
        """Lets what runs finish or stop between two steps; what is left after the grace is handed back."""
        for progress in self._working.values():
            progress.stopping = True
        if self._working:
            await asyncio.wait(set(self._working), timeout=grace_seconds)
        for task in self._working:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside, timeout=grace_seconds)
