"""Coupons: their limits hold under concurrency, and a use that came to nothing is given back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.inventory.models import InsufficientStock, Line
from service.orders import postings
from service.orders.coupons import CouponMoved
from service.orders.models import (
    CouponChanged,
    CouponExists,
    CouponKind,
    CouponNotValid,
    CouponUsedUp,
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
)
from service.payments.models import PaymentDeclined


@pytest.fixture
async def other(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    async with shops.open_shop(config, clock) as opened:
        yield opened


async def use(shop: Shop, code: str = "SPRING", user: str = "u1", quantity: int = 1, **more: Any) -> Order:
    return (await shop.orders.checkout(user, [Line("A", quantity)], coupon_code=code, **more)).order


async def used(shop: Shop) -> int:
    return (await shop.coupons.get("SPRING")).used


async def outcomes(*calls: Any) -> list[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(type(answer).__name__ for answer in answers)


async def test_a_percentage_and_a_fixed_coupon_take_off_what_they_say(shop: Shop):
    await shops.stock(shop, price=999, A=50)
    await shop.coupons.create("spring", CouponKind.PERCENTAGE, 10)
    await shop.coupons.create("FIVER", CouponKind.FIXED, 500)
    tenth, fiver = await use(shop, "Spring"), await use(shop, "fiver")
    assert (tenth.subtotal, tenth.discount, tenth.total, tenth.coupon) == (999, 99, 900, "SPRING")
    assert (fiver.discount, fiver.total) == (500, 499)
    paid = await shops.pay(shop, tenth)
    charge = await shop.stores.database["gateway_charges"].find_one({"_id": paid.payment.id})
    assert charge["amount"] == 900


async def test_the_last_use_goes_to_one_of_a_hundred(shop: Shop, other: Shop):
    await shops.stock(shop, A=500)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=7)
    names = await outcomes(*(use((shop, other)[n % 2], user=f"u{n}") for n in range(100)))
    assert names == ["CouponUsedUp"] * 93 + ["Order"] * 7
    assert await used(shop) == 7
    assert await shops.levels(shop, "A") == (500, 7), "a refused coupon holds no stock"


async def test_one_user_uses_it_as_often_as_one_user_may_also_from_two_devices(shop: Shop, other: Shop):
    await shops.stock(shop, A=500)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_per_user_max=2)
    mine = await outcomes(*(use((shop, other)[n % 2]) for n in range(20)))
    assert mine == ["CouponUsedUp"] * 18 + ["Order"] * 2
    assert (await use(shop, user="u2")).discount == 25
    assert await used(shop) == 3


async def test_a_use_that_came_to_nothing_is_given_back(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1, uses_per_user_max=1)

    cancelled = await use(shop)
    with pytest.raises(CouponUsedUp):
        await use(shop)
    await shop.orders.cancel(cancelled, "u1")

    declined = await use(shop)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, declined, "decline")

    await use(shop)
    clock.advance(shop.config.order_abandoned_after_seconds + shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    await shop.orders.cancel_abandoned()

    await shops.pay(shop, await use(shop))
    assert await used(shop) == 1


async def test_a_coupon_comes_back_when_its_hold_ends_and_not_a_day_later(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1, uses_per_user_max=1)
    order = await use(shop)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    assert (await shop.expiry.sweep()).released == 1
    assert await used(shop) == 0
    await shop.orders.cancel(await shop.orders.get(order.id), "u1")
    assert await used(shop) == 0, "given back once: by the sweep, and not again by the cancel"
    await shops.pay(shop, await use(shop))
    assert await used(shop) == 1
    assert await shops.violations(shop) == {}


async def test_simultaneous_sweeps_and_cancels_give_a_coupon_back_once(
    shop: Shop, other: Shop, clock: shops.MovableClock
):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    orders = [await use(shop, user=f"u{n}") for n in range(6)]
    await shops.pay(shop, await use(shop, user="payer"))
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    cancels = [each.orders.cancel(order, order.user_id) for order in orders for each in (shop, other)]
    await asyncio.gather(shop.expiry.sweep(), *cancels, other.expiry.sweep(), return_exceptions=True)
    assert {(await shop.orders.get(order.id)).status for order in orders} == {OrderStatus.CANCELLED}
    assert await used(shop) == 1
    assert await shops.violations(shop) == {}


async def test_who_pays_after_the_hold_uses_the_coupon_again_if_nobody_else_has(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1)
    late = await use(shop, user="late")
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    other = await use(shop, user="other")
    with pytest.raises(CouponUsedUp):
        await shops.pay(shop, late)
    assert await shop.stores.database["gateway_charges"].count_documents({"orderId": late.id}) == 0
    await shop.orders.cancel(other, "other")
    paid = await shops.pay(shop, late)
    assert (paid.total, await used(shop)) == (225, 1)
    assert await shops.violations(shop) == {}


async def test_a_declined_payment_after_the_hold_gives_the_coupon_back(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1)
    order = await use(shop)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, "decline")
    assert await used(shop) == 0
    assert await shops.violations(shop) == {}


async def test_a_sweep_leaves_the_coupon_to_a_payment_that_is_under_way(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1)
    order = await use(shop)
    attempt = Payment(shop.ids.new(), PaymentStatus.PROCESSING, "ok", clock.now())
    await shop.ledger.post(postings.claimed(order, attempt))
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    assert (await shop.expiry.sweep()).released == 1
    assert await used(shop) == 1, "the payment may still be a sale"
    await shop.settlement.reconcile()
    assert await used(shop) == 0, "the provider never heard of it"
    assert await shops.violations(shop) == {}


async def test_a_use_is_given_back_once_however_often_it_is_cancelled(shop: Shop):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    await use(shop)
    order = await use(shop)
    assert await outcomes(*(shop.orders.cancel(order, "u1") for _ in range(5))) == ["Answer"] + ["WrongStatus"] * 4
    assert await used(shop) == 1


async def test_orders_that_nobody_ever_paid_are_not_kept_for_good(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=50)
    unpaid, paid = await shops.buy(shop, A=1), await shops.pay(shop, await shops.buy(shop, A=1))
    refused = await shops.buy(shop, A=1)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, refused, "decline")
    waiting = await shops.buy(shop, A=1)
    await shop.orders.cancel(unpaid, "u1")
    clock.advance(shop.config.unpaid_orders_kept_seconds - 60)
    assert await shop.orders.forget_never_paid() == 0
    clock.advance(120)
    await shop.expiry.sweep()
    assert await shop.orders.forget_never_paid() == 2
    left = {order["_id"] async for order in shop.stores.database["orders"].find()}
    assert left == {paid.id, waiting.id}
    assert await shop.stores.database["reservations"].count_documents({}) == 2
    assert await shops.violations(shop) == {}


async def test_a_checkout_without_stock_uses_no_coupon(shop: Shop):
    await shops.stock(shop, A=1)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1)
    with pytest.raises(InsufficientStock):
        await use(shop, quantity=2)
    assert await used(shop) == 0


async def test_a_repeated_checkout_uses_it_once(shop: Shop):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10, uses_max=1)
    orders = await asyncio.gather(*(use(shop, key=shops.key("u1:k")) for _ in range(5)))
    assert len({order.id for order in orders}) == 1
    assert await used(shop) == 1


async def test_unknown_and_switched_off_coupons_are_told_apart_by_nobody(shop: Shop):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    await shop.coupons.edit("SPRING", None, active=False)
    messages = []
    for code in ("SPRING", "NEVER-WAS"):
        with pytest.raises(CouponNotValid) as refused:
            await use(shop, code)
        messages.append(refused.value.extra)
    assert messages[0] == messages[1]


async def test_a_coupon_switched_off_during_a_checkout_is_not_used(shop: Shop):
    """The price was worked out with the coupon as it was: the posting must find it unchanged."""
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    usable = shop.coupons.usable

    async def switched_off_after_reading(code: str) -> Any:
        coupon = await usable(code)
        await shop.coupons.edit(code, None, active=False)
        return coupon

    shop.coupons.usable = switched_off_after_reading
    with pytest.raises(CouponChanged):
        await use(shop)
    assert await used(shop) == 0
    assert await shops.levels(shop, "A") == (50, 0)


async def test_two_staff_who_edit_a_coupon_at_once_do_not_undo_each_other(shop: Shop):
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    seen = (await shop.coupons.get("SPRING")).version
    names = await outcomes(
        shop.coupons.edit("SPRING", seen, uses_max=5), shop.coupons.edit("SPRING", seen, active=False)
    )
    assert names == ["Coupon", "CouponMoved"]
    with pytest.raises(CouponMoved):
        await shop.coupons.edit("SPRING", seen, uses_max=6)


async def test_an_edit_keeps_the_count_of_uses_made_meanwhile(shop: Shop):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    await asyncio.gather(
        *(use(shop, user=f"u{n}") for n in range(10)),
        shop.coupons.edit("SPRING", None, uses_max=99),
        return_exceptions=True,
    )
    placed = await shop.stores.database["orders"].count_documents({"coupon": "SPRING"})
    assert await used(shop) == placed


async def test_a_code_is_given_out_once(shop: Shop):
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    with pytest.raises(CouponExists):
        await shop.coupons.create("spring", CouponKind.FIXED, 10)


async def test_a_discounted_order_gives_back_to_the_penny_what_was_paid(shop: Shop):
    await shops.stock(shop, price=333, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 15)
    order = await shops.pay(shop, await use(shop, quantity=3))
    for _ in range(3):
        await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    after = await shop.orders.get(order.id)
    assert (after.status.value, after.refunded) == ("refunded", order.total)
    assert await shops.violations(shop) == {}


async def test_a_coupon_that_pays_for_everything_makes_a_free_order(shop: Shop):
    await shops.stock(shop, A=50)
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 100)
    await shops.pay(shop, await shops.buy(shop, A=1))
    order = await shops.pay(shop, await use(shop))
    assert (order.status.value, order.total) == ("paid", 0)
    assert await shops.violations(shop) == {}
