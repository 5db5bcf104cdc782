"""The smallest shop that can oversell: proves that the simulator finds a race and does not cry wolf."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from workloads.simulation.world.faults import NO_FAULTS, FaultPlan
from workloads.simulation.world.world import World

STOCK, BUYERS = 10, 30
Reserve = Callable[[Any], Awaitable[bool]]


async def naive(database: Any) -> bool:
    """Reads, decides, writes: the race of every shop that ever oversold."""
    item = await database.inventory.find_one({"_id": "sku"})
    if item["available"] < 1:
        return False
    await database.inventory.update_one({"_id": "sku"}, {"$inc": {"available": -1, "reserved": 1}})
    return True


async def guarded(database: Any) -> bool:
    """The guard travels with the write."""
    result = await database.inventory.update_one(
        {"_id": "sku", "available": {"$gte": 1}}, {"$inc": {"available": -1, "reserved": 1}}
    )
    return bool(result.modified_count)


async def transactional(database: Any) -> bool:
    """Reads and writes in one transaction, retried on conflict: the snapshot makes the naive code right."""

    async def body(session: Any) -> bool:
        item = await database.inventory.find_one({"_id": "sku"}, session=session)
        if item["available"] < 1:
            return False
        taken = {"available": item["available"] - 1, "reserved": item["reserved"] + 1}
        await database.inventory.update_one({"_id": "sku"}, {"$set": taken}, session=session)
        await database.holds.insert_one({"sku": "sku"}, session=session)
        return True

    async with await database.client.start_session() as session:
        return bool(await session.with_transaction(body))


def sale(reserve: Reserve, seed: int, plan: FaultPlan = NO_FAULTS) -> tuple[dict[str, Any], int, World]:
    """Thirty buyers on two processes want ten units: (the stock afterwards, how many were told yes, the world)."""
    world = World(seed, plan)
    shops = [world.process(f"api-{number}", lambda process: process.client["shop"]) for number in range(2)]

    async def main() -> tuple[dict[str, Any], int]:
        inventory = world.client()["shop"]["inventory"]
        await inventory.insert_one({"_id": "sku", "available": STOCK, "reserved": 0})
        answers = await asyncio.gather(*(shops[number % 2].call(reserve) for number in range(BUYERS)))
        return await inventory.find_one({"_id": "sku"}), sum(answers)

    after, sold = world.run(main)
    return after, sold, world
