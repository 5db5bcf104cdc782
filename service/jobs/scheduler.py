"""Turns due ticks into job runs. Any number of schedulers may run: a tick belongs to one run, by a unique index.

Taskiq's own scheduler is not used: it loses a tick while Redis is down, runs one twice when restarted within its
minute, and knows nothing of ticks that passed while nobody was there. Here MongoDB keeps up to when ticks have been
dealt with; what was missed is caught up in one run that names all its ticks."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from service.clock import Clock
from service.config import Config
from service.jobs.cron import ticks
from service.jobs.repository import JobRuns
from service.jobs.runner import Job
from service.jobs.usecases import Jobs

log = logging.getLogger(__name__)
CLOCK_SKEW_MAX = timedelta(minutes=1)  # between the machines of several schedulers


class Scheduler:
    def __init__(self, jobs: Jobs, runs: JobRuns, clock: Clock, config: Config) -> None:
        self._jobs, self._runs, self._clock, self._config = jobs, runs, clock, config
        self._zone = ZoneInfo(config.timezone)
        self._minute: datetime | None = None

    async def tick(self) -> float:
        """Once a minute of the clock, whichever way it went there."""
        now = self._clock.now()
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            await self._look_at(self._jobs.by_name.values(), now)
            self._minute = minute
        return self._config.job_look_seconds

    async def _look_at(self, jobs: Iterable[Job], now: datetime) -> None:
        for job in jobs:
            until = await self._runs.scheduled_until(job.name, now)
            if until > now + CLOCK_SKEW_MAX:
                log.warning("the clock was put back: %s was seen to until %s", job.name, until)
                await self._runs.forget_ticks_after(job.name, now)
            after = min(max(until, now - timedelta(seconds=self._config.catch_up_seconds_max)), now)
            if due := ticks(job.cron, self._zone, after, now):
                run = await self._jobs.tick(job.name, due)
                log.info("%s is due, %s", job.name, "elsewhere" if run is None else run.id)
            await self._runs.set_scheduled_until(job.name, now)
