"""One connection to Redis that carries one script, call after call: a quarter of the CPU of a client library's call,
which counts where every request of the service goes through it. Everything else uses `infra.redis`."""

import asyncio
import hashlib
import ssl
from typing import Any, cast

from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.config import Config

NO_SCRIPT = b"-NOSCRIPT"


class ScriptLine:
    """Calls must not overlap; whoever shares it queues them. Raises RedisConnectionError or RedisTimeoutError, and
    connects anew on the next call."""

    def __init__(self, script: str, config: Config) -> None:
        self._script, self._config = script.encode(), config
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest().encode()
        self._exchange: Exchange | None = None

    async def call(self, argument: bytes) -> bytes:
        """The script's reply, a string, to ARGV[1]."""
        if self._exchange is not None and self._exchange.open:
            try:
                return await self._run(self._exchange, argument)
            except RedisConnectionError:  # an old connection may have died unnoticed
                self.close()
        return await self._run(await self._connect(), argument)

    async def _run(self, exchange: "Exchange", argument: bytes) -> bytes:
        reply = await exchange.send(_command(b"EVALSHA", self._sha, b"0", argument))
        if reply.startswith(NO_SCRIPT):
            reply = await exchange.send(_command(b"EVAL", self._script, b"0", argument))
        return _checked(reply)

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.end()

    async def _connect(self) -> "Exchange":
        given, seconds = parse_url(self._config.redis_url), self._config.redis_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                self._exchange = await _opened(given, seconds)
        except TimeoutError:
            raise RedisTimeoutError("Redis did not accept a connection in time") from None
        except OSError as error:
            raise RedisConnectionError(f"Redis cannot be reached: {error}") from error
        try:
            for command in _greeting(given, self._config.app_name):
                _checked(await self._exchange.send(command))
        except BaseException:
            self.close()
            raise
        return self._exchange


async def _opened(given: Any, seconds: float) -> "Exchange":
    loop, path = asyncio.get_running_loop(), given.get("path")
    if path:
        return (await loop.create_unix_connection(lambda: Exchange(seconds), path))[1]
    host, port = given.get("host", "localhost"), given.get("port", 6379)
    return (await loop.create_connection(lambda: Exchange(seconds), host, port, ssl=_tls(given)))[1]


def _tls(given: Any) -> ssl.SSLContext | None:
    """As the URL's own options ask: authority, client certificate, whether to check."""
    if given.get("connection_class") is not SSLConnection:
        return None
    options = {name: value for name, value in given.items() if name.startswith("ssl_")}
    context: ssl.SSLContext = SSLConnection(**options).ssl_context.get()
    return context


def _greeting(given: Any, name: str) -> list[bytes]:
    commands = []
    if given.get("password"):
        user = [given["username"].encode()] if given.get("username") else []
        commands.append(_command(b"AUTH", *user, given["password"].encode()))
    if given.get("db"):
        commands.append(_command(b"SELECT", b"%d" % given["db"]))
    commands.append(_command(b"CLIENT", b"SETNAME", name.replace(" ", "-").encode()))
    return commands


def _command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def _checked(reply: bytes) -> bytes:
    """A full, loading or read-only server says so with an error: it serves as little as one that is away."""
    if reply.startswith(b"-"):
        raise RedisConnectionError(reply[1:].decode(errors="replace"))
    return reply


class Exchange(asyncio.Protocol):
    """Commands and replies in turn. A reply is a string's content, or the line of a status or an error."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds, self._received = timeout_seconds, b""
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, command: bytes) -> bytes:
        assert self._reply is None, "the line is busy"
        if self._transport is None:
            raise RedisConnectionError("Redis has closed the connection")
        loop = asyncio.get_running_loop()
        self._reply, self._received = loop.create_future(), b""
        self._timer = loop.call_later(self._timeout_seconds, self._late)
        self._transport.write(command)
        try:
            return await self._reply
        except asyncio.CancelledError:
            self.end()  # the reply to come would be taken for the next one's
            raise
        finally:
            self._timer.cancel()
            self._reply = None

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        line_end = received.find(b"\r\n")
        if line_end < 0 or self._reply is None or self._reply.done():
            return
        if received[:1] != b"$":
            self._reply.set_result(received[:line_end])
            return
        start, length = line_end + 2, int(received[1:line_end])
        if len(received) >= start + length + 2:
            self._reply.set_result(received[start : start + length])

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(RedisConnectionError("Redis has closed the connection"))

    def _late(self) -> None:
        self._fail(RedisTimeoutError("Redis did not answer in time"))
        self.end()

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
