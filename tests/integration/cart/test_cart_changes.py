"""Carts on real stores: fresh prices, no lost lines, one merge, one order."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.cart.models import (
    CartChangedDuringCheckout,
    CartFull,
    CartVersionMismatch,
    EmptyCart,
    LineState,
    NotSold,
    Owner,
)
from service.config import Config
from service.inventory.models import InsufficientStock
from service.orders.models import UnknownItems

ME = Owner.user("u1")
GUEST = Owner.visitor("g" * 64)


async def outcomes(*calls: Any) -> list[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(type(answer).__name__ for answer in answers)


async def quantities(shop: Shop, owner: Owner = ME) -> dict[str, int]:
    return {line.sku: line.quantity for line in (await shop.carts.view(owner)).lines}


async def test_a_cart_shows_todays_price_and_availability_and_holds_no_stock(shop: Shop):
    await shops.stock(shop, price=100, A=5)
    await shop.carts.put(ME, "A", 2)
    await shop.stores.database["offers"].update_one({"_id": "A"}, {"$set": {"price": 120}})
    await shops.buy(shop, user="u2", A=4)
    cart = await shop.carts.view(ME)
    [line] = cart.lines
    assert (line.unit_price, line.previous_unit_price, line.line_total, cart.subtotal) == (120, 100, 240, 240)
    assert (line.available, line.state) == (1, LineState.SHORT)
    assert await shops.levels(shop, "A") == (5, 4)


async def test_a_line_that_cannot_be_bought_says_why(shop: Shop):
    await shops.stock(shop, GONE=0, OLD=5, FINE=5)
    for sku in ("GONE", "OLD", "FINE"):
        await shop.carts.put(ME, sku, 1)
    await shop.stores.database["offers"].update_one({"_id": "OLD"}, {"$set": {"active": False}})
    cart = await shop.carts.view(ME)
    assert [line.state.value for line in cart.lines] == ["sold_out", "archived", "available"]
    assert [line.available for line in cart.lines] == [0, 0, 5]
    assert cart.subtotal == 2 * shops.PRICE


async def test_what_is_not_sold_cannot_be_put_in(shop: Shop):
    await shops.stock(shop, OLD=5)
    await shop.stores.database["offers"].update_one({"_id": "OLD"}, {"$set": {"active": False}})
    for sku in ("OLD", "NOPE"):
        with pytest.raises(NotSold):
            await shop.carts.put(ME, sku, 1)


async def test_two_tabs_that_put_different_things_at_once_lose_none(shop: Shop):
    skus = {f"S{n}": 5 for n in range(20)}
    await shops.stock_all(shop, skus)
    await asyncio.gather(*(shop.carts.put(ME, sku, 1) for sku in skus))
    assert await quantities(shop) == dict.fromkeys(skus, 1)
    assert (await shop.carts.view(ME)).version == 20


async def test_two_tabs_that_put_the_same_thing_at_once_have_one_line_of_it(shop: Shop):
    await shops.stock(shop, A=50)
    await asyncio.gather(*(shop.carts.put(ME, "A", quantity) for quantity in range(1, 11)))
    found = await quantities(shop)
    assert list(found) == ["A"]
    assert 1 <= found["A"] <= 10


async def test_a_tab_that_looked_before_the_other_changed_is_told_so(shop: Shop):
    await shops.stock(shop, A=50, B=50)
    seen = (await shop.carts.put(ME, "A", 1)).version
    await shop.carts.put(ME, "B", 1, version=seen)
    for stale in (
        shop.carts.put(ME, "A", 9, version=seen),
        shop.carts.remove(ME, "A", version=seen),
        shop.carts.clear(ME, version=seen),
    ):
        with pytest.raises(CartVersionMismatch) as refused:
            await stale
        assert refused.value.extra == {"version": seen + 1}
    assert await quantities(shop) == {"A": 1, "B": 1}


async def test_of_two_tabs_with_the_same_version_one_wins(shop: Shop):
    await shops.stock(shop, A=50, B=50)
    assert await outcomes(shop.carts.put(ME, "A", 1, version=0), shop.carts.put(ME, "B", 1, version=0)) == [
        "CartVersionMismatch",
        "PricedCart",
    ]


async def test_zero_removes_and_removing_twice_is_removing_once(shop: Shop):
    await shops.stock(shop, A=50, B=50)
    await shop.carts.put(ME, "A", 1)
    await shop.carts.put(ME, "B", 1)
    await shop.carts.put(ME, "A", 0)
    await shop.carts.remove(ME, "A")
    assert await quantities(shop) == {"B": 1}
    await shop.carts.clear(ME)
    assert await quantities(shop) == {}


async def test_a_cart_has_room_for_so_many_lines_and_no_more(config: Config, clock: shops.MovableClock):
    async with shops.open_shop(replace(config, cart_lines_max=3), clock) as shop:
        await shops.stock(shop, A=5, B=5, C=5, D=5, E=5)
        names = await outcomes(*(shop.carts.put(ME, sku, 1) for sku in "ABCDE"))
        assert names == ["CartFull"] * 2 + ["PricedCart"] * 3
        kept = await quantities(shop)
        await shop.carts.put(ME, next(iter(kept)), 4)
        assert len(await quantities(shop)) == 3


async def test_after_login_the_guests_cart_joins_the_users_once_however_often_it_is_asked(shop: Shop):
    await shops.stock(shop, A=50, B=50, C=50)
    await shop.carts.put(ME, "A", 1)
    await shop.carts.put(GUEST, "A", 2)
    await shop.carts.put(GUEST, "B", 3)
    await asyncio.gather(*(shop.carts.merge(GUEST, ME) for _ in range(4)))
    assert await quantities(shop) == {"A": 3, "B": 3}
    assert await quantities(shop, GUEST) == {}


async def test_a_line_put_in_while_carts_are_merged_is_not_lost(shop: Shop):
    await shops.stock(shop, A=50, B=50, C=50)
    for _ in range(5):
        await shop.carts.clear(ME)
        await shop.carts.put(GUEST, "B", 1)
        await asyncio.gather(shop.carts.merge(GUEST, ME), shop.carts.put(ME, "C", 1))
        assert await quantities(shop) == {"B": 1, "C": 1}


async def test_a_merge_that_would_overflow_leaves_both_carts_as_they_were(config: Config, clock: shops.MovableClock):
    async with shops.open_shop(replace(config, cart_lines_max=2), clock) as shop:
        await shops.stock(shop, A=5, B=5, C=5)
        await shop.carts.put(ME, "A", 1)
        await shop.carts.put(GUEST, "B", 1)
        await shop.carts.put(GUEST, "C", 1)
        with pytest.raises(CartFull):
            await shop.carts.merge(GUEST, ME)
        assert (await quantities(shop), await quantities(shop, GUEST)) == ({"A": 1}, {"B": 1, "C": 1})


async def test_a_guests_cart_expires_and_a_users_does_not(shop: Shop, clock: shops.MovableClock):
    await shops.stock(shop, A=5)
    await shop.carts.put(ME, "A", 1)
    await shop.carts.put(GUEST, "A", 1)
    kept = {cart["_id"]: cart.get("expiresAt") async for cart in shop.stores.database["carts"].find({})}
    assert kept[ME.id] is None
    assert kept[GUEST.id] - clock.now() > timedelta(days=29)
    indexes = await shop.stores.database["carts"].index_information()
    assert indexes["expiresAt_1"]["expireAfterSeconds"] == 0


async def test_a_cart_becomes_an_order_and_is_empty_with_it(shop: Shop):
    await shops.stock(shop, A=5, B=5)
    await shop.carts.put(ME, "A", 2)
    await shop.carts.put(ME, "B", 1)
    order = (await shop.orders.checkout_cart("u1")).order
    assert [(line.sku, line.quantity) for line in order.lines] == [("A", 2), ("B", 1)]
    assert await quantities(shop) == {}
    with pytest.raises(EmptyCart):
        await shop.orders.checkout_cart("u1")


async def test_a_cart_is_kept_when_its_checkout_is_refused(shop: Shop):
    await shops.stock(shop, A=1, B=5)
    await shop.carts.put(ME, "A", 2)
    await shop.carts.put(ME, "B", 2)
    with pytest.raises(InsufficientStock):
        await shop.orders.checkout_cart("u1")
    await shop.stores.database["offers"].update_one({"_id": "B"}, {"$set": {"active": False}})
    with pytest.raises(UnknownItems):
        await shop.orders.checkout_cart("u1")
    assert await quantities(shop) == {"A": 2, "B": 2}
    assert await shops.levels(shop, "B") == (5, 0)


async def test_one_cart_checked_out_in_two_tabs_at_once_is_bought_once(shop: Shop):
    await shops.stock(shop, A=50)
    for _ in range(5):
        await shop.carts.put(ME, "A", 1)
        names = await outcomes(shop.orders.checkout_cart("u1"), shop.orders.checkout_cart("u1"))
        assert names in (["CartChangedDuringCheckout", "OrderResult"], ["EmptyCart", "OrderResult"])
    assert await shops.levels(shop, "A") == (50, 5)


async def test_a_line_put_in_during_a_checkout_is_ordered_or_kept_never_lost(shop: Shop):
    await shops.stock(shop, A=500, B=500)
    for _ in range(10):
        await shop.carts.clear(ME)
        await shop.carts.put(ME, "A", 1)
        answer, _ = await asyncio.gather(
            shop.orders.checkout_cart("u1"), shop.carts.put(ME, "B", 1), return_exceptions=True
        )
        if isinstance(answer, CartChangedDuringCheckout):
            assert await quantities(shop) == {"A": 1, "B": 1}
        else:
            ordered = {line.sku for line in answer.order.lines}
            assert ordered | set(await quantities(shop)) == {"A", "B"}
            assert not ordered & set(await quantities(shop))


async def test_a_repeated_checkout_of_a_cart_is_answered_as_at_first_though_the_cart_has_new_things(shop: Shop):
    await shops.stock(shop, A=50, B=50)
    key = shops.key("u1:k")
    await shop.carts.put(ME, "A", 1)
    first = await shop.orders.checkout_cart("u1", key)
    empty = await shop.orders.checkout_cart("u1", key)
    await shop.carts.put(ME, "B", 1)
    full = await shop.orders.checkout_cart("u1", key)
    assert (empty.replayed, full.replayed) == (True, True)
    assert first.order == empty.order == full.order
    assert await quantities(shop) == {"B": 1}
