"""Is it there? Quick questions to a store or an API process, for those who start and watch them."""

import asyncio
from contextlib import suppress
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

TIMEOUT_SECONDS = 3


class StoreUnreachable(Exception):
    """A store that the environment names does not answer."""


def mongo_client(uri: str, app_name: str) -> AsyncMongoClient[dict[str, Any]]:
    """A client that says no within the timeout instead of waiting for better days."""
    milliseconds = TIMEOUT_SECONDS * 1_000
    return AsyncMongoClient(uri, appname=app_name, serverSelectionTimeoutMS=milliseconds, timeoutMS=milliseconds)


async def check_mongo(client: AsyncMongoClient[dict[str, Any]]) -> None:
    try:
        await client.admin.command("ping")
    except PyMongoError as error:
        raise StoreUnreachable(f"MongoDB does not answer; check MONGODB_URI: {error}") from error


async def check_redis(url: str) -> None:
    try:
        async with Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS) as client:
            await client.ping()
    except (RedisError, OSError) as error:
        raise StoreUnreachable(f"Redis does not answer; check REDIS_URL: {error}") from error


async def http_status(host: str, port: int, path: str) -> int | None:
    """One HTTP request by hand: nothing more of a client is needed here. None without an answer in time."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                _, _, rest = (await reader.readline()).partition(b" ")
                return int(rest[:3]) if rest[:3].isdigit() else None
            finally:
                writer.close()
    return None
