"""The benchmarks of search and look-ups, at a size that shows they work, judged by counts and not by the clock."""

import asyncio
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.lookups.run import QUICK
from benchmarks.search.relevance import RelevancePlan, run
from service.config import Config
from workloads.client.command_line import ask


def silent(step: str) -> None: ...


@pytest.mark.slow
def test_look_ups_read_a_handful_of_documents_with_their_index_and_all_of_them_without() -> None:
    """Slow: fills eight collections twice, at two sizes, and measures four operations on them."""
    rows = {row["operation"]: row for row in ask("bench", "lookups", "--quick")["rows"]}
    assert set(rows) == {"product search", "order history", "cart operations", "user lookup"}
    assert rows["order history"]["docsExaminedBefore"] == QUICK.sizes.orders
    assert rows["product search"]["docsExaminedBefore"] >= QUICK.sizes.products
    assert rows["order history"]["docsExaminedAfter"] <= 25
    assert rows["product search"]["docsExaminedAfter"] <= 500
    assert rows["cart operations"]["docsExaminedAfter"] == 2
    assert rows["user lookup"]["docsExaminedAfter"] == 1
    for row in rows.values():
        assert {"documentedBeforeMs", "documentedAfterMs", "documentedRatio", "beforeMs", "afterMs"} < set(row)
        assert row["p95BeforeMs"] > 0 < row["p95AfterMs"]


@pytest.mark.slow
async def test_search_ranks_no_worse_than_the_servers_own_text_score(config: Config) -> None:
    """Slow: answers the judged queries twice on thousands of products."""
    client: Any = AsyncIOMotorClient(config.mongodb_uri, tz_aware=True, w=1)
    async with asyncio.timeout(100):
        ways = (await run(client, RelevancePlan(products=6_000, queries=200), silent))["ways"]
    client.close()
    assert ways["termIndex"]["ndcg10"] >= max(0.97, ways["textScore"]["ndcg10"])
    assert ways["termIndex"]["knownItem"] >= ways["textScore"]["knownItem"]
