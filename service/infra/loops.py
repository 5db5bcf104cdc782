"""What runs in the background for the life of a process: a step, a pause, again, until told to stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from service.errors import Unavailable
from service.infra.mongo.client import UNREACHABLE as MONGO_UNREACHABLE
from service.infra.redis.client import UNREACHABLE as REDIS_UNREACHABLE

log = logging.getLogger(__name__)
STORE_DOWN = (*MONGO_UNREACHABLE, *REDIS_UNREACHABLE, Unavailable)
PAUSE_WHILE_DOWN_SECONDS = 0.5


async def repeat(name: str, step: Callable[[], Awaitable[float]], stop: asyncio.Event) -> None:
    """`step` returns how many seconds to pause. A store that is down is waited for; any other error ends the loop."""
    while not stop.is_set():
        try:
            pause_seconds = await step()
        except STORE_DOWN as error:
            log.warning("%s waits for a store: %s", name, error)
            pause_seconds = PAUSE_WHILE_DOWN_SECONDS
        await stopped_within(stop, pause_seconds)


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Waits until told to stop, at most `seconds`."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
