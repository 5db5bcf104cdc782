"""A process of ours is known to the others for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.infra.loops import STORE_DOWN, repeat
from service.infra.mongo.processes import Processes
from service.infra.stores import Stores


@asynccontextmanager
async def presence(stores: Stores, name: str) -> AsyncIterator[None]:
    """`name` must be this process's alone, and what its connections to MongoDB go by."""
    processes, stop = Processes(stores.client, stores.database, name), asyncio.Event()
    await _look(processes)
    beating = asyncio.create_task(repeat("the record of this process", processes.beat, stop), name="presence")
    try:
        yield
    finally:
        stop.set()
        await beating
        await processes.leave()


async def _look(processes: Processes) -> None:
    try:
        await processes.look_at_lifetime()
    except STORE_DOWN:
        return  # whoever needs it says so
