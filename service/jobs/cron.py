"""When a job is due. Pure: cron, time zone and two instants in, ticks out.

A schedule with fixed hours (`0 9 * * *`) follows the wall clock: a time that clocks skip is run as late as they went
forward, a time that exists twice is run the first time only. A schedule for every hour (`*/5 * * * *`) follows elapsed
time, so neither change is noticed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pycron  # type: ignore[import-untyped]

MINUTE = timedelta(minutes=1)
CLOCK_CHANGE_MAX = timedelta(hours=3)


def ticks(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """The instants in (after, until] at which `cron` is due, in UTC, oldest first."""
    found = _on_the_wall(cron, zone, after, until) if _has_fixed_hours(cron) else _elapsed(cron, zone, after, until)
    return [tick for tick in found if after < tick <= until]


def _has_fixed_hours(cron: str) -> bool:
    return not cron.split(" ")[1].startswith("*")


def _elapsed(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    for minute in _minutes(after.astimezone(UTC), until.astimezone(UTC)):
        if pycron.is_now(cron, minute.astimezone(zone)):
            yield minute


def _on_the_wall(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """Walks the wall clock, a minute that exists twice once and a minute that does not exist too."""
    first, last = (at.astimezone(zone).replace(tzinfo=None) for at in (after, until))
    for minute in _minutes(first - CLOCK_CHANGE_MAX, last + CLOCK_CHANGE_MAX):
        if pycron.is_now(cron, minute):
            yield minute.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _minutes(after: datetime, until: datetime) -> Iterator[datetime]:
    minute = after.replace(second=0, microsecond=0)
    while minute <= until:
        yield minute
        minute += MINUTE
