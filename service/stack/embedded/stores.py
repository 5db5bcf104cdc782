"""Both stores over one data directory, started side by side; the environment's own servers win."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from service.stack.embedded.errors import DataInUse, DataUnusable, DiskFull, StartFailed
from service.stack.embedded.mongod import Mongod
from service.stack.embedded.redis_server import RedisServer
from service.stack.embedded.server import Server

START_SECONDS_MAX = 60
POLL_SECONDS = 0.005
POLL_SECONDS_MAX = 0.1
# What a new MongoDB writes before it serves, and a little room to work.
FREE_MIB_MIN = 512


@dataclass(frozen=True, slots=True)
class EmbeddedStores:
    mongodb_uri: str
    redis_url: str
    servers: tuple[Server, ...]  # our own ones: none when the environment names both


@contextmanager
def opened(data: Path, *, keep: bool = True, environment: Mapping[str, str] = os.environ) -> Iterator[EmbeddedStores]:
    """Runs the stores for a `with` block. With `keep=False` they are killed at the end: nobody needs the data again."""
    with owned(data):
        stores = prepared(data, environment)
        with _ended(stores.servers, keep):
            for pause_seconds in starting(stores.servers):
                time.sleep(pause_seconds)
            yield stores


@asynccontextmanager
async def running(
    data: Path, *, keep: bool = True, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[EmbeddedStores]:
    """`opened`, for use inside an event loop."""
    with owned(data):
        stores = prepared(data, environment)
        with _ended(stores.servers, keep):
            for pause_seconds in starting(stores.servers):
                await asyncio.sleep(pause_seconds)
            yield stores


def prepared(data: Path, environment: Mapping[str, str]) -> EmbeddedStores:
    """Names and ports, nothing started yet."""
    servers: list[Server] = []

    def url(variable: str, kind: Callable[[Path], Server]) -> str:
        if given := environment.get(variable):
            return given
        servers.append(kind(data))
        return servers[-1].url

    return EmbeddedStores(url("MONGODB_URI", Mongod), url("REDIS_URL", RedisServer), tuple(servers))


def starting(servers: Sequence[Server]) -> Iterator[float]:
    """Starts the servers and yields the seconds to wait before each next look, until all of them serve."""
    give_up = time.monotonic() + START_SECONDS_MAX
    for server in servers:
        server.start()
    waiting, pause_seconds = list(servers), POLL_SECONDS
    while waiting := [server for server in waiting if not server.ready()]:
        if time.monotonic() > give_up:
            late = waiting[0]
            raise StartFailed(late.name, f"did not serve within {START_SECONDS_MAX} s", late.process.tail())
        yield pause_seconds
        pause_seconds = min(pause_seconds * 1.1, POLL_SECONDS_MAX)


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Holds the data directory for this process; the lock goes with the process, however it ends. Raises DataInUse,
    DataUnusable where nothing can be written there, or DiskFull."""
    with _lock_file(data) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DataInUse(f"{data} is in use by process {lock.read().strip()}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _lock_file(data: Path) -> TextIO:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        free_mib = shutil.disk_usage(data).free >> 20
        if free_mib < FREE_MIB_MIN:
            raise DiskFull(f"the disk of {data} is full: {free_mib:,} MiB are free and {FREE_MIB_MIN:,} are needed")
        return (data / "lock").open("a+")
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise DataUnusable(f"{data} cannot be written to ({reason}): give another --data") from None


@contextmanager
def _ended(servers: Sequence[Server], keep: bool) -> Iterator[None]:
    try:
        yield
    finally:
        for server in reversed(servers):
            server.stop() if keep else server.kill()
