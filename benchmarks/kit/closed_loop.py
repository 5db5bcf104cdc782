"""Closed-loop load: each of N clients sends again as soon as it has its answer. Finds what a server can do at most;
latencies under it say little about users, see the open loop for those."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.kit.percentiles import percentile
from benchmarks.kit.wire import Connection, Wire, WireAnswer

MakeRequest = Callable[[], bytes]
Observe = Callable[[WireAnswer], None]


@dataclass(slots=True)
class Tally:
    """What came back, over one turn or several."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    wall_seconds: float = 0.0
    wire_bytes: int = 0

    @property
    def requests(self) -> int:
        return len(self.latencies_ms)

    @property
    def per_second(self) -> float:
        return self.requests / self.wall_seconds

    def percentile_ms(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)

    def share(self, *statuses: int) -> float:
        return sum(self.statuses[status] for status in statuses) / max(1, self.requests)


async def drive(
    wire: Wire,
    make_request: MakeRequest,
    tally: Tally,
    *,
    seconds: float | None = None,
    requests: int | None = None,
    observe: Observe | None = None,
) -> Tally:
    """All connections of `wire` send what `make_request` gives, for `seconds` or until `requests` are sent."""
    assert (seconds is None) != (requests is None), "a turn has a length or a number of requests"
    started = perf_counter()
    ends = started + (seconds if seconds is not None else float("inf"))
    left = iter(range(requests if requests is not None else 2**63))
    await asyncio.gather(*(_client(c, make_request, tally, ends, left, observe) for c in wire.connections))
    tally.wall_seconds += perf_counter() - started
    return tally


def _client(
    connection: Connection,
    make_request: MakeRequest,
    tally: Tally,
    ends: float,
    left: Iterator[int],
    observe: Observe | None,
) -> Awaitable[None]:
    async def send_again() -> None:
        while perf_counter() < ends and next(left, None) is not None:
            wire = make_request()
            sent = perf_counter()
            answer = await connection.send(wire)
            tally.latencies_ms.append((perf_counter() - sent) * 1_000)
            tally.statuses[answer.status] += 1
            tally.wire_bytes += answer.wire_bytes
            if observe is not None:
                observe(answer)

    return send_again()
