"""The contention benchmark against a real mongod, small."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.contention.command import judge
from benchmarks.contention.run import QUICK, STRATEGIES, Contender, UnitsMissing, _audit, run
from benchmarks.contention.service_ledger import GroupCommit
from benchmarks.contention.strategies import ConditionalUpdate, Strategy
from service.stack.embedded import EmbeddedStores

SMALL = replace(QUICK, orders=20, skus=5)


@pytest.fixture
async def client(stores: EmbeddedStores) -> AsyncIterator[Any]:
    client: Any = AsyncIOMotorClient(stores.mongodb_uri, w="majority", tz_aware=True)
    yield client
    client.close()


def test_the_benchmark_sees_the_naive_oversell_and_nobody_elses(stores: EmbeddedStores):
    result = run(stores.mongodb_uri, SMALL)
    oversold = {row["name"]: row["oversold"] for row in result["strategies"]}
    assert oversold.pop("read_then_write") > 0
    assert set(oversold.values()) == {0}
    assert judge(result, SMALL).broken == ()
    assert all(row["checkouts"] == 20 for row in [*result["strategies"], result["spread"]])


@pytest.mark.parametrize("kind", STRATEGIES)
async def test_a_strategy_refuses_when_nothing_is_left(client: Any, database: str, kind: type[Strategy]):
    strategy = kind(client, client[database], random.Random(1))
    await strategy.stock(["HOT"], 2)
    assert [await strategy.buy("HOT") for _ in range(4)] == [True, True, False, False]
    assert await strategy.held() == {"HOT": 2}


async def test_group_commit_leaves_the_books_of_the_service(client: Any, database: str):
    strategy = GroupCommit(client, client[database], random.Random(1))
    await strategy.stock(["HOT"], 3)
    await strategy.buy("HOT")
    stock = await client[database].inventory.find_one({"_id": "HOT"})
    assert (stock["onHand"], stock["reserved"], stock["available"]) == (3, 1, 2)
    kinds = [entry["kind"] async for entry in client[database].stock_history.find().sort("_id", 1)]
    assert kinds == ["receive", "reserve"]
    assert await client[database].orders.count_documents({"status": "pending"}) == 1


async def test_an_answer_without_its_hold_fails_the_audit(client: Any, database: str):
    strategy = ConditionalUpdate(client, client[database], random.Random(1))
    await strategy.stock(["HOT"], 5)
    await strategy.buy("HOT")
    with pytest.raises(UnitsMissing):
        await _audit(Contender("conditional_update", strategy, ["HOT"], accepted=2))
