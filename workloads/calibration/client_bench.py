"""Owns the proof that the generator itself can be trusted: how punctual it is at a rate on one core, and what recording
every request costs it. Measured against a server that does nothing, so every microsecond is the client's."""

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.calibration.trivial_server import trivial_server
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import Recorder, RunClock
from workloads.drivers.open_loop import Flow, OpenLoop, one_request, plan_of
from workloads.model import arrivals

LATENESS_P99_TARGET_MS = 2.0
RECORDER_SHARE_TARGET = 0.05
GET_ROOT = Request("GET", "/", "root")
LEAD_SECONDS = 0.2
CONCURRENCY = 16
# About what one request costs the client.
BURN_SECONDS = 80e-6


class _Forgetful(Recorder):
    """Counts and forgets: the client without its recorder."""

    def row(self, *_: Any) -> None:
        self.count += 1


def bench_client(
    rate_per_second: float = 3_000,
    seconds: float = 10.0,
    seed: int = 1,
    slices: int = 40,
    on_step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Lateness at `rate_per_second` and the recorder's share of the client's CPU, each with its target."""
    with trivial_server() as url, _one_core():
        control_ms = run_async(_control(rate_per_second, seconds / 2, seed))
        lateness = run_async(_lateness(url, rate_per_second, seconds, seed))
        on_step()
        recording = run_async(_recorder_cost(url, slices, on_step))
    late, share = lateness["latenessP99MsOfMedianSecond"], recording["recorderShare"]
    return {
        "ok": late < LATENESS_P99_TARGET_MS and share < RECORDER_SHARE_TARGET,
        "ratePerSecond": rate_per_second,
        "latenessP99TargetMs": LATENESS_P99_TARGET_MS,
        "recorderShareTarget": RECORDER_SHARE_TARGET,
        "controlLatenessP99Ms": control_ms,
        "machineCanTell": control_ms < LATENESS_P99_TARGET_MS,
        **lateness,
        **recording,
    }


async def _control(rate_per_second: float, seconds: float, seed: int) -> float:
    """The same schedule and as much work per arrival, but no requests: what is late here, the machine made late."""

    async def burn(exchange: Exchange, intended: float) -> None:
        until = time.thread_time() + BURN_SECONDS
        while time.thread_time() < until:
            pass

    recorder, clock = Recorder(), RunClock(time.time() + LEAD_SECONDS)
    loop = OpenLoop(Exchange("http://127.0.0.1", clock, recorder), recorder)
    schedule = arrivals.poisson(rate_per_second, seconds, seed)
    report = await loop.run(plan_of(schedule, itertools.repeat(Flow("burn", burn))))
    return _p99_of_median_second(np.frombuffer(report.lateness_seconds), schedule)


async def _lateness(url: str, rate_per_second: float, seconds: float, seed: int) -> dict[str, Any]:
    recorder, clock = Recorder(), RunClock(time.time() + LEAD_SECONDS)
    async with Exchange(url, clock, recorder) as exchange:
        loop = OpenLoop(exchange, recorder)
        schedule = arrivals.poisson(rate_per_second, seconds, seed)
        report = await loop.run(plan_of(schedule, itertools.repeat(one_request(GET_ROOT))))
    return report.as_dict() | {
        "rows": recorder.count,
        "latenessP99MsOfMedianSecond": _p99_of_median_second(np.frombuffer(report.lateness_seconds), schedule),
    }


def _p99_of_median_second(lateness_seconds: NDArray[np.float64], schedule: arrivals.Schedule) -> float:
    """A neighbour's burst on a shared machine spoils some seconds; a client that is too slow spoils them all."""
    second = schedule.astype(int)
    p99s = [np.percentile(lateness_seconds[second == each], 99) for each in np.unique(second)]
    return round(float(np.median(p99s)) * 1000, 3)


async def _recorder_cost(url: str, slices: int, on_step: Callable[[], None]) -> dict[str, Any]:
    """CPU per request with and without recording, in alternating slices of one run: the machine's moods hit both."""
    recording, forgetting = Recorder(), _Forgetful()
    costs: dict[str, list[float]] = {"with": [], "without": []}
    clock = RunClock(time.time())
    async with Exchange(url, clock, recording) as first, Exchange(url, clock, forgetting) as second:
        for turn in range(slices):
            pair = [("with", first), ("without", second)]
            for name, exchange in pair if turn % 2 else reversed(pair):
                costs[name].append(await _cpu_seconds_per_request(exchange))
            on_step()
    # The first pair still opens connections.
    pairs = list(zip(costs["with"], costs["without"], strict=True))[1:]
    with_rows = statistics.median(recorded for recorded, _ in pairs)
    return {
        "cpuMicrosPerRequestRecording": round(with_rows * 1e6, 2),
        "recorderShare": round(statistics.median(recorded / bare for recorded, bare in pairs) - 1, 4),
        "requestsPerCpuSecond": round(1 / with_rows),
    }


async def _cpu_seconds_per_request(exchange: Exchange, requests: int = 800) -> float:
    async def shopper() -> None:
        for _ in range(requests // CONCURRENCY):
            await exchange.send(GET_ROOT)

    before = time.process_time()
    await asyncio.gather(*(shopper() for _ in range(CONCURRENCY)))
    return (time.process_time() - before) / requests


@contextmanager
def _one_core() -> Iterator[None]:
    """Keeps this process on one core, as a load generator beside a busy server is."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
