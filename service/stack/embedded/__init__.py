"""A real mongod and a real redis-server on this machine: no root, no Docker, no fixed port.

    with opened(data) as stores: ...          # synchronous: fixtures, benchmarks, notebooks
    async with running(data) as stores: ...   # the same inside an event loop

A `MONGODB_URI` / `REDIS_URL` in the environment wins over a server of our own. The servers die with the process that
started them, even when that one is killed. Start them from the main thread: Linux ties their life to the thread."""

from service.stack.embedded.errors import DataInUse, DataUnusable, EmbeddedError, StartFailed, StoresUnavailable
from service.stack.embedded.mongod import Mongod
from service.stack.embedded.redis_server import RedisServer
from service.stack.embedded.stores import EmbeddedStores, opened, running

__all__ = [
    "DataInUse",
    "DataUnusable",
    "EmbeddedError",
    "EmbeddedStores",
    "Mongod",
    "RedisServer",
    "StartFailed",
    "StoresUnavailable",
    "opened",
    "running",
]
