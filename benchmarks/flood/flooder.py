"""The flood, in a process of its own: python -m benchmarks.flood.flooder URL PATH --rate R --connections N --seconds S

It does not wait for answers, gives way to everybody else on the machine, and costs little: on few cores the generator
must not be what disturbs the shopper. Prints {sent, refused, served, seconds} at the end."""

import argparse
import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit

import uvloop

from benchmarks.kit.wire import request

TICK_SECONDS = 0.002
LAST_ANSWERS_SECONDS = 1.0
REFUSED, SERVED = b"HTTP/1.1 429 ", b"HTTP/1.1 200 "
POLITENESS = 10


class Counts:
    def __init__(self) -> None:
        self.sent = self.refused = self.served = 0


class FloodConnection(asyncio.Protocol):
    """Sends without waiting and counts the status lines that come back."""

    def __init__(self, counts: Counts) -> None:
        self._counts, self._tail = counts, b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None

    def send(self, wire: bytes) -> None:
        if self.transport is not None:
            self.transport.write(wire)
            self._counts.sent += 1

    def data_received(self, data: bytes) -> None:
        seen = self._tail + data
        self._counts.refused += seen.count(REFUSED)
        self._counts.served += seen.count(SERVED)
        self._tail = seen[-len(REFUSED) + 1 :]  # too short to be counted again


async def flood(url: str, path: str, rate: float, connections: int, seconds: float) -> dict[str, float]:
    counts, loop, address = Counts(), asyncio.get_running_loop(), urlsplit(url)
    host, port = address.hostname or "", address.port or 0
    connecting = (loop.create_connection(lambda: FloodConnection(counts), host, port) for _ in range(connections))
    lines = [line for _, line in await asyncio.gather(*connecting)]
    wire, started, number = request("GET", path), time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        while number < now * rate:
            lines[number % connections].send(wire)
            number += 1
        await asyncio.sleep(TICK_SECONDS)
    lasted = time.perf_counter() - started
    await asyncio.sleep(LAST_ANSWERS_SECONDS)
    return {"sent": counts.sent, "refused": counts.refused, "served": counts.served, "seconds": lasted}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("path")
    for name, kind in (("--rate", float), ("--connections", int), ("--seconds", float)):
        parser.add_argument(name, type=kind, required=True)
    given = parser.parse_args()
    os.nice(POLITENESS)
    done = uvloop.run(flood(given.url, given.path, given.rate, given.connections, given.seconds))
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main()
