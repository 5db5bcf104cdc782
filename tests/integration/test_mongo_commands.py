"""Commands sent in one go on a real server: what is cancelled or ended in between leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import InvalidOperation

from service.infra.mongo_commands import OneThread, insert

MANY = [insert("things", [{"_id": f"{n}-{number}"} for number in range(500)]) for n in range(20)]


@pytest.fixture
async def things(stores: Any, database: str) -> AsyncIterator[Any]:
    client: Any = AsyncIOMotorClient(stores.mongodb_uri, w="majority")
    await client[database].things.insert_one({"_id": "there"})
    yield client[database]
    client.close()


async def test_a_cancelled_sender_is_held_until_nothing_is_under_way(things: Any):
    """Aborting while the thread still sends would have the rest written outside the transaction, for good."""

    async def batch() -> None:
        async with await things.client.start_session() as session:
            session.start_transaction()
            await OneThread(things).send_all(MANY, session)
            await session.commit_transaction()

    running = asyncio.create_task(batch())
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await things.things.count_documents({}) == 1


async def test_nothing_is_sent_once_the_transaction_has_ended(things: Any):
    async with await things.client.start_session() as session:
        session.start_transaction()
        await session.abort_transaction()
        with pytest.raises(InvalidOperation, match="ended before everything"):
            await OneThread(things).send_all(MANY[:1], session)
    assert await things.things.count_documents({}) == 1
