"""Job runs on real MongoDB: asked for once, run once, reported; taken over from the dead; never lost with the queue."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from job_harness import done, quick, worksite, worksite_with
from shops import MovableClock

from service.bootstrap import Shop
from service.jobs.runner import Progress
from service.jobs.usecases import JobFailed, UnknownJob


class Gate:
    """A body that works until the test lets it end, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.opened = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, progress: Progress) -> Mapping[str, Any]:
        self.begun += 1
        self.entered.set()
        while not self.opened.is_set():
            progress.checkpoint(steps=self.begun)
            await asyncio.sleep(0.005)
        return {"begun": self.begun}


async def fails(_: Progress) -> Mapping[str, Any]:
    raise RuntimeError("no such luck")


async def test_a_triggered_job_is_run_by_a_worker_and_its_result_reported(shop: Shop) -> None:
    site = worksite(shop, tidy=done)
    run = await site.jobs.trigger("tidy", "staff-1")
    assert (run.status, run.actor) == ("queued", "staff-1")
    await site.work()
    ended = await site.jobs.get(run.id)
    assert (ended.status, ended.result, ended.error) == ("succeeded", {"done": True}, None)
    assert ended.started_at is not None
    assert ended.finished_at is not None


async def test_an_unknown_job_is_refused(shop: Shop) -> None:
    with pytest.raises(UnknownJob):
        await worksite(shop, tidy=done).jobs.trigger("untidy", "staff-1")


async def test_a_second_trigger_joins_the_run_that_waits_or_works(shop: Shop) -> None:
    gate = Gate()
    site = worksite(shop, slow=gate)
    first = await site.jobs.trigger("slow", "staff-1")
    assert (await site.jobs.trigger("slow", "staff-2")).id == first.id
    working = asyncio.create_task(site.work())
    await gate.entered.wait()
    joined = await site.jobs.trigger("slow", "staff-3")
    assert (joined.id, joined.status) == (first.id, "running")
    gate.opened.set()
    await working
    assert gate.begun == 1
    assert (await site.jobs.trigger("slow", "staff-4")).id != first.id


async def test_fifty_simultaneous_triggers_make_one_run(shop: Shop) -> None:
    gate = Gate()
    gate.opened.set()
    sites = [worksite(shop, slow=gate) for _ in range(5)]
    runs = await asyncio.gather(*(site.jobs.trigger("slow", "staff") for site in sites for _ in range(10)))
    assert len({run.id for run in runs}) == 1
    await asyncio.gather(*(site.work() for site in sites))
    assert gate.begun == 1


async def test_progress_is_visible_while_the_job_works(shop: Shop) -> None:
    gate = Gate()
    site = worksite_with(shop, quick(shop.config, job_lease_seconds=0.05), {"slow": ("* * * * *", gate)})
    run = await site.jobs.trigger("slow", "staff")
    working = asyncio.create_task(site.work())
    async with asyncio.timeout(5):
        while (await site.jobs.get(run.id)).progress is None:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)
    assert (await site.jobs.get(run.id)).progress == {"steps": 1}
    gate.opened.set()
    await working


async def test_a_dead_workers_run_is_taken_over_when_its_lease_has_run_out(shop: Shop, clock: MovableClock) -> None:
    dead, alive = worksite(shop, tidy=Gate()), worksite(shop, tidy=done)
    run = await dead.jobs.trigger("tidy", "staff")
    claimed = await dead.runs.claim(run.id, "dead", clock.now(), dead.runner._lease)
    assert claimed is not None
    await alive.runner.execute(run.id)
    assert (await alive.jobs.get(run.id)).status == "running"
    clock.advance(shop.config.job_lease_seconds + 1)
    await alive.runner.requeue_stuck()
    await alive.work()
    assert (await alive.jobs.get(run.id)).status == "succeeded"


async def test_a_worker_that_comes_back_from_a_long_pause_changes_nothing(shop: Shop, clock: MovableClock) -> None:
    paused, alive = worksite(shop, tidy=done), worksite(shop, tidy=Gate())
    run = await paused.jobs.trigger("tidy", "staff")
    stale = await paused.runs.claim(run.id, "paused", clock.now(), paused.runner._lease)
    assert stale is not None
    clock.advance(shop.config.job_lease_seconds + 1)
    assert await alive.runs.claim(run.id, "alive", clock.now(), alive.runner._lease) is not None
    assert not await paused.runs.renew(stale, {}, clock.now())
    assert not await paused.runs.succeed(stale, {"stale": True}, clock.now())
    assert not await paused.runs.fail(stale, "stale", clock.now())
    assert (await alive.jobs.get(run.id)).status == "running"


async def test_a_run_that_kills_every_worker_is_given_up(shop: Shop, clock: MovableClock) -> None:
    site = worksite_with(shop, quick(shop.config, job_deaths_max=3), {"deadly": ("* * * * *", done)})
    run = await site.jobs.trigger("deadly", "staff")
    for _ in range(3):
        assert await site.runs.claim(run.id, "dies", clock.now(), site.runner._lease) is not None
        clock.advance(shop.config.job_lease_seconds + 1)
    await site.runner.execute(run.id)
    assert (await site.jobs.get(run.id)).error == "3 workers died on it"
    assert [letter.about for letter in await site.dead_letters.newest(None, 10)] == ["deadly"]


async def test_a_failing_job_is_tried_again_ever_later_and_ends_as_a_dead_letter(
    shop: Shop, clock: MovableClock
) -> None:
    site = worksite(shop, bad=fails)
    run = await site.jobs.trigger("bad", "staff")
    await site.work()
    retried = await site.jobs.get(run.id)
    assert (retried.status, retried.failures, retried.error) == ("queued", 1, "RuntimeError: no such luck")
    await site.runner.execute(run.id)
    assert (await site.jobs.get(run.id)).failures == 1, "it is not due yet"
    for failures in range(2, shop.config.job_attempts_max + 1):
        clock.advance(shop.config.job_retry_pause_max_seconds)
        await site.runner.requeue_stuck()
        await site.work()
        assert (await site.jobs.get(run.id)).failures == min(failures, shop.config.job_attempts_max - 1)
    assert (await site.jobs.get(run.id)).status == "failed"
    [letter] = await site.dead_letters.newest(None, 10)
    assert (letter.kind, letter.about, letter.error) == ("job", "bad", "RuntimeError: no such luck")


async def test_a_dead_job_is_replayed_by_staff(shop: Shop, clock: MovableClock) -> None:
    site = worksite_with(shop, quick(shop.config, job_attempts_max=1), {"bad": ("* * * * *", fails)})
    await site.jobs.trigger("bad", "staff")
    await site.work()
    [letter] = await site.dead_letters.newest(None, 10)
    assert await site.dead_letters.waiting() == 1
    replayed = await site.dead_letters.replay(letter.id, "staff-1")
    assert replayed.replayed_by == "staff-1"
    assert await site.dead_letters.waiting() == 0
    assert (await site.jobs.newest(None, 1))[0].status == "queued"


async def test_a_job_that_takes_too_long_is_ended_and_counts_as_failed(shop: Shop) -> None:
    site = worksite_with(shop, quick(shop.config, job_seconds_max=0.05), {"endless": ("* * * * *", Gate())})
    run = await site.jobs.trigger("endless", "staff")
    await site.work()
    assert (await site.jobs.get(run.id)).error == "TimeoutError: "


async def test_a_stopping_worker_hands_back_what_it_holds_between_two_steps(shop: Shop) -> None:
    gate = Gate()
    leaving, next_one = worksite(shop, slow=gate), worksite(shop, slow=done)
    run = await leaving.jobs.trigger("slow", "staff")
    working = asyncio.create_task(leaving.work())
    await gate.entered.wait()
    await leaving.runner.stop(grace_seconds=5)
    await working
    assert (await leaving.jobs.get(run.id)).status == "queued"
    await next_one.runner.requeue_stuck()
    await next_one.work()
    assert (await next_one.jobs.get(run.id)).status == "succeeded"


async def test_a_job_that_does_not_listen_is_ended_after_the_grace_and_handed_back(shop: Shop) -> None:
    entered = asyncio.Event()

    async def deaf(_: Progress) -> Mapping[str, Any]:
        entered.set()
        await asyncio.sleep(60)
        return {}

    site = worksite(shop, deaf=deaf)
    run = await site.jobs.trigger("deaf", "staff")
    working = asyncio.create_task(site.work())
    await entered.wait()
    await site.runner.stop(grace_seconds=0.05)
    await working
    assert (await site.jobs.get(run.id)).status == "queued"


async def test_being_handed_back_often_does_not_count_as_killing_workers(shop: Shop) -> None:
    site = worksite_with(shop, quick(shop.config, job_deaths_max=2), {"slow": ("* * * * *", done)})
    run = await site.jobs.trigger("slow", "staff")
    for _ in range(5):
        claimed = await site.runs.claim(run.id, "w", shop.clock.now(), site.runner._lease)
        assert claimed is not None
        await site.runs.hand_back(claimed)
    await site.runner.execute(run.id)
    assert (await site.jobs.get(run.id)).status == "succeeded"


async def test_a_job_can_be_asked_for_while_the_queue_is_down_and_runs_without_it(
    shop: Shop, clock: MovableClock
) -> None:
    site = worksite(shop, tidy=done)
    site.queue.broken = True
    run = await site.jobs.trigger("tidy", "staff")
    clock.advance(shop.config.job_resend_seconds + 1)
    await site.beside()
    assert (await site.jobs.get(run.id)).status == "succeeded"


async def test_what_a_wiped_queue_forgot_is_sent_again(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done)
    run = await site.jobs.trigger("tidy", "staff")
    site.queue.sent.clear()
    await site.runner.requeue_stuck()
    assert site.queue.sent == [], "it may still be on its way"
    clock.advance(shop.config.job_resend_seconds + 1)
    await site.runner.requeue_stuck()
    await site.work()
    assert (await site.jobs.get(run.id)).status == "succeeded"


async def test_a_job_runs_at_once_from_the_command_line(shop: Shop) -> None:
    assert (await worksite(shop, tidy=done).jobs.run_now("tidy"))["result"] == {"done": True}


async def test_the_command_line_waits_for_the_run_it_joins(shop: Shop) -> None:
    gate = Gate()
    worker = worksite(shop, slow=gate)
    caller = worksite_with(shop, quick(shop.config, job_look_seconds=0.01), {"slow": ("* * * * *", Gate())})
    await worker.jobs.trigger("slow", "staff")
    working = asyncio.create_task(worker.work())
    await gate.entered.wait()
    calling = asyncio.create_task(caller.jobs.run_now("slow"))
    await asyncio.sleep(0.05)
    assert not calling.done()
    gate.opened.set()
    await working
    assert (await calling)["result"] == {"begun": 1}


async def test_the_command_line_says_that_a_job_failed(shop: Shop) -> None:
    site = worksite_with(shop, quick(shop.config, job_attempts_max=1), {"bad": ("* * * * *", fails)})
    with pytest.raises(JobFailed, match="no such luck"):
        await site.jobs.run_now("bad")


async def test_runs_failures_duration_and_lag_are_counted_per_job(shop: Shop, clock: MovableClock) -> None:
    site = worksite(shop, tidy=done, bad=fails)
    tick = clock.now()
    clock.advance(3)
    await site.jobs.tick("tidy", [tick])
    await site.jobs.trigger("bad", "staff")
    await site.work()
    await site.metrics.flush()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in await site.metrics.families()
        for sample in family.samples
    }
    assert samples["holdfast_job_runs_total", ("job", "tidy"), ("outcome", "succeeded")] == 1
    assert samples["holdfast_job_runs_total", ("job", "bad"), ("outcome", "failed")] == 1
    assert samples["holdfast_job_duration_seconds_count", ("job", "tidy")] == 1
    assert samples["holdfast_job_lag_seconds_bucket", ("job", "tidy"), ("le", "5.0")] == 1
    assert samples["holdfast_job_lag_seconds_bucket", ("job", "tidy"), ("le", "2.5")] == 0
