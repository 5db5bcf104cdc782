"""The Taskiq process: `python -m service.worker` works, `python -m service.worker --scheduler` says when.

A worker runs jobs from the queue, relays committed facts, delivers mails and webhooks and looks after runs that got
stuck. Any number of both may run. Told to stop, one takes nothing new, finishes or hands back what it has, and ends."""

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import uvloop
from prometheus_client import CollectorRegistry
from taskiq.receiver import Receiver

from service import bootstrap, startup
from service.bootstrap import Background, Shop
from service.config import Config
from service.infra import garbage
from service.infra.loops import repeat
from service.ops_server import serving_ops
from service.presence import presence
from service.web.http.health import Health

Step = Callable[[], Awaitable[float]]
FLUSH_SECONDS = 1.0


async def work(settings: Config, stop: asyncio.Event) -> None:
    async with bootstrap.shop(settings) as shop, presence(shop.stores, settings.app_name):
        background = bootstrap.background(shop)
        garbage.freeze_gc()
        try:
            async with _serving_ops(shop, background):
                await _all_of(_worker_steps(background), stop, _listen(background, settings, stop))
        finally:
            await background.relay.stop()
            await background.metrics.flush()


async def schedule(settings: Config, stop: asyncio.Event) -> None:
    async with bootstrap.shop(settings) as shop, presence(shop.stores, settings.app_name):
        background = bootstrap.background(shop)
        async with _serving_ops(shop, background):
            await _all_of({"scheduler": background.scheduler.tick}, stop)
        await background.close()


def _serving_ops(shop: Shop, background: Background) -> AbstractAsyncContextManager[None]:
    """Whether it lives, for whoever looks after it: on a port of its own, since API processes share theirs."""
    pings = {"mongodb": lambda: shop.stores.client.admin.command("ping"), "redis": shop.stores.redis.ping}
    health = Health(pings, CollectorRegistry(), background.backlogs.families)
    return serving_ops(health, replace(shop.config, ops_port=shop.config.worker_ops_port))


def _worker_steps(background: Background) -> dict[str, Step]:
    async def flush() -> float:
        await background.metrics.flush()
        return FLUSH_SECONDS

    return {
        "relay": background.relay.step,
        "deliveries": background.deliveries.step,
        "stuck jobs": background.runner.requeue_stuck,
        "metrics": flush,
    }


async def _all_of(steps: dict[str, Step], stop: asyncio.Event, *beside: Awaitable[None]) -> None:
    """Until told to stop, or until one of them fails: then the process ends and is started anew."""
    async with asyncio.TaskGroup() as group:
        for name, step in steps.items():
            group.create_task(repeat(name, step, stop), name=name)
        for work_beside in beside:
            group.create_task(_awaited(work_beside))


async def _awaited(what: Awaitable[None]) -> None:
    await what


async def _listen(background: Background, settings: Config, stop: asyncio.Event) -> None:
    """Takes job ids from the queue. When told to stop, jobs get the grace to come to an end."""
    broker = background.broker
    broker.is_worker_process = True
    receiver = Receiver(
        broker,
        max_async_tasks=settings.worker_tasks_max,
        wait_tasks_timeout=settings.shutdown_grace_seconds,
        run_startup=True,
    )
    listening = asyncio.create_task(receiver.listen(stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await background.runner.stop(settings.shutdown_grace_seconds)
    await listening
    await broker.leave()


def main() -> None:
    parser = argparse.ArgumentParser(description="Background work: jobs, facts, mails, webhooks")
    parser.add_argument("--scheduler", action="store_true", help="say when jobs are due instead of running them")
    arguments = parser.parse_args()
    settings = startup.configured()
    batch_max = min(settings.batch_postings_max, settings.worker_batch_postings_max)
    settings = replace(settings, batch_postings_max=batch_max)
    with startup.refusals():
        uvloop.run(_run(schedule if arguments.scheduler else work, settings))


async def _run(body: Callable[[Config, asyncio.Event], Awaitable[None]], settings: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await body(settings, stop)


if __name__ == "__main__":
    main()
