"""Ticks on real MongoDB: each belongs to one run, whatever the clock and the schedulers do."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from job_harness import Worksite, done, quick, worksite, worksite_with
from shops import MovableClock

from service.bootstrap import Shop
from service.jobs.runner import Progress


@pytest.fixture
def clock() -> MovableClock:
    """Stands at noon of a day without clock changes, plus what the test says."""
    return StandingClock(datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC))


class StandingClock(MovableClock):
    def __init__(self, start: datetime) -> None:
        super().__init__()
        self._at = start

    def now(self) -> datetime:
        return self._at

    def advance(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


async def look_every_second(site: Worksite, clock: MovableClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
        await site.scheduler.tick()
        await site.work()


async def ticks_run(shop: Shop) -> Counter[tuple[str, str]]:
    runs = await shop.stores.database["job_runs"].find().to_list(None)
    return Counter((run["name"], f"{tick:%d %H:%M}") for run in runs for tick in run.get("ticks", ()))


async def test_a_job_is_due_on_its_minute_once(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    await site.scheduler.tick()
    await look_every_second(site, clock, 11 * 60)
    assert await ticks_run(shop) == {("tidy", "01 12:05"): 1, ("tidy", "01 12:10"): 1}


async def test_five_schedulers_make_one_run_per_tick(shop: Shop, clock: MovableClock) -> None:
    sites = [worksite(shop, tidy=done) for _ in range(5)]
    await asyncio.gather(*(site.scheduler.tick() for site in sites))
    for _ in range(20):
        clock.advance(60)
        await asyncio.gather(*(site.scheduler.tick() for site in sites))
        await asyncio.gather(*(site.work() for site in sites))
    assert await ticks_run(shop) == {("tidy", f"01 12:{minute:02}"): 1 for minute in (5, 10, 15, 20)}
    assert await shop.stores.database["job_runs"].count_documents({}) == 4


async def test_a_scheduler_restarted_within_its_minute_does_not_repeat_the_tick(
    shop: Shop, clock: MovableClock
) -> None:
    await worksite(shop, tidy=done).scheduler.tick()
    clock.advance(270)
    for _ in range(3):
        site = worksite(shop, tidy=done)
        await site.scheduler.tick()
        await site.work()
        clock.advance(5)
    assert await ticks_run(shop) == {("tidy", "01 12:05"): 1}


async def test_the_very_first_look_catches_up_on_nothing(shop: Shop) -> None:
    await worksite(shop, tidy=done).scheduler.tick()
    assert await ticks_run(shop) == {}


async def test_an_hour_asleep_is_caught_up_in_one_run_that_names_every_tick(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    await site.scheduler.tick()
    clock.advance(3600)
    await site.scheduler.tick()
    [run] = await site.jobs.newest(None, 10)
    assert len(run.ticks) == 12
    await look_every_second(site, clock, 300)
    assert sum((await ticks_run(shop)).values()) == 13


async def test_a_week_switched_off_is_caught_up_but_not_a_year(shop: Shop, clock: MovableClock) -> None:
    site = worksite_with(shop, shop.config, {"daily": ("0 9 * * *", done)})
    await site.scheduler.tick()
    clock.advance(365 * 86_400)
    await site.scheduler.tick()
    [run] = await site.jobs.newest(None, 10)
    assert len(run.ticks) == 7


async def test_a_tick_during_a_long_run_joins_it(shop: Shop, clock: MovableClock) -> None:
    opened, entered = asyncio.Event(), asyncio.Event()

    async def slow(_: Progress) -> Mapping[str, Any]:
        entered.set()
        await opened.wait()
        return {}

    site = worksite(shop, slow=slow)
    await site.scheduler.tick()
    clock.advance(300)
    await site.scheduler.tick()
    working = asyncio.create_task(site.work())
    await entered.wait()
    clock.advance(300)
    await site.scheduler.tick()
    [run] = await site.jobs.newest(None, 10)
    assert len(run.ticks) == 2
    opened.set()
    await working


async def test_a_clock_set_back_an_hour_loses_no_run(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    await site.scheduler.tick()
    await look_every_second(site, clock, 3600)
    clock.advance(-3600)
    before = await shop.stores.database["job_runs"].count_documents({})
    await look_every_second(site, clock, 3600)
    ran = await shop.stores.database["job_runs"].count_documents({}) - before
    assert (before, ran) == (12, 12)
    assert set((await ticks_run(shop)).values()) == {1}


async def test_a_clock_that_was_a_year_ahead_does_not_silence_the_job(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    clock.advance(365 * 86_400)
    await look_every_second(site, clock, 301)
    clock.advance(-365 * 86_400)
    await look_every_second(site, clock, 301)
    assert (await ticks_run(shop))["tidy", "01 12:10"] == 1


@pytest.mark.parametrize(
    ("zone", "start", "ticks"),
    [
        ("Europe/London", "2026-03-28T12:00", ["29 08:00"]),
        ("Europe/London", "2026-10-24T12:00", ["25 09:00"]),
        ("America/New_York", "2026-03-07T16:00", ["08 13:00"]),
        ("Australia/Lord_Howe", "2026-10-03T00:00", ["03 22:00"]),
    ],
)
async def test_a_daily_job_comes_once_on_the_day_clocks_change(
    shop: Shop, clock: StandingClock, zone: str, start: str, ticks: list[str]
) -> None:
    site = worksite_with(shop, quick(shop.config, timezone=zone), {"daily": ("0 9 * * *", done)})
    clock._at = datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in range(24 * 6):
        await site.scheduler.tick()
        clock.advance(600)
    assert await ticks_run(shop) == {("daily", tick): 1 for tick in ticks}


async def test_a_tick_is_not_lost_while_the_queue_is_down(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    await site.scheduler.tick()
    site.queue.broken = True
    clock.advance(300)
    await site.scheduler.tick()
    clock.advance(shop.config.job_resend_seconds + 1)
    await site.beside()
    [run] = await site.jobs.newest(None, 10)
    assert (run.status, len(run.ticks)) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("start", "nine"), [("2026-03-28T21:00", "29 08:00"), ("2026-10-24T21:00", "25 09:00")], ids=["forward", "back"]
)
async def test_in_the_night_clocks_change_every_tick_comes_once(
    shop: Shop, clock: StandingClock, start: str, nine: str
) -> None:
    jobs = {"often": ("*/5 * * * *", done), "daily": ("0 9 * * *", done)}
    site = worksite_with(shop, quick(shop.config, timezone="Europe/London"), jobs)
    clock._at = datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in range(13 * 12):
        await site.scheduler.tick()
        await site.work()
        clock.advance(300)
    ran = await ticks_run(shop)
    assert set(ran.values()) == {1}
    assert sum(name == "often" for name, _ in ran) == 13 * 12 - 1  # the first look catches up on nothing
    assert [tick for name, tick in ran if name == "daily"] == [nine]


async def test_an_hour_asleep_over_nine_runs_the_daily_job_once_and_late(shop: Shop, clock: StandingClock) -> None:
    site = worksite_with(shop, shop.config, {"daily": ("0 9 * * *", done)})
    clock._at = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
    await site.scheduler.tick()
    clock.advance(3_600)
    await look_every_second(site, clock, 120)
    assert await ticks_run(shop) == {("daily", "01 09:00"): 1}


async def test_a_clock_put_right_by_less_than_a_minute_repeats_nothing(shop: Shop, clock: StandingClock) -> None:
    site = worksite(shop, tidy=done)
    clock._at = datetime(2026, 6, 1, 12, 4, 30, tzinfo=UTC)
    await look_every_second(site, clock, 60)
    clock.advance(-50)
    await look_every_second(site, clock, 120)
    assert await ticks_run(shop) == {("tidy", "01 12:05"): 1}
    assert await shop.stores.database["job_runs"].count_documents({}) == 1
