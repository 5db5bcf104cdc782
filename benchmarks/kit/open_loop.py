"""An open loop of ready-made requests: the workbench's generator over the bare client's connections."""

import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.percentiles import percentile
from benchmarks.kit.wire import Connection, Wire, WireError
from workloads.client.recorder import Recorder, RunClock
from workloads.drivers.open_loop import IN_FLIGHT_MAX, Flow, OpenLoop, plan_of
from workloads.model.arrivals import poisson
from workloads.results.verdict import LATENESS_P99_MAX_MS, ScheduleKept, Work, why_client_too_slow

HEAD_START_SECONDS = 0.5  # the generator tidies up its memory before the first arrival


@dataclass(slots=True)
class OpenTally:
    """What came back; latencies are counted from the intended start, and are infinite where the answer was another one
    than expected: a refused connection is a quick answer too."""

    expected: int
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    wall_seconds: float = 0.0
    lateness_p99_ms: float = 0.0
    kept: ScheduleKept = field(default_factory=ScheduleKept)

    def add(self, status: int, latency_ms: float) -> None:
        self.statuses[status] += 1
        self.latencies_ms.append(latency_ms if status == self.expected else math.inf)

    def work(self, what: str) -> Work:
        return Work(what, sum(self.statuses.values()), self.statuses[self.expected], self.errors)

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.wall_seconds

    @property
    def errors(self) -> int:
        return sum(self.statuses.values()) - self.statuses[self.expected]

    def percentile_ms(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)


class Lines:
    """Connections that are kept for the next request; a new one is made when all are busy."""

    def __init__(self, url: str, clock: RunClock, source: str | None) -> None:
        self.clock = clock
        self._wire = Wire(url, source=source)
        self._idle: list[Connection] = []
        self._all: list[Connection] = []

    async def send(self, wire: bytes) -> int:
        connection = self._idle.pop() if self._idle else await self._new()
        try:
            answer = await connection.send(wire)
        except WireError:
            return 0
        self._idle.append(connection)
        return answer.status

    async def _new(self) -> Connection:
        connection = await self._wire.connect()
        self._all.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._all:
            connection.close()


async def drive_open(
    url: str,
    requests: list[bytes],
    rate_per_second: float,
    expected: int,
    randomness: random.Random,
    source: str | None = None,
) -> OpenTally:
    """Sends `requests` at Poisson times around `rate_per_second`, from the address `source` of this machine. Raises
    RunInvalid when the client cannot keep up."""
    tally, clock = OpenTally(expected), RunClock(time.time())
    lines = Lines(url, clock, source)
    started = clock.now() + HEAD_START_SECONDS
    schedule = started + poisson(rate_per_second, len(requests) / rate_per_second, randomness.getrandbits(32))
    loop: Any = OpenLoop(lines, Recorder(), in_flight_max=IN_FLIGHT_MAX)  # type: ignore[arg-type]
    try:
        done = await loop.run(plan_of(schedule, (_flow(wire, tally) for wire in requests)))
    finally:
        lines.close()
    tally.wall_seconds = clock.now() - started
    tally.lateness_p99_ms, tally.kept = done.lateness_ms(99), done.kept()
    # Judged at once and not with the rest: a route is tried again when somebody else had the processor.
    if reasons := why_client_too_slow(tally.kept, tally.percentile_ms(99), LATENESS_P99_MAX_MS):
        raise RunInvalid("; ".join(reasons))
    return tally


def _flow(wire: bytes, tally: OpenTally) -> Flow:
    async def run(lines: Any, intended: float) -> None:
        status = await lines.send(wire)
        tally.add(status, (lines.clock.now() - intended) * 1_000)

    return Flow("", run)
