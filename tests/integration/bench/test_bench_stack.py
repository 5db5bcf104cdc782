"""The benchmarks that need a served stack, each small, on one stack; and a fault planted in a stack of its own."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from lengths import length
from needs import missing
from pymongo import MongoClient

from benchmarks.budgets.plan import Budget, load
from benchmarks.budgets.run import plant
from benchmarks.expiry import judge as expiry_verdict
from benchmarks.expiry import run as expiry
from benchmarks.expiry.holds import Holds
from benchmarks.flood import run as flood
from benchmarks.kit.served_stack import Served, served
from benchmarks.layers import judge as layers_verdict
from benchmarks.layers import run as layers
from benchmarks.layers.cases import ANONYMOUS, AVAILABILITY, BEARER
from benchmarks.over_http import checkout
from benchmarks.over_http import run as http
from benchmarks.side_by_side import run as peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PRODUCTS, STOCK = 100, 1_000_000
[GZIP] = (budget for budget in load() if budget.name == "products-json-saved")


def nothing(step: str) -> None:
    pass


@pytest.fixture(scope="module")
def stack() -> Iterator[Served]:
    with served() as stack:
        stack.seed(products=PRODUCTS, stock=STOCK)
        yield stack


def test_checkouts_sell_a_scarce_sku_exactly_and_leave_right_books(stack: Served):
    """Slow: a whole stack is started, and a crowd sells out a SKU over HTTP."""
    plan = checkout.CheckoutPlan(connections=16, rounds=1, seconds=0.3, skus=PRODUCTS, buyers=2, warm_up_requests=16)
    result = checkout.measure(stack, plan, nothing)
    assert checkout.judge(result).broken == ()
    assert result["soldOut"]["sold"] == checkout.SCARCE_UNITS
    assert result["soldOut"]["refused"] == 2 * plan.connections


def test_every_route_is_measured_open_loop_without_an_error(stack: Served):
    """Slow: ten routes, each in a closed and an open loop."""
    routes = http.measure(stack, http.HttpPlan(connections=4, seconds=0.2, buyers=4), nothing)["routes"]
    assert {name: row["errors"] for name, row in routes.items() if row["errors"]} == {}
    assert all(0 < row["p50Ms"] <= row["p95Ms"] <= row["p99Ms"] for row in routes.values())


def test_what_the_layers_cost_is_measured_route_by_route_and_explained(stack: Served):
    """Slow: four API processes are started and asked in turns."""
    plan = layers.LayersPlan(connections=4, rounds=1, seconds=0.1, profile_seconds=0.4, buyers=2)
    result = layers.measure(stack, plan, nothing)
    rows = {(row["route"], row["caller"]): row for row in result["routes"]}
    assert len(rows) == layers.READ_CASES
    assert rows.keys() >= {(AVAILABILITY, ANONYMOUS), (AVAILABILITY, BEARER)}
    for row in rows.values():
        assert 0 < row["bareFramework"] < row["allLayers"]
        explained = sum(part["us"] for part in (*row["perLayer"], *row["elsewhere"]))
        assert explained == pytest.approx(row["allLayers"], rel=0.05)
    layers_seen = {part["layer"] for row in rows.values() for part in row["perLayer"]}
    assert layers_seen >= {"web/security/connection.py", "web/security/gate.py"}
    assert result["cache"]["uncached"] > result["cache"]["cached"]
    layers_verdict.judge(result)


@pytest.mark.alone
def test_who_floods_is_refused_and_who_shops_beside_is_not():
    """Slow: a stack of its own, with the rate limits of production."""
    plan = flood.FloodPlan(rate=1_000, rounds=1, quiet_seconds=1, flood_seconds=3, products=20, buyers=2)
    with served(flood.LIMITS_OF_PRODUCTION) as limited:
        result = flood.run(limited, plan, nothing)
    assert [
        sentence for sentence in flood.judge(result).broken if "p99" not in sentence and "only" not in sentence
    ] == []
    assert result["flood"]["refused"] > 1_500
    assert result["flood"]["served"] <= 1_200


def test_the_peer_answers_the_same_routes_beside_us(stack: Served):
    """Slow: the peer's packages are installed and node is started."""
    if shutil.which("npm") is None:
        missing("no npm on the PATH: the peer cannot be installed")
    plan = peer.SideBySidePlan(connections=4, rounds=1, seconds=0.2, buyers=4)
    rows = peer.measure(stack, plan, nothing)["rows"]
    assert [row["route"] for row in rows] == [route.name for route in http.ROUTES]
    assert all(row["peerPerSecond"] > 0 and row["holdfastPerSecond"] > 0 for row in rows)


def test_a_burst_of_expired_holds_is_freed_once_while_buyers_check_out(stack: Served):
    """Slow: a second worker is started, and hundreds of holds are placed through the ledger."""
    plan = replace(expiry.QUICK, skus=PRODUCTS)
    result = expiry.measure(stack, plan, nothing)
    assert expiry_verdict.judge(result, timed=False).broken == ()
    assert sum(result["sweptBy"].values()) == plan.holds
    assert result["checkoutsPerSecond"]["during"] > 0
    assert 0 <= result["expiryLagMs"]["p50"] <= result["expiryLagMs"]["max"]


def test_a_hold_that_is_released_twice_would_be_seen(stack: Served):
    once = {"sku": "S", "orderId": "o1", "kind": "expire"}
    with MongoClient(stack.mongodb_uri) as client:
        history = client[stack.database]["stock_history"]
        history.insert_many([{"_id": f"S#{number}", **once} for number in (1, 2, 3)])
        try:
            assert asyncio.run(_released_twice(stack)) == 2
        finally:
            history.delete_many({"sku": "S"})


async def _released_twice(stack: Served) -> int:
    holds = Holds(stack)
    try:
        return (await holds.released()).released_twice
    finally:
        await holds.close()


@pytest.mark.long_form
@pytest.mark.parametrize("budget", length((GZIP,), load()), ids=lambda budget: budget.name)
def test_a_planted_fault_turns_its_budget_red(budget: Budget):
    """Slow: a stack with the fault in it. The long form plants all of them, as `holdfast budgets --self-test` does."""
    planting = plant(budget.fault, [budget], nothing)
    assert planting.missed == []
