"""Owns the open-loop generator: arrivals start when they were meant to, however slow the server is, and are timed from
that intended start. A closed loop waits for the server before it sends again, and so hides the wait.

The generator watches itself: how late it started arrivals, how many it had to drop. A client that cannot keep its own
schedule makes the run invalid, not slow."""

import asyncio
import gc
import resource
import time
from array import array
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import NEVER, Recorder, RunClock
from workloads.drivers.ending import Ended, Ending
from workloads.model import outcomes
from workloads.model.arrivals import Schedule
from workloads.results.verdict import ScheduleKept

IN_FLIGHT_MAX = 2_000
STARTS_BETWEEN_YIELDS = 16
DRAIN_SECONDS_MAX = 120.0
# Who ends a run does not want to wait for the slowest answer.
DRAIN_SECONDS_AFTER_END = 3.0


@dataclass(frozen=True, slots=True)
class Flow:
    """What one arrival does. `run` is given the exchange and the intended start. Where no slot is free, `dropped` is
    called instead and `route` names the row."""

    route: str
    run: Callable[[Exchange, float], Coroutine[Any, Any, None]]
    dropped: Callable[[], None] = lambda: None


Arrival = tuple[float, Flow]


@dataclass(slots=True)
class LoopReport:
    """How well the client kept its schedule. Lateness is how long after the intended time an arrival was started."""

    planned: int = 0
    started: int = 0
    dropped: int = 0
    abandoned: int = 0
    in_flight_peak: int = 0
    cpu_share: float = 0.0
    scheduled_seconds: float = 0.0
    lateness_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    in_flight_at_start: "array[int]" = field(default_factory=lambda: array("l"))

    def lateness_ms(self, percentile: float) -> float:
        if not self.lateness_seconds:
            return 0.0
        return float(np.percentile(np.frombuffer(self.lateness_seconds), percentile)) * 1000

    def kept(self) -> ScheduleKept:
        """What the verdict is given of it."""
        unanswered = self.in_flight_at_start
        return ScheduleKept(
            planned=self.planned,
            dropped=self.dropped,
            abandoned=self.abandoned,
            lateness_p99_ms=self.lateness_ms(99),
            backlog=unanswered[-1] if unanswered else 0,
            backlog_halfway=unanswered[len(unanswered) // 2] if unanswered else 0,
            per_second=self.planned / self.scheduled_seconds if self.scheduled_seconds > 0 else 0.0,
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "started": self.started,
            "dropped": self.dropped,
            "abandoned": self.abandoned,
            "inFlightPeak": self.in_flight_peak,
            "backlogAtEnd": self.kept().backlog,
            "cpuShare": round(self.cpu_share, 3),
            "latenessMs": {f"p{p:g}": round(self.lateness_ms(p), 3) for p in (50, 95, 99, 100)},
        }


class OpenLoop:
    """Starts each arrival of a plan at its intended time, at most `in_flight_max` at once."""

    def __init__(
        self,
        exchange: Exchange,
        recorder: Recorder,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        ending: Ending | None = None,
    ) -> None:
        self._exchange, self._recorder, self._ending = exchange, recorder, Ending() if ending is None else ending
        self._clock: RunClock = exchange.clock
        self._in_flight_max = in_flight_max
        self._in_flight: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self.report = LoopReport()

    async def run(self, plan: Iterable[Arrival], on_started: Callable[[], None] | None = None) -> LoopReport:
        """Drives the plan, whose times are in order, to its end or the run's, and waits for what is in flight."""
        with _few_collections(), _raised_file_limit(), _cpu_share_of(self.report):
            try:
                await self._ending.unless_ended(self._start_all(plan, on_started))
                await self._ending.unless_ended(self._drain(DRAIN_SECONDS_MAX))
            except Ended:
                await self._drain(DRAIN_SECONDS_AFTER_END)
        if self._errors:
            raise self._errors[0]
        return self.report

    async def _start_all(self, plan: Iterable[Arrival], on_started: Callable[[], None] | None) -> None:
        since_yield, first = 0, None
        for intended, flow in plan:
            first = intended if first is None else first
            ahead = intended - self._clock.now()
            if ahead > 0:
                await asyncio.sleep(ahead)
                since_yield = 0
            elif (since_yield := since_yield + 1) >= STARTS_BETWEEN_YIELDS:
                # Behind schedule: still let answers be read, or the client would starve itself.
                await asyncio.sleep(0)
                since_yield = 0
            self._start(intended, flow)
            self.report.scheduled_seconds = intended - first
            if on_started is not None:
                on_started()

    def _start(self, intended: float, flow: Flow) -> None:
        report = self.report
        report.planned += 1
        report.lateness_seconds.append(max(0.0, self._clock.now() - intended))
        report.in_flight_at_start.append(len(self._in_flight))
        if len(self._in_flight) >= self._in_flight_max:
            report.dropped += 1
            self._recorder.row(intended, NEVER, NEVER, flow.route, 0, outcomes.DROPPED, 0)
            flow.dropped()
            return
        task = asyncio.create_task(flow.run(self._exchange, intended))
        self._in_flight.add(task)
        task.add_done_callback(self._finished)
        report.started += 1
        report.in_flight_peak = max(report.in_flight_peak, len(self._in_flight))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def _drain(self, seconds: float) -> None:
        if not self._in_flight:
            return
        _, unfinished = await asyncio.wait(self._in_flight, timeout=seconds)
        self.report.abandoned += len(unfinished)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


def one_request(request: Request) -> Flow:
    """The arrival that is a single request."""

    async def run(exchange: Exchange, intended: float) -> None:
        await exchange.send(request, intended)

    return Flow(request.route, run)


def plan_of(schedule: Schedule, flows: Iterable[Flow]) -> Iterator[Arrival]:
    """The schedule's times with the flows, in order; ends with the shorter one."""
    return zip(schedule.tolist(), flows, strict=False)


@contextmanager
def _few_collections() -> Iterator[None]:
    """A full collection stops the client for as long as its memory is large, and would look like the server's latency.
    So what is there now is left alone until the end, garbage included: collecting it first would delay the start."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def _raised_file_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _cpu_share_of(report: LoopReport) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        yield
    finally:
        report.cpu_share = (time.process_time() - cpu) / max(time.perf_counter() - wall, 1e-9)
