"""Jobs of the test's own making, wired as in the service, with a queue the test can break."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.bootstrap import Shop
from service.config import Config
from service.infra.lasting_metrics import LastingMetrics
from service.jobs.repository import JobRuns
from service.jobs.runner import Body, Job, JobRunner, Progress, QueueDown
from service.jobs.scheduler import Scheduler
from service.jobs.usecases import Jobs
from service.messaging.dead_letters import DeadLetters


class FakeQueue:
    """Remembers what was sent; a broken one refuses, a wiped one has forgotten."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.broken = False

    async def send(self, name: str, run_id: str) -> None:
        if self.broken:
            raise QueueDown("broken by the test")
        self.sent.append(run_id)


@dataclass
class Worksite:
    jobs: Jobs
    runner: JobRunner
    runs: JobRuns
    queue: FakeQueue
    dead_letters: DeadLetters
    metrics: LastingMetrics
    scheduler: Scheduler

    async def work(self) -> None:
        """Runs what the queue holds, as a worker would."""
        sent, self.queue.sent = self.queue.sent, []
        await asyncio.gather(*(self.runner.execute(run_id) for run_id in sent))

    async def beside(self) -> None:
        """Looks after stuck runs and waits for what that started."""
        await self.runner.requeue_stuck()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "beside"))


def worksite(shop: Shop, queue: FakeQueue | None = None, **bodies: Body) -> Worksite:
    """A worker and its asking side. Another one on the same shop is another process for all they know."""
    return worksite_with(shop, shop.config, {name: ("*/5 * * * *", body) for name, body in bodies.items()}, queue)


def worksite_with(
    shop: Shop, config: Config, bodies: Mapping[str, tuple[str, Body]], queue: FakeQueue | None = None
) -> Worksite:
    jobs = [Job(name, cron, body) for name, (cron, body) in bodies.items()]
    database, clock, queue = shop.stores.database, shop.clock, queue or FakeQueue()
    runs, metrics, letters = JobRuns(database), LastingMetrics(database), DeadLetters(database, clock)
    runtime = replace(shop.runtime, config=config)
    runner = JobRunner(jobs, runs, queue, letters, metrics, runtime)
    asked = Jobs(jobs, runner, runs, queue, letters, runtime)
    return Worksite(asked, runner, runs, queue, letters, metrics, Scheduler(asked, runs, clock, config))


def quick(config: Config, **changes: Any) -> Config:
    return replace(config, **changes)


async def done(_: Progress) -> Mapping[str, Any]:
    return {"done": True}
