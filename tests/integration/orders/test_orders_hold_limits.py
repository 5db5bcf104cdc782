"""Nobody empties the shelves by reserving: what one customer may hold without paying is bounded, exactly."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle

import pytest
import shops

from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Shop
from service.catalog.offers import Offer
from service.config import Config
from service.inventory.allowance import TooMuchHeld
from service.inventory.models import InsufficientStock
from service.orders.models import OrderTooLarge, VerificationNeeded

HOLDS_MAX, SKU_UNITS_MAX, UNITS_MAX = 3, 10, 12
A_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def config(config: Config) -> Config:
    """u1 has no verified address; what a verified account may is in the names without `unverified`."""
    return replace(
        config,
        **{"open_holds_unverified_max": HOLDS_MAX, "open_holds_per_user_max": HOLDS_MAX + 2},
        **{"order_units_per_sku_unverified_max": SKU_UNITS_MAX, "order_units_per_sku_max": 2 * SKU_UNITS_MAX},
        **{"held_units_unverified_max": UNITS_MAX, "held_units_per_user_max": 3 * UNITS_MAX},
        **{"unpaid_holds_free": 2, "unpaid_holds_wait_seconds": 1_000, "unpaid_holds_wait_max_seconds": 3_000},
    )


async def held(shop: Shop, orders: int) -> list[str]:
    await shops.stock(shop, TEA=1_000, CUP=1_000)
    return [(await shops.buy(shop, TEA=1)).id for _ in range(orders)]


async def verify(shop: Shop, user_id: str) -> None:
    account = User(user_id, f"{user_id}@example.com", "Ada", "customer", "-", A_DAY, A_DAY, email_verified=True)
    await UserRepository(shop.stores.database).add(account)


async def burst(parts: Sequence[Shop], checkouts: int) -> int:
    """How many of the simultaneous checkouts of one customer, spread over some processes, hold something. No two of
    them meet at a SKU, so nothing but the customer is the same."""
    await shops.stock_all(parts[0], {f"S{number}": 1 for number in range(checkouts)})
    buying = (shops.buy(part, **{f"S{number}": 1}) for number, part in zip(range(checkouts), cycle(parts)))
    outcomes = await asyncio.gather(*buying, return_exceptions=True)
    assert all(isinstance(each, TooMuchHeld) for each in outcomes if isinstance(each, BaseException))
    return sum(not isinstance(each, BaseException) for each in outcomes)


async def test_a_customer_with_too_many_unpaid_orders_must_pay_one_first(shop: Shop) -> None:
    first, *_ = await held(shop, HOLDS_MAX)
    with pytest.raises(TooMuchHeld, match="3 unpaid orders") as refusal:
        await shops.buy(shop, CUP=1)
    assert refusal.value.extra == {"limit": "orders"}
    assert await shops.levels(shop, "CUP") == (1_000, 0)
    await shops.pay(shop, await shop.orders.get(first))
    await shops.buy(shop, CUP=1)


async def test_a_cancelled_order_holds_nothing(shop: Shop) -> None:
    first, *_ = await held(shop, HOLDS_MAX)
    await shop.orders.cancel(await shop.orders.get(first), "u1")
    await shops.buy(shop, CUP=1)


async def test_others_may_hold_as_much(shop: Shop) -> None:
    await held(shop, HOLDS_MAX)
    await shops.buy(shop, "u2", CUP=1)


async def test_the_first_order_counts_itself(shop: Shop) -> None:
    await held(shop, 0)
    with pytest.raises(TooMuchHeld, match=f"may hold {SKU_UNITS_MAX}"):
        await shops.buy(shop, TEA=SKU_UNITS_MAX + 1)
    with pytest.raises(TooMuchHeld, match=f"{UNITS_MAX} unpaid units"):
        await shops.buy(shop, TEA=SKU_UNITS_MAX, CUP=UNITS_MAX - SKU_UNITS_MAX + 1)
    assert await shops.levels(shop, "TEA") == (1_000, 0)


async def test_more_units_of_a_sku_than_allowed_are_not_held_in_several_orders(shop: Shop) -> None:
    await held(shop, 0)
    await shops.buy(shop, TEA=SKU_UNITS_MAX - 1)
    with pytest.raises(TooMuchHeld, match=f"hold {SKU_UNITS_MAX - 1} of TEA"):
        await shops.buy(shop, TEA=2)
    await shops.buy(shop, TEA=1, CUP=1)


async def test_a_verified_account_holds_more_orders_and_more_units(shop: Shop) -> None:
    await verify(shop, "u1")
    await held(shop, HOLDS_MAX + 1)
    await shops.buy(shop, CUP=2 * SKU_UNITS_MAX)
    with pytest.raises(TooMuchHeld):
        await shops.buy(shop, CUP=1)


async def test_a_line_above_the_maximum_of_its_sku_is_refused_whoever_asks(shop: Shop) -> None:
    await verify(shop, "u1")
    await held(shop, 0)
    await shop.offers.put([Offer("CUP", "p-CUP", "Cup", 250, "GBP", True, max_per_order=2)])
    with pytest.raises(OrderTooLarge) as refusal:
        await shops.buy(shop, TEA=2 * SKU_UNITS_MAX + 1, CUP=3)
    assert [error["path"] for error in refusal.value.extra["errors"]] == ["items[0].quantity", "items[1].quantity"]
    assert refusal.value.extra["limits"] == [{"sku": "TEA", "maxPerOrder": 20}, {"sku": "CUP", "maxPerOrder": 2}]
    await shops.buy(shop, CUP=2)
    with pytest.raises(TooMuchHeld, match="may hold 2"):
        await shops.buy(shop, CUP=1)


async def test_too_little_stock_is_said_before_what_one_customer_may_hold(shop: Shop) -> None:
    await shops.stock(shop, TEA=SKU_UNITS_MAX)
    with pytest.raises(InsufficientStock):
        await shops.buy(shop, TEA=SKU_UNITS_MAX + 1)


async def test_scarce_goods_are_kept_for_verified_accounts(shop: Shop) -> None:
    await held(shop, 0)
    await shop.offers.put([Offer("CUP", "p-CUP", "Cup", 250, "GBP", True, verified_only=True)])
    with pytest.raises(VerificationNeeded) as refusal:
        await shops.buy(shop, TEA=1, CUP=1)
    assert refusal.value.extra == {"skus": ["CUP"]}
    await verify(shop, "u1")
    await shops.buy(shop, TEA=1, CUP=1)


async def test_a_repeated_checkout_is_answered_as_before_however_much_is_held_by_then(shop: Shop) -> None:
    await held(shop, HOLDS_MAX - 1)
    placed = await shops.buy(shop, key=shops.key("k1"), CUP=1)
    assert (await shops.buy(shop, key=shops.key("k1"), CUP=1)).id == placed.id


async def test_a_burst_of_checkouts_holds_exactly_the_limit(shop: Shop) -> None:
    await held(shop, 0)
    assert await burst([shop], 30) == HOLDS_MAX


async def test_a_burst_through_two_processes_holds_exactly_the_limit(
    shop: Shop, config: Config, clock: shops.MovableClock
) -> None:
    await held(shop, 1)
    async with shops.open_shop(config, clock) as other:
        assert await burst([shop, other], 20) == HOLDS_MAX - 1


async def test_an_expired_hold_counts_no_more_swept_or_not(shop: Shop, clock: shops.MovableClock) -> None:
    await held(shop, 2)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    for _ in range(HOLDS_MAX):
        await shops.buy(shop, CUP=1)


@pytest.mark.parametrize("swept", [False, True])
async def test_whoever_lets_holds_run_out_again_and_again_waits_and_then_holds_one_at_a_time(
    shop: Shop, clock: shops.MovableClock, swept: bool
) -> None:
    await held(shop, HOLDS_MAX)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    if swept:
        await shop.expiry.sweep()
    with pytest.raises(TooMuchHeld, match="3 of your orders ran out unpaid") as refusal:
        await shops.buy(shop, CUP=1)
    assert 990 < (refusal.value.retry_after_seconds or 0) <= 1_000
    await shops.buy(shop, "u2", CUP=1)
    clock.advance(1_000)
    await shops.buy(shop, CUP=1)
    with pytest.raises(TooMuchHeld, match="1 unpaid orders"):
        await shops.buy(shop, CUP=1)


async def test_a_hold_given_back_just_before_its_end_ran_out_all_the_same(
    shop: Shop, clock: shops.MovableClock
) -> None:
    placed = await held(shop, HOLDS_MAX)
    clock.advance(shop.config.reservation_ttl_seconds - 1)
    for order_id in placed:
        await shop.orders.cancel(await shop.orders.get(order_id), "u1")
    with pytest.raises(TooMuchHeld, match="ran out unpaid"):
        await shops.buy(shop, CUP=1)


async def test_paid_late_is_paid(shop: Shop, clock: shops.MovableClock) -> None:
    placed = await held(shop, HOLDS_MAX)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shops.pay(shop, await shop.orders.get(placed[0]))
    await shops.buy(shop, CUP=1)


async def test_load_tests_lift_the_limit_with_the_rate_limits(config: Config, clock: shops.MovableClock) -> None:
    async with shops.open_shop(replace(config, rate_limit_scale=1_000_000), clock) as shop:
        await held(shop, HOLDS_MAX * 3)
        await shops.buy(shop, CUP=100)
        assert await shop.stores.database["holders"].count_documents({}) == 0
