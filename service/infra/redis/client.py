"""Redis: sessions, rate limits, cache, queue. Losing it loses no order and no stock."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.config import Config

# A server that is full or a replica serves as little as one that is away.
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)
RECONNECTS_MAX = 2


def connect(config: Config) -> Any:
    """One bounded pool with short time-outs: a frozen server costs a caller a second, never a minute."""
    pool = BlockingConnectionPool.from_url(
        config.redis_url,
        max_connections=config.redis_pool_size,
        timeout=config.redis_timeout_seconds,
        socket_timeout=config.redis_timeout_seconds,
        socket_connect_timeout=config.redis_timeout_seconds,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), RECONNECTS_MAX),
        client_name=config.app_name,
    )
    return Redis.from_pool(pool)  # closed with its connections
