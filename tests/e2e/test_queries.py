"""Every query that the whole contract suite made the service send is answered by an index, by the server's own plan.

Runs after the contract (files run in the order of their names) on what its MongoDB recorded, planned on collections
with thousands of documents: what was planned on the suite's own few says little."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import seen_commands
from api import Api
from mixed_workload import ask_for_everything
from motor.motor_asyncio import AsyncIOMotorClient
from recorded_commands import explain, shape_of
from stacks import Stack

from service.bootstrap import INDEXES
from service.infra.mongo.index_proof import filled_beside, unused

SHAPES_OF_THE_SUITE_MIN = 120
TICK_SECONDS_MAX = 75
CONTRACT_TESTS_MIN = 150
READ_WHOLE = {
    "brands": "small, and always listed whole",
    "categories": "the tree is small and always wanted whole",
    "metrics": "one document a figure",
    "processes": "one document a process that runs",
}
SORTED_IN_MEMORY = {
    "subscriptions": "of one customer and one SKU there are a handful at most",
    "products": "filters that no index orders: several categories, or a range of prices in another order",
}


@pytest.fixture
def client(stack: Stack) -> Iterator[seen_commands.Client]:
    with seen_commands.connect(stack.data) as opened:
        yield opened


@pytest.fixture
def shapes(client: seen_commands.Client, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """One command of each shape that was seen."""
    found: dict[str, dict[str, Any]] = {}
    for command in seen_commands.commands(client):
        found.setdefault(shape_of(command), command)
    contract = [item for item in request.session.items if "test_contract_" in item.nodeid]
    if len(contract) >= CONTRACT_TESTS_MIN:
        assert len(found) >= SHAPES_OF_THE_SUITE_MIN, "the suite sends more than that: the record is not complete"
    assert found
    return found


async def test_no_query_of_the_service_scans_a_collection_or_sorts_one_in_memory(
    stack: Stack, client: seen_commands.Client, shapes: dict[str, dict[str, Any]]
) -> None:
    live: Any = AsyncIOMotorClient(seen_commands.address(stack.data), tz_aware=True)
    wrong = {}
    async with filled_beside(live[seen_commands.DATABASE], INDEXES) as samples:
        for shape, command in shapes.items():
            collection = str(next(iter(command.values())))
            plan = explain(client, samples.name, command)
            if plan.scans and collection not in READ_WHOLE:
                wrong[shape] = "scans the collection", plan
            elif plan.sorts and collection not in SORTED_IN_MEMORY:
                wrong[shape] = "sorts in memory", plan
    live.close()
    assert not wrong


async def test_after_a_mixed_workload_no_index_is_unused(
    client: seen_commands.Client, stack: Stack, staff: Api
) -> None:
    """The contract suite and what shoppers and staff ask beside it; by the server's own count ($indexStats)."""
    ask_for_everything(stack, staff)
    live: Any = AsyncIOMotorClient(seen_commands.address(stack.data), tz_aware=True)
    for _ in range(TICK_SECONDS_MAX):
        if not (never := await unused(live[seen_commands.DATABASE], INDEXES)):
            break
        await asyncio.sleep(1)  # the scheduler's own looks come with the next minute
    live.close()
    assert not never, "\n".join(never)
