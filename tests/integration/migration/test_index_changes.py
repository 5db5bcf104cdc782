"""Indexes of a live database are brought in line without a moment in which what they guard is unguarded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import DuplicateKeyError

from service.infra.mongo.index_changes import Duplicates, Kind, apply, find_duplicates, planned
from service.infra.mongo.index_shapes import NEVER_SECONDS
from service.infra.mongo.indexes import Index, Probe, create_all
from service.stack import embedded

PLAIN = Index("things", (("code", 1),), serves="a thing by its code", probe=Probe({"code": "a"}))
UNIQUE = replace(PLAIN, unique=True)
EXPIRING = Index("things", (("at", 1),), serves="old ones go", probe=Probe({"at": 1}), expire_after_seconds=3_600)
PARTIAL = replace(UNIQUE, partial={"live": True})


@pytest.fixture
async def live(stores: embedded.EmbeddedStores, database: str) -> AsyncIterator[Any]:
    client: Any = AsyncIOMotorClient(stores.mongodb_uri)
    yield client[database]
    client.close()


async def carry_out(live: Any, *indexes: Index, gone: tuple[str, ...] = ()) -> list[Kind]:
    plan = await planned(live, indexes, gone)
    if twice := await find_duplicates(live, plan.changes):
        raise Duplicates(twice)
    for change in plan.changes:
        await apply(live, change)
    return [change.kind for change in plan.changes]


async def information(live: Any) -> dict[str, Any]:
    found: dict[str, Any] = await live["things"].index_information()
    return found


@pytest.mark.parametrize("index", [PLAIN, UNIQUE, EXPIRING, PARTIAL], ids=["plain", "unique", "expiring", "partial"])
async def test_what_was_made_as_declared_is_left_alone(live: Any, index: Index) -> None:
    assert await carry_out(live, index) == [Kind.CREATE]
    assert await carry_out(live, index) == []


async def test_every_declared_index_of_the_service_is_recognised_once_made(live: Any) -> None:
    from service.indexes import INDEXES

    await create_all(live, INDEXES)
    plan = await planned(live, INDEXES)
    assert (plan.changes, plan.undeclared, len(plan.ours)) == ([], [], len(INDEXES))


async def test_an_index_of_another_name_with_the_same_keys_and_options_is_the_declared_one(live: Any) -> None:
    await live["things"].create_index([("code", 1)], name="by_hand", unique=True)
    assert await carry_out(live, UNIQUE) == []
    assert set(await information(live)) == {"_id_", "by_hand"}


async def test_somebodys_own_index_on_the_same_keys_stays_beside_the_declared_one(live: Any) -> None:
    await live["things"].create_index([("code", 1)], name="by_hand")
    assert await carry_out(live, UNIQUE) == [Kind.CREATE]
    found = await information(live)
    assert "unique" not in found["by_hand"]
    assert found["code_1"]["unique"]


async def test_an_index_becomes_unique_in_place(live: Any) -> None:
    await carry_out(live, PLAIN)
    await live["things"].insert_many([{"code": n} for n in range(50)])
    assert await carry_out(live, UNIQUE) == [Kind.MAKE_UNIQUE]
    with pytest.raises(DuplicateKeyError):
        await live["things"].insert_one({"code": 7})
    assert await carry_out(live, UNIQUE) == []


async def test_what_is_there_twice_is_named_before_anything_is_changed(live: Any) -> None:
    await carry_out(live, PLAIN)
    await live["things"].insert_many([{"_id": n, "code": n % 8} for n in range(10)])
    before = await information(live)
    with pytest.raises(Duplicates) as refused:
        await carry_out(live, UNIQUE, EXPIRING)
    assert sorted(refused.value.twice) == [
        "things.code_1 must be unique, but 2 documents have code 0: 0, 8",
        "things.code_1 must be unique, but 2 documents have code 1: 1, 9",
    ]
    assert await information(live) == before


async def test_what_comes_twice_meanwhile_is_named_and_the_old_index_is_still_there(live: Any) -> None:
    """Between the look and the change; the change itself is the server's, so it cannot be overtaken."""
    await carry_out(live, PLAIN)
    plan = await planned(live, [UNIQUE])
    await live["things"].insert_many([{"_id": 1, "code": 1}, {"_id": 2, "code": 1}])
    with pytest.raises(Duplicates, match="2 documents have code 1: 1, 2"):
        await apply(live, plan.changes[0])
    assert set(await information(live)) == {"_id_", "code_1"}
    await live["things"].insert_one({"_id": 3, "code": 1})  # writers are as free as before


@pytest.mark.parametrize(("old", "new"), [(UNIQUE, PARTIAL), (PARTIAL, UNIQUE)], ids=["narrower", "wider"])
async def test_a_guard_is_switched_without_one_value_let_in_twice(live: Any, old: Index, new: Index) -> None:
    """Thirty writers try all the time to bring in what is there already."""
    await carry_out(live, old)
    await live["things"].insert_many([{"code": n, "live": True} for n in range(300)])
    let_in, over = [], asyncio.Event()

    async def writer(number: int) -> None:
        while not over.is_set():
            try:
                await live["things"].insert_one({"code": number, "live": True})
                let_in.append(number)
            except DuplicateKeyError:
                await asyncio.sleep(0)

    writers = [asyncio.create_task(writer(number)) for number in range(30)]
    await asyncio.sleep(0.05)
    assert await carry_out(live, new) == [Kind.SWITCH]
    await asyncio.sleep(0.05)
    over.set()
    await asyncio.gather(*writers)
    assert let_in == []
    assert set(await information(live)) == {"_id_", "code_1__2"}
    assert await carry_out(live, new) == []
    assert await carry_out(live, old) == [Kind.SWITCH], "and back"


async def test_a_switch_that_cannot_be_made_leaves_the_old_guard(live: Any) -> None:
    await carry_out(live, PARTIAL)
    await live["things"].insert_many([{"code": 1, "live": True}, {"code": 1, "live": False}])
    with pytest.raises(Duplicates):
        await carry_out(live, UNIQUE)
    with pytest.raises(DuplicateKeyError):
        await live["things"].insert_one({"code": 1, "live": True})


async def test_expiry_is_changed_in_place(live: Any) -> None:
    await carry_out(live, EXPIRING)
    assert await carry_out(live, replace(EXPIRING, expire_after_seconds=60)) == [Kind.EXPIRE]
    assert (await information(live))["at_1"]["expireAfterSeconds"] == 60
    assert await carry_out(live, replace(EXPIRING, expire_after_seconds=None)) == [Kind.EXPIRE]
    assert (await information(live))["at_1"]["expireAfterSeconds"] == NEVER_SECONDS
    assert await carry_out(live, replace(EXPIRING, expire_after_seconds=None)) == []


async def test_an_undeclared_index_is_dropped_only_if_it_is_named(live: Any) -> None:
    await carry_out(live, PLAIN)
    await live["things"].create_index("other")
    assert await carry_out(live, PLAIN) == []
    assert (await planned(live, [PLAIN])).undeclared == ["things.other_1"]
    assert await carry_out(live, PLAIN, gone=("things.other_1",)) == [Kind.DROP]
    assert set(await information(live)) == {"_id_", "code_1"}


async def test_words_are_indexed_anew_with_other_weights(live: Any) -> None:
    """A collection has one index of words: the old one goes first, and the plan says what that means."""
    words = Index("things", (("a", "text"), ("b", "text")), serves="words", probe=Probe({}), weights={"a": 10, "b": 1})
    await carry_out(live, words)
    heavier = replace(words, weights={"a": 20, "b": 1})
    assert "quoted searches fail until it is built" in str((await planned(live, [heavier])).changes[0])
    assert await carry_out(live, heavier) == [Kind.SWITCH]
    assert await carry_out(live, heavier) == []


@pytest.mark.parametrize(
    ("index", "documents", "twice"),
    [
        (replace(UNIQUE, sparse=True), [{"other": 1}, {"other": 2}], False),
        (UNIQUE, [{"other": 1}, {"code": None}], True),
        (PARTIAL, [{"code": 1, "live": True}, {"code": 1}], False),
        (replace(UNIQUE, lists=("code",)), [{"code": [1, 2]}, {"code": [2, 3]}], True),
        (replace(UNIQUE, lists=("code",)), [{"code": [1, 1]}, {"code": [2, 3]}], False),
        (replace(UNIQUE, collation={"locale": "en", "strength": 2}), [{"code": "a"}, {"code": "A"}], True),
        (UNIQUE, [{"code": "a"}, {"code": "A"}], False),
    ],
    ids=["sparse", "missing is null", "partial", "a list's items", "one list", "folded", "not folded"],
)
async def test_only_what_the_server_would_refuse_is_called_twice(
    live: Any, index: Index, documents: list[dict[str, Any]], twice: bool
) -> None:
    await live["things"].insert_many(documents)
    plan = await planned(live, [index])
    assert bool(await find_duplicates(live, plan.changes)) is twice
    if twice:
        with pytest.raises(Duplicates):
            await apply(live, plan.changes[0])
    else:
        await apply(live, plan.changes[0])
