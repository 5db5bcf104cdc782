"""The simulated database is only worth what it shares with the real one: each contract runs on both."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteOne, IndexModel, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from service.infra.mongo.commands import FindCommand, ThreadedCommandRunner, insert, update
from workloads.simulation.mongo.database import Database as SimulatedDatabase
from workloads.simulation.world.world import World

Contract = Callable[[Any], Awaitable[None]]
Runner = Callable[[Contract], None]
SNAPSHOT = {"read_concern": ReadConcern("snapshot"), "write_concern": WriteConcern("majority")}


@pytest.fixture(params=["simulated", "mongod"])
def check(request: pytest.FixtureRequest) -> Runner:
    if request.param == "simulated":
        return _on_the_simulation
    stores, name = request.getfixturevalue("stores"), request.getfixturevalue("database")
    return lambda contract: asyncio.run(_on_mongod(stores.mongodb_uri, name, contract))


def _on_the_simulation(contract: Contract) -> None:
    world = World(1)
    world.run(lambda: contract(world.client()["shop"]))


async def _on_mongod(uri: str, name: str, contract: Contract) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(uri, w="majority", tz_aware=True)
    try:
        await contract(client[name])
    finally:
        client.close()


async def _labels(work: Awaitable[Any]) -> tuple[int | None, list[str]]:
    with pytest.raises(OperationFailure) as caught:
        await work
    labels = [
        label
        for label in ("TransientTransactionError", "UnknownTransactionCommitResult")
        if caught.value.has_error_label(label)
    ]
    return caught.value.code, labels


def test_what_a_transaction_writes_is_seen_by_itself_and_by_nobody_else_until_it_commits(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session)
            await db.stock.insert_one({"_id": "b", "n": 9}, session=session)
            assert (await db.stock.find_one({"_id": "a"}, session=session))["n"] == 2
            assert await db.stock.count_documents({}, session=session) == 2
            assert (await db.stock.find_one({"_id": "a"}))["n"] == 1
            assert await db.stock.count_documents({}) == 1
            await session.commit_transaction()
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 2

    check(contract)


def test_plain_and_dotted_updates_and_what_they_refuse(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1, "payment": None})
        update = {"$set": {"inner.status": "x"}, "$inc": {"n": 2, "m": 1}, "$push": {"history": {"at": 1}}}
        result = await db.stock.update_one({"_id": "a", "n": 1}, update)
        assert (result.matched_count, result.modified_count) == (1, 1)
        again = await db.stock.update_many({"_id": {"$in": ["a"]}}, {"$set": {"inner.status": "x"}})
        assert (again.matched_count, again.modified_count) == (1, 0)
        for wrong in ({"$set": {"payment.status": "x"}}, {"$push": {"n": 1}}):
            with pytest.raises(WriteError):
                await db.stock.update_one({"_id": "a"}, wrong)
        expected = {"_id": "a", "n": 3, "payment": None, "inner": {"status": "x"}, "m": 1, "history": [{"at": 1}]}
        assert await db.stock.find_one({"_id": "a"}) == expected

    check(contract)


def test_an_aborted_transaction_leaves_nothing_behind(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_many([{"_id": "a", "n": 1}, {"_id": "b", "n": 1}])
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.update_many({}, {"$set": {"n": 7}}, session=session)
            await db.stock.delete_one({"_id": "b"}, session=session)
            await db.stock.insert_one({"_id": "c"}, session=session)
            await session.abort_transaction()
        assert await db.stock.find().sort("_id", 1).to_list(None) == [{"_id": "a", "n": 1}, {"_id": "b", "n": 1}]

    check(contract)


def test_an_exception_in_the_transaction_block_aborts_it(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})

        async def broken() -> None:
            async with await db.client.start_session() as session, session.start_transaction():
                await db.stock.update_one({"_id": "a"}, {"$set": {"n": 5}}, session=session)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await broken()
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 1

    check(contract)


def test_a_transaction_reads_the_snapshot_it_began_with(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_many([{"_id": "a", "n": 1}, {"_id": "gone", "n": 1}])
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            assert (await db.stock.find_one({"_id": "a"}, session=session))["n"] == 1
            await db.stock.update_one({"_id": "a"}, {"$set": {"n": 2}})
            await db.stock.insert_one({"_id": "new", "n": 1})
            await db.stock.delete_one({"_id": "gone"})
            seen = await db.stock.find({}, session=session).sort("_id", 1).to_list(None)
            assert seen == [{"_id": "a", "n": 1}, {"_id": "gone", "n": 1}]
            assert await db.stock.find_one({"n": 2}, session=session) is None
            await session.commit_transaction()
        assert [d["_id"] for d in await db.stock.find({}).sort("_id", 1).to_list(None)] == ["a", "new"]

    check(contract)


def test_writing_what_another_changed_since_the_snapshot_is_a_transient_conflict(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_many([{"_id": "a", "n": 1}, {"_id": "b", "n": 1}])
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.find_one({"_id": "b"}, session=session)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}})
            late = db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session)
            assert await _labels(late) == (112, ["TransientTransactionError"])
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 2

    check(contract)


def test_of_two_open_transactions_that_write_one_document_the_second_conflicts_at_once(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})
        async with await db.client.start_session() as first, await db.client.start_session() as second:
            first.start_transaction(**SNAPSHOT)
            second.start_transaction(**SNAPSHOT)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 10}}, session=first)
            late = db.stock.update_one({"_id": "a"}, {"$inc": {"n": 100}}, session=second)
            assert await _labels(late) == (112, ["TransientTransactionError"])
            await first.commit_transaction()
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 11

    check(contract)


def test_a_transaction_is_over_after_a_conflict(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.insert_one({"_id": "b"}, session=session)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}})
            await _labels(db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session))
            code, labels = await _labels(session.commit_transaction())
            assert code == 251
            assert "TransientTransactionError" in labels
        assert await db.stock.count_documents({}) == 1

    check(contract)


def test_a_write_outside_waits_for_the_transaction_that_holds_the_document(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 10}}, session=session)
            outside = asyncio.ensure_future(db.stock.update_one({"_id": "a"}, {"$inc": {"n": 100}}))
            await asyncio.sleep(0.1)
            assert not outside.done()
            await session.commit_transaction()
            await outside
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 111

    check(contract)


def test_a_commit_may_be_asked_for_again(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_one({"_id": "a", "n": 1})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.stock.update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session)
            await session.commit_transaction()
            await session.commit_transaction()
        assert (await db.stock.find_one({"_id": "a"}))["n"] == 2

    check(contract)


def test_inserting_an_id_that_appeared_after_the_snapshot_is_a_conflict_not_a_duplicate(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.keys.insert_one({"_id": "other"})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.keys.find_one({"_id": "k"}, session=session)
            await db.keys.insert_one({"_id": "k"})
            late = db.keys.insert_one({"_id": "k"}, session=session)
            assert await _labels(late) == (112, ["TransientTransactionError"])

    check(contract)


def test_inserting_a_unique_value_that_appeared_after_the_snapshot_is_a_conflict(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.keys.create_indexes([IndexModel([("key", 1)], unique=True)])
        await db.keys.insert_one({"_id": 0, "key": "other"})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.keys.find_one({"key": "k"}, session=session)
            await db.keys.insert_one({"_id": 1, "key": "k"})
            late = db.keys.insert_one({"_id": 2, "key": "k"}, session=session)
            assert await _labels(late) == (112, ["TransientTransactionError"])

    check(contract)


def test_two_transactions_cannot_both_insert_one_id(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.keys.insert_one({"_id": "other"})
        async with await db.client.start_session() as first, await db.client.start_session() as second:
            first.start_transaction(**SNAPSHOT)
            second.start_transaction(**SNAPSHOT)
            await db.keys.insert_one({"_id": "k"}, session=first)
            late = db.keys.insert_one({"_id": "k"}, session=second)
            assert await _labels(late) == (112, ["TransientTransactionError"])
            await first.commit_transaction()

    check(contract)


def test_a_duplicate_key_ends_the_transaction(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.keys.insert_one({"_id": "k"})
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            await db.keys.insert_one({"_id": "mine"}, session=session)
            with pytest.raises(DuplicateKeyError) as caught:
                await db.keys.insert_one({"_id": "k"}, session=session)
            assert not caught.value.has_error_label("TransientTransactionError")
            assert (await _labels(session.commit_transaction()))[0] == 251
        assert await db.keys.count_documents({}) == 1

    check(contract)


def test_a_partial_unique_index_binds_only_the_documents_it_contains(check: Runner) -> None:
    async def contract(db: Any) -> None:
        active = {"partialFilterExpression": {"status": "active"}}
        await db.holds.create_indexes([IndexModel([("order", 1), ("sku", 1)], unique=True, **active)])
        await db.holds.insert_one({"_id": 1, "order": "o", "sku": "s", "status": "expired"})
        await db.holds.insert_one({"_id": 2, "order": "o", "sku": "s", "status": "active"})
        await db.holds.insert_one({"_id": 3, "order": "o", "sku": "t", "status": "active"})
        with pytest.raises(DuplicateKeyError):
            await db.holds.insert_one({"_id": 4, "order": "o", "sku": "s", "status": "active"})
        with pytest.raises(DuplicateKeyError):
            await db.holds.update_one({"_id": 1}, {"$set": {"status": "active"}})
        await db.holds.update_one({"_id": 2}, {"$set": {"status": "released"}})
        await db.holds.update_one({"_id": 1}, {"$set": {"status": "active"}})

    check(contract)


def test_a_sparse_unique_index_ignores_documents_without_the_field(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.users.create_indexes([IndexModel([("token", 1)], unique=True, sparse=True)])
        await db.users.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 3, "token": "t"}])
        with pytest.raises(DuplicateKeyError):
            await db.users.insert_one({"_id": 4, "token": "t"})
        assert (await db.users.find_one({"token": "t"}))["_id"] == 3
        assert await db.users.count_documents({"token": None}) == 2

    check(contract)


def test_an_ordered_bulk_stops_at_its_first_duplicate_and_an_unordered_one_goes_on(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.keys.insert_one({"_id": "k"})
        requests = [InsertOne({"_id": "a"}), InsertOne({"_id": "k"}), InsertOne({"_id": "b"})]
        with pytest.raises(BulkWriteError) as caught:
            await db.keys.bulk_write(requests, ordered=True)
        assert caught.value.details["writeErrors"][0]["code"] == 11000
        assert caught.value.details["nInserted"] == 1
        with pytest.raises(BulkWriteError):
            await db.keys.insert_many([{"_id": "k"}, {"_id": "c"}], ordered=False)
        assert [d["_id"] for d in await db.keys.find().sort("_id", 1).to_list(None)] == ["a", "c", "k"]

    check(contract)


def test_commands_sent_in_one_go_do_what_they_say_and_stop_at_the_first_refusal(check: Runner) -> None:
    async def contract(db: Any) -> None:
        runner = db if isinstance(db, SimulatedDatabase) else ThreadedCommandRunner(db)
        await db.keys.insert_many([{"_id": "k", "n": 1}, {"_id": "l", "n": 1}])
        changes = [
            {"q": {"_id": {"$in": ["k", "l"]}}, "u": {"$inc": {"n": 1}}, "multi": True},
            {"q": {"_id": "gone"}, "u": {"$inc": {"n": 1}}},
            {"q": {"_id": "new"}, "u": {"$inc": {"n": 7}}, "upsert": True},
        ]
        async with await db.client.start_session() as session:
            session.start_transaction(**SNAPSHOT)
            replies = await runner.send_all(
                [insert("keys", [{"_id": "a"}, {"_id": "b"}]), update("keys", changes)], session
            )
            found = await runner.find_all([FindCommand("keys", {"n": 2}, {"_id": 1}), FindCommand("none", {})], session)
            assert (sorted(d["_id"] for d in found[0]), found[1]) == (["k", "l"], [])

            assert [reply["n"] for reply in replies] == [2, 3]
            await session.commit_transaction()
            session.start_transaction(**SNAPSHOT)
            with pytest.raises(BulkWriteError) as caught:
                await runner.send_all([insert("keys", [{"_id": "k"}]), insert("keys", [{"_id": "never"}])], session)
            assert [failure["code"] for failure in caught.value.details["writeErrors"]] == [11000]
            await session.abort_transaction()
        left = {d["_id"]: d.get("n") for d in await db.keys.find().to_list(None)}
        assert left == {"a": None, "b": None, "k": 2, "l": 2, "new": 7}
        sorted_reads = [FindCommand("keys", {}, {"_id": 1}, (("_id", -1),), 2), FindCommand("keys", {"n": 7})]
        assert await runner.find_all(sorted_reads, None) == [[{"_id": "new"}, {"_id": "l"}], [{"_id": "new", "n": 7}]]

    check(contract)


def test_a_bulk_counts_what_it_did(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.stock.insert_many([{"_id": n, "n": n} for n in range(4)])
        result = await db.stock.bulk_write(
            [
                UpdateOne({"_id": 0, "n": 0}, {"$set": {"n": 10}}),
                UpdateOne({"_id": 0, "n": 0}, {"$set": {"n": 20}}),
                UpdateMany({"n": {"$lt": 3}}, {"$inc": {"n": 100}}),
                ReplaceOne({"_id": 3}, {"n": 33}),
                UpdateOne({"_id": 9}, {"$set": {"n": 9}}, upsert=True),
                DeleteOne({"_id": 1}),
                InsertOne({"_id": 7}),
            ],
            ordered=True,
        )
        counts = (result.matched_count, result.modified_count, result.upserted_count)
        assert (*counts, result.deleted_count, result.inserted_count) == (4, 4, 1, 1, 1)
        assert result.upserted_ids == {4: 9}

    check(contract)


def test_find_one_and_update_returns_the_document_before_or_after(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.jobs.insert_many([{"_id": 1, "at": 2, "by": None}, {"_id": 2, "at": 1, "by": None}])
        claimed = await db.jobs.find_one_and_update(
            {"by": None}, {"$set": {"by": "me"}}, sort=[("at", 1)], return_document=ReturnDocument.AFTER
        )
        assert claimed == {"_id": 2, "at": 1, "by": "me"}
        before = await db.jobs.find_one_and_update({"_id": 1}, {"$set": {"by": "me"}})
        assert before["by"] is None
        assert await db.jobs.find_one_and_update({"by": None}, {"$set": {"by": "me"}}) is None

    check(contract)


def test_look_ups_by_index_find_what_a_scan_finds(check: Runner) -> None:
    async def contract(db: Any) -> None:
        await db.orders.create_indexes([IndexModel([("user", 1), ("at", -1)]), IndexModel([("items.sku", 1)])])
        orders = [
            {"_id": n, "user": f"u{n % 3}", "at": n, "items": [{"sku": f"s{n % 4}"}, {"sku": "common"}]}
            for n in range(12)
        ]
        await db.orders.insert_many([*orders, {"_id": 99, "at": 99, "items": []}])
        await db.orders.update_one({"_id": 4}, {"$set": {"user": "u0"}})

        async def ids(condition: dict[str, Any]) -> list[int]:
            return [order["_id"] for order in await db.orders.find(condition).sort("at", -1).to_list(None)]

        assert await ids({"user": "u0"}) == [9, 6, 4, 3, 0]
        assert await ids({"user": {"$in": ["u1", "u2"]}, "at": {"$gte": 8}}) == [11, 10, 8]
        assert await ids({"$and": [{"user": "u1"}, {"at": {"$ne": 1}}]}) == [10, 7]
        assert await ids({"items.sku": "s1"}) == [9, 5, 1]
        assert await ids({"user": None}) == [99]
        assert await ids({"user": {"$ne": "u0"}, "at": {"$lt": 3}}) == [2, 1]

    check(contract)
