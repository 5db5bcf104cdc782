"""Nobody empties the shelves by reserving: what one customer may hold without paying is bounded."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.orders.models import TooMuchHeld
from service.orders.repository import held_filter

HOLDS_MAX, UNITS_MAX = 3, 10


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, open_holds_per_user_max=HOLDS_MAX, held_units_per_user_and_sku_max=UNITS_MAX)


async def held(shop: Shop, orders: int) -> list[str]:
    await shops.stock(shop, TEA=1_000, CUP=1_000)
    return [(await shops.buy(shop, TEA=1)).id for _ in range(orders)]


async def test_a_customer_with_too_many_unpaid_orders_must_pay_one_first(shop: Shop) -> None:
    first, *_ = await held(shop, HOLDS_MAX)
    with pytest.raises(TooMuchHeld, match="3 unpaid orders"):
        await shops.buy(shop, CUP=1)
    assert await shops.levels(shop, "CUP") == (1_000, 0)
    await shops.pay(shop, await shop.orders.get(first))
    await shops.buy(shop, CUP=1)


async def test_a_cancelled_order_holds_nothing(shop: Shop) -> None:
    first, *_ = await held(shop, HOLDS_MAX)
    await shop.orders.cancel(await shop.orders.get(first), "u1")
    await shops.buy(shop, CUP=1)


async def test_an_expired_hold_counts_no_more_swept_or_not(shop: Shop, clock: shops.MovableClock) -> None:
    await held(shop, HOLDS_MAX)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shops.buy(shop, CUP=1)


async def test_others_may_hold_as_much(shop: Shop) -> None:
    await held(shop, HOLDS_MAX)
    await shops.buy(shop, "u2", CUP=1)


async def test_more_units_of_a_sku_than_allowed_are_not_held_in_several_orders(shop: Shop) -> None:
    await held(shop, 0)
    await shops.buy(shop, TEA=UNITS_MAX - 1)
    with pytest.raises(TooMuchHeld, match="9 of TEA"):
        await shops.buy(shop, TEA=2)
    await shops.buy(shop, TEA=1, CUP=50)


async def test_a_repeated_checkout_is_answered_as_before_however_much_is_held_by_then(shop: Shop) -> None:
    await held(shop, HOLDS_MAX - 1)
    placed = await shops.buy(shop, key=shops.key("k1"), CUP=1)
    assert (await shops.buy(shop, key=shops.key("k1"), CUP=1)).id == placed.id


async def test_a_burst_of_checkouts_holds_little_more_than_the_limit(shop: Shop) -> None:
    await held(shop, 0)
    burst = 30
    outcomes = await asyncio.gather(*(shops.buy(shop, TEA=1) for _ in range(burst)), return_exceptions=True)
    placed = [each for each in outcomes if not isinstance(each, TooMuchHeld)]
    assert HOLDS_MAX <= len(placed) <= burst
    with pytest.raises(TooMuchHeld):
        await shops.buy(shop, TEA=1)


async def test_load_tests_lift_the_limit_with_the_rate_limits(config: Config, clock: shops.MovableClock) -> None:
    async with shops.open_shop(replace(config, rate_limit_scale=1_000_000), clock) as shop:
        await held(shop, HOLDS_MAX * 3)


async def test_what_is_held_is_found_without_a_look_at_older_orders(shop: Shop, clock: shops.MovableClock) -> None:
    await held(shop, HOLDS_MAX)
    ttl = timedelta(seconds=shop.config.reservation_ttl_seconds)
    clock.advance(ttl.total_seconds() + 1)
    await shops.buy(shop, CUP=1)
    query = held_filter({"u1", "u2"}, clock.now() - ttl, clock.now())
    finding = {"find": "orders", "filter": query, "projection": {"userId": 1}}
    plan = await shop.stores.database.command("explain", finding, verbosity="executionStats")
    assert (plan["executionStats"]["nReturned"], plan["executionStats"]["totalDocsExamined"]) == (1, 1)
