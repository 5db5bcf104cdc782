"""Owns the smallest HTTP server that can be measured against: a fixed answer to everything, so that what is measured is
the client. It can be told to stall: from then on, for a while, it answers nothing and then all at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import cast

from workloads.client.event_loop import run_async

BODY = b'{"ok":true}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
HEAD_END = b"\r\n\r\n"
READY_SECONDS_MAX = 30


class _Protocol(asyncio.Protocol):
    """Answers GETs in the order they come; requests carry no body."""

    def __init__(self, stall: "_Stall") -> None:
        self._stall = stall
        self._partial = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TCP transports write but do not inherit from asyncio's class.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(HEAD_END)
        if whole:
            self._stall.answer(self._write, len(whole))

    def _write(self, answers: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER * answers)


class _Stall:
    """Counts from the first request; between `begins_seconds` and `ends_seconds` after it, answers wait for the end."""

    def __init__(self, begins_seconds: float, lasts_seconds: float) -> None:
        self._begins, self._lasts = begins_seconds, lasts_seconds
        self._first: float | None = None

    def answer(self, write: Callable[[int], None], answers: int) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._first is None:
            self._first = now
        since = now - self._first - self._begins
        if 0 <= since < self._lasts:
            loop.call_later(self._lasts - since, write, answers)
        else:
            write(answers)


@contextmanager
def trivial_server(*, stall_begins_seconds: float = 0.0, stall_lasts_seconds: float = 0.0) -> Iterator[str]:
    """The URL of a server in a process of its own, gone when the block ends."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve_in_process, args=(theirs, stall_begins_seconds, stall_lasts_seconds), daemon=True
    )
    process.start()
    try:
        if not ours.poll(READY_SECONDS_MAX):
            raise TimeoutError("the trivial server did not start")
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
        ours.close()


def _serve_in_process(ready: Connection, stall_begins_seconds: float, stall_lasts_seconds: float) -> None:
    run_async(_serve(ready, _Stall(stall_begins_seconds, stall_lasts_seconds)))


async def _serve(ready: Connection, stall: _Stall) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(stall), "127.0.0.1", 0, backlog=4096)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()
