"""Wires background jobs: asking for them, running them, and saying when they are due."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.infra.lasting_metrics import LastingMetrics
from service.infra.stores import Stores
from service.jobs.broker import JobQueue, StreamBroker
from service.jobs.repository import JobRuns
from service.jobs.runner import Job, JobRunner
from service.jobs.scheduler import Scheduler
from service.jobs.usecases import Jobs
from service.messaging.dead_letters import DeadLetters
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class JobsDomain:
    jobs: Jobs
    runner: JobRunner
    broker: StreamBroker
    scheduler: Scheduler


def wire(
    runtime: Runtime, stores: Stores, jobs: Sequence[Job], dead_letters: DeadLetters, metrics: LastingMetrics
) -> JobsDomain:
    runs, queue = JobRuns(stores.database), JobQueue(StreamBroker(runtime.config, runtime.clock))
    runner = JobRunner(jobs, runs, queue, dead_letters, metrics, runtime)
    queue.register([job.name for job in jobs], runner)
    asked = Jobs(jobs, runner, runs, queue, dead_letters, runtime)
    return JobsDomain(asked, runner, queue.broker, Scheduler(asked, runs, runtime.clock, runtime.config))
