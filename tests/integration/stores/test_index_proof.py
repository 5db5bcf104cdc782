"""Every declared index is chosen by the server for the query it serves, and that query is worse off without it."""

from typing import Any

import pytest
from pymongo import MongoClient

from service import bootstrap
from service.bootstrap import Shop
from service.infra.mongo.index_proof import SUFFIX, filled_beside, prove, prove_one
from service.infra.mongo.index_samples import samples

KINDS = {"compound", "text", "sparse", "partial", "ttl", "unique"}


async def test_each_index_is_proven_and_none_is_redundant(shop: Shop) -> None:
    proof = await prove(shop.stores.database, bootstrap.INDEXES)
    assert proof["count"] == len(proof["indexes"]) >= 58
    assert [index for index in proof["indexes"] if not index["ok"]] == []
    assert proof["redundant"] == []
    assert {index["kind"] for index in proof["indexes"]} >= KINDS


async def test_no_index_is_declared_that_its_query_would_not_miss(shop: Shop) -> None:
    async with filled_beside(shop.stores.database, bootstrap.INDEXES) as proving:
        for index in bootstrap.INDEXES:
            await proving[index.collection].drop_index(index.name)
            without = await prove_one(proving, index) if index.kind != "text" else {"ok": False}
            assert not without["ok"], f"{index.collection}.{index.name} is not missed"
            await proving[index.collection].create_indexes([index.model()])


async def test_an_index_that_the_live_database_lost_is_not_proven(
    shop: Shop, mongo: MongoClient[dict[str, Any]]
) -> None:
    orders = mongo[shop.config.database]["orders"]
    orders.drop_index("userId_1_createdAt_-1__id_-1")
    try:
        proof = await prove(shop.stores.database, bootstrap.INDEXES)
    finally:
        lost = next(index for index in bootstrap.INDEXES if index.name == "userId_1_createdAt_-1__id_-1")
        orders.create_indexes([lost.model()])
    assert [index["name"] for index in proof["indexes"] if not index["ok"]] == [lost.name]


async def test_a_proof_leaves_nothing_behind(shop: Shop, mongo: MongoClient[dict[str, Any]]) -> None:
    await prove(shop.stores.database, bootstrap.INDEXES[:1])
    assert shop.config.database + SUFFIX not in mongo.list_database_names()


@pytest.mark.parametrize("collection", sorted({index.collection for index in bootstrap.INDEXES}))
def test_samples_are_the_same_each_time_and_not_all_alike(collection: str) -> None:
    declared = [index for index in bootstrap.INDEXES if index.collection == collection]
    first, again = samples(declared, 200), samples(declared, 200)
    assert first == again
    assert len({str({**each, "_id": 0}) for each in first}) > 1
