"""Holds that nobody paid are freed once, by however many sweep; orders that nobody paid are cancelled a day later."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.inventory.models import HoldStatus, Line
from service.orders.models import OrderStatus
from service.payments.models import PaymentUnknown


@pytest.fixture
async def others(config: Config, clock: shops.MovableClock) -> AsyncIterator[list[Shop]]:
    """Two more processes on the same stores."""
    async with shops.open_shop(config, clock) as one, shops.open_shop(config, clock) as two:
        yield [one, two]


async def test_several_shops_that_sweep_at_once_free_each_hold_once(
    shop: Shop, others: list[Shop], clock: shops.MovableClock
):
    await shops.stock(shop, A=500, B=500)
    for user in range(100):
        await shops.buy(shop, user=f"u{user}", A=1, B=2)
    clock.advance(shop.config.reservation_ttl_seconds)
    swept = await asyncio.gather(*(each.expiry.sweep() for each in [shop, *others] for _ in range(2)))
    assert sum(each.released for each in swept) == 100
    assert await shops.levels(shop, "A") == await shops.levels(shop, "B") == (500, 0)
    assert await shop.stores.database["stock_history"].count_documents({"sku": "A", "kind": "expire"}) == 100
    assert await shops.violations(shop) == {}


async def test_a_sweep_goes_on_until_none_is_left_in_batches_of_bounded_size(config: Config, clock: shops.MovableClock):
    async with shops.open_shop(replace(config, sweep_orders_max=7), clock) as shop:
        await shops.stock(shop, A=100)
        for _ in range(30):
            await shops.buy(shop, A=1)
        clock.advance(config.reservation_ttl_seconds + 60)
        swept = await shop.expiry.sweep()
        assert swept.released == 30
        assert 60 <= swept.lag_p50_seconds <= swept.lag_max_seconds < 70
        assert await shops.levels(shop, "A") == (100, 0)


async def test_a_hold_in_time_is_left_alone(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=5)
    await shops.buy(shop, A=1)
    clock.advance(shop.config.reservation_ttl_seconds - 30)
    await shops.buy(shop, A=2)
    clock.advance(31)
    assert (await shop.expiry.sweep()).released == 1
    assert await shops.levels(shop, "A") == (5, 2)


async def test_checkouts_go_on_while_a_burst_of_expiries_is_swept(shop: Shop, clock: shops.MovableClock):
    """TigerBeetle 1657: a burst of expiries must not starve buyers."""
    await shops.stock(shop, A=4_000, B=1_000)
    await asyncio.gather(*(shops.buy(shop, user=f"u{n}", A=1) for n in range(3_000)))
    clock.advance(shop.config.reservation_ttl_seconds)
    sweeping = asyncio.create_task(shop.expiry.sweep())
    placed = meanwhile = 0
    while not sweeping.done():
        await shops.buy(shop, user=f"late{placed}", A=1, B=1)
        placed += 1
        meanwhile += not sweeping.done()
    assert (await sweeping).released == 3_000
    assert meanwhile >= 3
    assert await shops.levels(shop, "A") == (4_000, placed)


async def test_an_order_shows_that_its_hold_expired_and_can_still_be_paid(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=1)
    clock.advance(shop.config.reservation_ttl_seconds)
    for _ in range(2):  # before it is swept and after
        after = await shop.orders.get(order.id)
        (listed,) = (await shop.orders.newest("u1", None, None, 24)).items
        assert after == listed
        assert (after.status, after.reservation.status) == (OrderStatus.PENDING, HoldStatus.EXPIRED)
        await shop.expiry.sweep()
    assert (await shops.pay(shop, order)).status is OrderStatus.PAID


@pytest.mark.parametrize("swept", [False, True])
async def test_an_order_cancelled_after_its_hold_ended_says_that_it_expired(
    shop: Shop, clock: shops.MovableClock, swept: bool
):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=1)
    clock.advance(shop.config.reservation_ttl_seconds)
    if swept:
        await shop.expiry.sweep()
    await shop.orders.cancel(order, "u1")
    after = await shop.orders.get(order.id)
    (held,) = await shop.stores.database["reservations"].find({"orderId": order.id}).to_list(None)
    assert (after.status, after.reservation.status, held["status"]) == (
        OrderStatus.CANCELLED,
        HoldStatus.EXPIRED,
        "expired",
    )
    assert await shops.levels(shop, "A") == (5, 0)
    assert await shops.violations(shop) == {}


async def test_orders_nobody_paid_are_cancelled_a_day_after_their_hold_ended(
    shop: Shop, others: list[Shop], clock: shops.MovableClock
):
    await shops.stock(shop, A=100)
    forgotten = [await shops.buy(shop, A=1) for _ in range(12)]
    bought = await shops.pay(shop, await shops.buy(shop, A=1))
    clock.advance(shop.config.order_abandoned_after_seconds)
    waiting = await shops.buy(shop, A=1)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    cancelled = await asyncio.gather(*(each.orders.cancel_abandoned() for each in [shop, *others]))
    assert sum(cancelled) == len(forgotten)
    for order in forgotten:
        after = await shop.orders.get(order.id)
        assert (after.status, after.cancel_reason, after.history[-1].actor) == (
            OrderStatus.CANCELLED,
            "abandoned",
            "system",
        )
        assert after.reservation.status is HoldStatus.EXPIRED
    assert (await shop.orders.get(bought.id)).status is OrderStatus.PAID
    assert (await shop.orders.get(waiting.id)).status is OrderStatus.PENDING
    assert await shops.violations(shop) == {}


async def test_an_order_with_an_open_payment_is_not_abandoned(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "timeout")
    clock.advance(shop.config.order_abandoned_after_seconds * 2)
    assert await shop.orders.cancel_abandoned() == 0
    assert (await shop.orders.get(order.id)).status is OrderStatus.PENDING


async def test_an_order_abandoned_before_any_sweep_frees_its_stock_itself(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=5)
    await shop.orders.checkout("u1", [Line("A", 2)])
    clock.advance(shop.config.order_abandoned_after_seconds + shop.config.reservation_ttl_seconds + 1)
    assert await shop.orders.cancel_abandoned() == 1
    assert await shops.levels(shop, "A") == (5, 0)
    assert await shops.violations(shop) == {}
