"""Owns a TCP proxy that can be told to misbehave: cut what is open, answer slowly, or swallow every byte while the
connection looks alive (half open), as a pulled cable or a frozen peer does."""

import asyncio
from contextlib import suppress
from typing import Self

CHUNK_BYTES = 65_536


class Proxy:
    """From a free loopback port to `target_port` on loopback. One mode at a time, for old and new connections alike."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._delay_seconds = 0.0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "a proxy is entered before it is left"
        self._server.close()
        self.heal()
        self._cut_open_ones()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None, "a proxy is entered before it is asked for its port"
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Closes every connection and every new one at once."""
        self._refusing = True
        self._cut_open_ones()

    def slow(self, delay_seconds: float) -> None:
        """Every chunk, either way, takes so much longer."""
        self._delay_seconds = delay_seconds

    def half_open(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._flowing.clear()

    def heal(self) -> None:
        """New connections work again. Those that were half open have lost bytes and are closed."""
        if not self._flowing.is_set():
            self._cut_open_ones()
        self._flowing.set()
        self._refusing, self._delay_seconds = False, 0.0

    def _cut_open_ones(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._refusing:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            _abort(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            _abort(back)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Ends both directions when either side ends: a half-closed connection is of no use to a database driver."""
        while chunk := await source.read(CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._flowing.wait()
            target.write(chunk)
            await target.drain()
        raise ConnectionResetError


def _abort(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.transport.abort()
