"""A bare HTTP/1.1 client: it must cost so little that the two cores of a small machine are left to what is measured.

Requests are bytes made once; answers are parsed by Sanic's own C parser. Bodies stay as they came off the wire, and
every byte of an answer, headers included, is counted."""

import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import brotli
import httptools
import zstandard

from benchmarks.kit.outcome import RunInvalid

ANSWER_SECONDS_MAX = 60


class WireError(RunInvalid):
    """The server closed the connection, or did not answer in time."""


@dataclass(slots=True)
class WireAnswer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wire_bytes: int = 0

    def decoded(self) -> bytes:
        match self.headers.get("content-encoding", "identity"):
            case "gzip":
                return gzip.decompress(self.body)
            case "br":
                return bytes(brotli.decompress(self.body))
            case "zstd":
                return zstandard.ZstdDecompressor().decompress(self.body)
        return self.body

    def json(self) -> Any:
        return json.loads(self.decoded())


def request(
    method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None, accept: str = "gzip"
) -> bytes:
    """The bytes of a request. `body` is sent as JSON; `accept` is what `Accept-Encoding` says."""
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    fields = {"Host": "127.0.0.1", "Accept-Encoding": accept, **(headers or {})}
    if body is not None or method == "POST":
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + payload


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._waiting: asyncio.Future[WireAnswer] | None = None
        self._reset()

    def _reset(self) -> None:
        self._answer, self._chunks = WireAnswer(), list[bytes]()
        self._parser = httptools.HttpResponseParser(self)

    async def send(self, wire: bytes) -> WireAnswer:
        assert self._waiting is None, "one request at a time"
        if self._transport is None or self._transport.is_closing():
            raise WireError("the server has closed the connection")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(wire)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        waiting, self._waiting, self._transport = self._waiting, None, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(WireError(f"the server closed the connection: {error or 'without a word'}"))

    def data_received(self, data: bytes) -> None:
        self._answer.wire_bytes += len(data)
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        self._answer.body = b"".join(self._chunks)
        answer, waiting = self._answer, self._waiting
        self._waiting = None
        self._reset()
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class Wire:
    """As many connections to one server as may be used at once."""

    def __init__(self, url: str, connections: int = 1, source: str | None = None) -> None:
        """`source`: the address to come from, another one of this machine."""
        address = urlsplit(url)
        assert address.hostname in {"127.0.0.1", "localhost"}, "load goes to this machine only"
        assert address.port, "a server under test has a port of its own"
        self._host, self._port, self._wanted = address.hostname, address.port, connections
        self._source = None if source is None else (source, 0)
        self.connections: Sequence[Connection] = ()

    async def __aenter__(self) -> Self:
        connecting = (self.connect() for _ in range(self._wanted))
        self.connections = await asyncio.gather(*connecting)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for connection in self.connections:
            connection.close()

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, self._host, self._port, local_addr=self._source)
        return made

    async def send(self, wire: bytes) -> WireAnswer:
        """On the first connection. Raises WireError."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self.connections[0].send(wire)
        except TimeoutError:
            raise WireError(f"no answer within {ANSWER_SECONDS_MAX} s") from None
