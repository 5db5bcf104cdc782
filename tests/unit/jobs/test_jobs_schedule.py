"""When jobs are due: wall clocks that change, instants that must come exactly once."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.jobs.cron import ticks

LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
EVERY_FIVE, DAILY, NIGHTLY = "*/5 * * * *", "0 9 * * *", "30 1 * * *"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(cron: str, zone: ZoneInfo, after: str, until: str) -> list[str]:
    return [tick.strftime("%m-%dT%H:%M") for tick in ticks(cron, zone, utc(after), utc(until))]


def test_a_tick_belongs_to_the_look_that_reaches_it() -> None:
    assert due(EVERY_FIVE, LONDON, "2026-01-01T10:00:00", "2026-01-01T10:05:00") == ["01-01T10:05"]
    assert due(EVERY_FIVE, LONDON, "2026-01-01T10:05:00", "2026-01-01T10:09:59") == []


def test_an_hour_asleep_leaves_twelve_ticks_to_catch_up_on() -> None:
    assert len(due(EVERY_FIVE, LONDON, "2026-01-01T10:00:01", "2026-01-01T11:00:01")) == 12


def test_a_daily_job_keeps_its_wall_time_through_the_year() -> None:
    assert due(DAILY, LONDON, "2026-03-28T12:00", "2026-03-30T12:00") == ["03-29T08:00", "03-30T08:00"]
    assert due(DAILY, LONDON, "2026-03-27T12:00", "2026-03-28T12:00") == ["03-28T09:00"]


def test_a_time_that_clocks_skip_still_comes_once() -> None:
    assert due("30 2 * * *", NEW_YORK, "2026-03-08T00:00", "2026-03-08T12:00") == ["03-08T07:30"]
    assert due("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", "2026-10-04T12:00") == ["10-03T15:45"]


def test_a_time_that_exists_twice_comes_the_first_time_only() -> None:
    assert due(NIGHTLY, LONDON, "2026-10-25T00:00", "2026-10-25T12:00") == ["10-25T00:30"]
    assert due(NIGHTLY, LONDON, "2026-10-25T00:31", "2026-10-25T01:45") == []


def test_a_frequent_job_does_not_notice_clock_changes() -> None:
    assert len(due(EVERY_FIVE, LONDON, "2026-10-24T23:00", "2026-10-25T03:00")) == 48
    assert len(due(EVERY_FIVE, LONDON, "2026-03-28T23:00", "2026-03-29T03:00")) == 48


@pytest.mark.parametrize("cron", [EVERY_FIVE, DAILY, NIGHTLY, "30 2 * * *", "0 0 1 * *", "0 9 * * 1-5"])
@pytest.mark.parametrize("zone", [LONDON, NEW_YORK, LORD_HOWE])
@settings(max_examples=15, deadline=None)
@given(
    start=st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30)), cuts=st.lists(st.integers(0, 3000), max_size=5)
)
def test_however_often_one_looks_the_same_ticks_are_found(
    cron: str, zone: ZoneInfo, start: datetime, cuts: list[int]
) -> None:
    begin = start.replace(tzinfo=UTC)
    looks = [begin + timedelta(minutes=minutes) for minutes in [*sorted(cuts), 3000]]
    piecewise = []
    for look in looks:
        piecewise += ticks(cron, zone, begin, look)
        begin = look
    assert piecewise == ticks(cron, zone, start.replace(tzinfo=UTC), looks[-1])
    assert len(set(piecewise)) == len(piecewise)
