"""A real scheduler process whose clock jumps: the nights in which clocks change, an hour asleep, a clock put right."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo import MongoClient

from service.config import Config
from workloads.torture.moved_clock import MovedClock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LONDON, MINUTE, HOUR = ZoneInfo("Europe/London"), timedelta(minutes=1), timedelta(hours=1)
SECOND = timedelta(seconds=1)
LOOK_SECONDS_MAX, LOOK_DELAY_MAX = 60, 45 * SECOND  # a look further off was one before the jump
EVERY_FIVE, DAILY = "expired-cleanup", "low-stock-check"


def next_change(forward: bool) -> datetime:
    """The midnight before clocks change in London next: a day to come, so that no run is old enough to be deleted."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        day += timedelta(days=1)
        before, after = ((day + hours * HOUR).astimezone(LONDON).utcoffset() for hours in (0, 12))
        if before is not None and after is not None and before != after and (after > before) is forward:
            return day


class Night:
    """A scheduler process, and its clock."""

    def __init__(self, process: subprocess.Popen[bytes], clock: MovedClock, database: Any) -> None:
        self._process, self._clock, self._database = process, clock, database

    def jump_to(self, moment: datetime) -> None:
        """And wait until it has looked there, at every job."""
        self._clock.move("scheduler", (moment - datetime.now(UTC)).total_seconds())
        give_up = time.monotonic() + LOOK_SECONDS_MAX
        while not (seen := self.seen_until()) or not moment <= min(seen) <= max(seen) < moment + LOOK_DELAY_MAX:
            assert self._process.poll() is None, "the scheduler has ended"
            assert time.monotonic() < give_up, f"the scheduler has seen {seen}, not {moment}"
            time.sleep(0.02)

    def walk(self, start: datetime, end: datetime, step: timedelta) -> None:
        for number in range((end - start) // step + 1):
            self.jump_to(start + number * step)

    def finish_runs(self) -> None:
        """As a worker would, so that what comes later is a run of its own."""
        done = {"$set": {"status": "succeeded"}, "$unset": {"open": ""}}
        self._database["job_runs"].update_many({"open": True}, done)

    def seen_until(self) -> list[datetime]:
        """Until when, job by job; all the same moment once a look is over."""
        return [schedule["until"].replace(tzinfo=UTC) for schedule in self._database["schedules"].find()]

    def ticks(self, name: str) -> Counter[datetime]:
        runs = self._database["job_runs"].find({"name": name})
        return Counter(tick.replace(tzinfo=UTC) for run in runs for tick in run.get("ticks", ()))


@contextmanager
def night(config: Config, start: datetime, database: Any, folder: Path) -> Iterator[Night]:
    clock = MovedClock(folder / "clock")
    clock.move("scheduler", (start - datetime.now(UTC)).total_seconds())
    environment = {
        "MONGODB_URI": config.mongodb_uri,
        "REDIS_URL": config.redis_url,
        "HOLDFAST_DATABASE": config.database,
        "HOLDFAST_APP_NAME": "clock-jumps/scheduler/1",
        "HOLDFAST_TIMEZONE": LONDON.key,
        "HOLDFAST_JOB_LOOK_SECONDS": "0.02",
    }
    log = folder / "scheduler.log"
    with log.open("wb") as out:
        argv = [sys.executable, "-m", "service.worker", "--scheduler"]
        process = subprocess.Popen(argv, env={**os.environ, **environment, **clock.environment}, stdout=out, stderr=out)
    try:
        yield Night(process, clock, database)
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()[-3_000:]


@pytest.mark.parametrize("forward", [True, False], ids=["clocks go forward", "clocks go back"])
def test_no_jump_doubles_a_tick_or_loses_one(
    config: Config, mongo: MongoClient[dict[str, Any]], tmp_path: Path, forward: bool
) -> None:
    """Slow: a real process is walked through a night and a morning, seven minutes at a time."""
    midnight = next_change(forward)
    nine = (midnight + 12 * HOUR).astimezone(LONDON).replace(hour=9).astimezone(UTC)
    with night(config, midnight, mongo[config.database], tmp_path) as scheduler:
        scheduler.walk(midnight, midnight + 3 * HOUR, 7 * MINUTE)  # clocks change at one o'clock UTC
        scheduler.finish_runs()
        scheduler.jump_to(midnight + 4.5 * HOUR)  # asleep for an hour and a half
        scheduler.finish_runs()
        scheduler.jump_to(midnight + 4.5 * HOUR - 50 * SECOND)  # put right by less than a minute
        scheduler.walk(midnight + 4.5 * HOUR, nine - MINUTE, 20 * MINUTE)
        scheduler.finish_runs()
        scheduler.jump_to(nine + 2 * MINUTE)
        scheduler.finish_runs()
        scheduler.jump_to(nine + HOUR)  # asleep again, a minute after the daily jobs
    until = max(scheduler.seen_until())
    expected = [midnight + n * 5 * MINUTE for n in range((until - midnight) // (5 * MINUTE) + 1)]
    found = scheduler.ticks(EVERY_FIVE)
    assert found - Counter([midnight]) == Counter(expected[1:])  # the first look catches up on nothing
    assert scheduler.ticks(DAILY) == {nine: 1}
