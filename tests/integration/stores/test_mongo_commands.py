"""Commands sent in one go on a real server: what fails, is cancelled or ended in between leaves nothing behind."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import AutoReconnect, InvalidOperation, OperationFailure, PyMongoError
from pymongo.synchronous.pool import Connection

from service.config import Config
from service.infra import json
from service.infra.mongo.client import connect
from service.infra.mongo.commands import UNANSWERED_MAX, Find, OneThread, SharedReads, insert, update

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


async def test_what_cannot_be_encoded_takes_what_was_sent_before_it_along(things: Any):
    async with await things.client.start_session() as session:
        session.start_transaction()
        with pytest.raises(InvalidDocument):
            await OneThread(things).send_all([MANY[0], insert("things", [{"_id": object()}])], session)
        await session.abort_transaction()
    assert await things.things.count_documents({}) == 1


async def test_a_conflict_is_told_as_the_driver_tells_it(things: Any):
    changed = [update("things", [{"q": {"_id": "there"}, "u": {"$inc": {"n": 1}}}]), MANY[0]]
    async with await things.client.start_session() as first, await things.client.start_session() as second:
        for session in (first, second):
            session.start_transaction()
        await OneThread(things).send_all(changed[:1], first)
        with pytest.raises(OperationFailure, match="WriteConflict") as caught:
            await OneThread(things).send_all(changed, second)
        assert caught.value.has_error_label("TransientTransactionError")
        await first.commit_transaction()
    assert await things.things.find({}).to_list(None) == [{"_id": "there", "n": 1}]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the connection cut instead of the answers that are told, after a time: True is one that arrives. Those that
    the driver's own monitors wait for are not among them."""
    receive = Connection.receive_message

    def cut_instead_of(*arriving: bool, after_seconds: float = 0.0) -> None:
        answers = iter(arriving)

        def receive_or_fail(self: Connection, request_id: int | None) -> Any:
            ours = not threading.current_thread().name.startswith("pymongo")
            if ours and not next(answers, True):
                time.sleep(after_seconds)
                self._raise_connection_failure(OSError("cut off"))
            return receive(self, request_id)

        monkeypatch.setattr(Connection, "receive_message", receive_or_fail)

    return cut_instead_of


async def test_a_connection_lost_in_between_is_told_as_the_driver_tells_it(things: Any, cut: Callable[..., None]):
    async with await things.client.start_session() as session:
        session.start_transaction()
        cut(True, False)
        with pytest.raises(AutoReconnect) as caught:
            await OneThread(things).send_all(MANY[:3], session)
        assert caught.value.has_error_label("TransientTransactionError")
        await session.abort_transaction()
    assert await things.things.count_documents({}) == 1


async def test_reads_that_wait_go_together_and_each_gets_its_own_answer(things: Any):
    await things.numbers.insert_many([{"_id": n, "even": n % 2 == 0} for n in range(50)])
    sender, trips = OneThread(things), []
    find_all = sender.find_all

    async def counted(finds: Any, session: Any) -> Any:
        trips.append(len(finds))
        return await find_all(finds, session)

    sender.find_all = counted  # type: ignore[method-assign]
    reads = SharedReads(sender, Config(shared_reads_max=8))
    asked = [Find("numbers", {"even": n % 2 == 0}, {"_id": 1}, (("_id", -1),), n) for n in range(1, 21)]
    found = await asyncio.gather(*(reads.find(each) for each in asked))
    for n, documents in enumerate(found, start=1):
        last = 48 if n % 2 == 0 else 49
        assert [each["_id"] for each in documents] == list(range(last, last - 2 * n, -2))
    assert trips == [8, 8, 4]


async def test_a_read_whose_connection_is_lost_is_tried_once_more(things: Any, cut: Callable[..., None]):
    cut(False)
    assert await OneThread(things).find_all([Find("things", {})] * 2, None) == [[{"_id": "there"}]] * 2
    cut(*[False] * 4)
    with pytest.raises(AutoReconnect):
        await OneThread(things).find_all([Find("things", {})] * 2, None)


async def test_a_read_in_a_transaction_is_not_tried_again(things: Any, cut: Callable[..., None]):
    async with await things.client.start_session() as session:
        session.start_transaction()
        cut(False)
        with pytest.raises(AutoReconnect):
            await OneThread(things).find_all([Find("things", {})], session)
        await session.abort_transaction()


async def test_both_attempts_of_a_read_share_one_time_limit(stores: Any, config: Config, cut: Callable[..., None]):
    """The second has what the first one left: alone it would have had enough."""
    client = connect(replace(config, mongo_timeout_seconds=1.0))
    database = client[config.database]
    await database.things.insert_one({"_id": 1})
    takes_long = [Find("things", {"$where": "sleep(600) || true"})]
    assert await OneThread(database).find_all(takes_long, None) == [[{"_id": 1}]]
    started = time.monotonic()
    cut(False, after_seconds=0.7)
    with pytest.raises(PyMongoError) as caught:
        await OneThread(database).find_all(takes_long, None)
    assert caught.value.timeout
    assert time.monotonic() - started < 1.3
    client.close()


async def test_answers_of_any_size_come_whole(things: Any):
    """More than a socket holds both ways, and more than one answer holds."""
    await things.large.insert_many([{"_id": n, "text": "x" * 1_000_000} for n in range(20)])
    wanted = {"_id": {"$in": [*range(20), *(f"{n:020}" for n in range(UNANSWERED_MAX // 50))]}}
    async with await things.client.start_session() as session:
        session.start_transaction()
        found = await OneThread(things).find_all([Find("large", wanted, {"text": 1}), Find("large", wanted)], session)
        counts = await OneThread(things).find_all([Find("things", {})], session)
        await session.commit_transaction()
    assert [[document["_id"] for document in documents] for documents in found] == [list(range(20))] * 2
    assert counts == [[{"_id": "there"}]]


async def test_whole_numbers_past_31_bits_are_written_as_any_other(stores: Any, config: Config):
    """The driver hands them out as a class of its own."""
    client = connect(config)
    await client[config.database].large.insert_one({"_id": 1, "total": 2**40, "lines": [{"n": 2**33}]})
    async with await client.start_session() as session:
        session.start_transaction()
        ((sent,),) = await OneThread(client[config.database]).find_all([Find("large", {})], session)
        await session.commit_transaction()
    asked = await client[config.database].large.find_one()
    client.close()
    for found in (sent, asked):
        assert json.encode(found) == b'{"_id":1,"total":1099511627776,"lines":[{"n":8589934592}]}'


async def test_answers_beyond_one_message_come_whole_under_a_time_limit_too(
    stores: Any, config: Config, database: str
) -> None:
    """18 MB in 18 documents: a message of MongoDB holds 16."""
    client = connect(replace(config, mongodb_uri=stores.mongodb_uri, database=database))
    filler = "x" * 1_000_000
    try:
        await client[database].things.insert_many([{"_id": n, "filler": filler} for n in range(18)])
        (pipelined,) = await OneThread(client[database]).find_all([Find("things", {})], None)
        driven = await client[database].things.find({}, batch_size=3).to_list(None)
        gathered = await client[database].things.aggregate([{"$match": {}}], batchSize=3).to_list(None)
    finally:
        client.close()
    assert len(pipelined) == len(driven) == len(gathered) == 18
