"""A TCP proxy that a test can cut or freeze: the store behind it is down, or silent, for its callers alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Proxy:
    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._running = asyncio.Event()
        self._running.set()
        self.port = 0

    @property
    def url(self) -> str:
        """The store's own URL with the proxy's address in it."""
        target = self._target
        user, at, _ = target.netloc.rpartition("@")
        return target._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    async def up(self) -> None:
        self._running.set()
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Connections break and new ones are refused."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    def freeze(self) -> None:
        """Connections stay, and nothing comes through any more."""
        self._running.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._target.hostname
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._open |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer), return_exceptions=True)
        self._open -= {writer, far_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._running.wait()
                writer.write(data)
        finally:
            writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(url)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
