"""Wishes: kept newest first, and told of goods that are back."""

import asyncio
from typing import Any

import pytest
import shops

from service import bootstrap
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.cart.models import NotSold
from service.inventory.models import Line


@pytest.fixture
def background(shop: Shop) -> Background:
    return bootstrap.background(shop)


async def user(shop: Shop, name: str) -> str:
    now = shop.clock.now()
    made = User(name, f"{name}@example.org", name, "customer", "-", now, now, email_verified=True)
    await UserRepository(shop.stores.database).add(made)
    return name


async def waiting(shop: Shop, sku: str) -> list[str]:
    found = shop.stores.database["subscriptions"].find({"sku": sku, "waiting": True})
    return [subscription["userId"] async for subscription in found]


async def relay(background: Background) -> None:
    while await background.relay.relay():
        pass


async def test_wishes_are_listed_newest_first_page_by_page_with_todays_price(
    shop: Shop, background: Background, clock: shops.MovableClock
):
    await shops.stock(shop, A=5, B=5, C=5)
    for sku in "ABC":
        await background.wishlists.put("u1", sku, notify=False)
        clock.advance(1)
    first = await background.wishlists.newest("u1", None, 2)
    second = await background.wishlists.newest("u1", first.next_before, 2)
    assert [item.wish.sku for page in (first, second) for item in page.items] == ["C", "B", "A"]
    assert second.next_before is None
    assert first.items[0].offer.unit_price == shops.PRICE


async def test_wishing_twice_is_wishing_once_at_the_first_time(shop: Shop, background: Background, clock: Any):
    await shops.stock(shop, A=5)
    first = await background.wishlists.put("u1", "A", notify=False)
    clock.advance(10)
    again = await background.wishlists.put("u1", "A", notify=True)
    assert again.wish.added_at == first.wish.added_at
    assert again.wish.notify
    assert len((await background.wishlists.newest("u1", None, 9)).items) == 1


async def test_what_is_not_sold_cannot_be_wished_for(shop: Shop, background: Background):
    with pytest.raises(NotSold):
        await background.wishlists.put("u1", "NOPE", notify=True)


async def test_a_wish_for_what_is_sold_out_waits_for_it_and_is_told(shop: Shop, background: Background):
    await shops.stock(shop, A=0)
    await background.wishlists.put(await user(shop, "u1"), "A", notify=True)
    assert await waiting(shop, "A") == ["u1"]
    await shop.inventory.receive([Line("A", 1)], "staff")
    await relay(background)
    assert await waiting(shop, "A") == []
    mails = [
        fact
        async for entry in shop.stores.database["outbox"].find({})
        for fact in entry["facts"]
        if fact["name"] == "mail_requested"
    ]
    assert [(mail["to"], mail["template"]) for mail in mails] == [("u1@example.org", "back_in_stock")]


async def test_those_who_wished_for_what_sells_out_wait_from_then_on(shop: Shop, background: Background):
    await shops.stock(shop, A=2)
    for name in ("u1", "u2", "u3"):
        await background.wishlists.put(await user(shop, name), "A", notify=name != "u3")
    assert await waiting(shop, "A") == [], "it can be bought: nothing to wait for"
    await shops.buy(shop, user="u9", A=2)
    await asyncio.gather(relay(background), relay(background))
    assert sorted(await waiting(shop, "A")) == ["u1", "u2"]


async def test_a_wish_taken_back_waits_for_nothing(shop: Shop, background: Background):
    await shops.stock(shop, A=0, B=0)
    await user(shop, "u1")
    for sku in "AB":
        await background.wishlists.put("u1", sku, notify=True)
    await background.wishlists.remove("u1", "A")
    await background.wishlists.remove("u1", "A")
    await background.wishlists.put("u1", "B", notify=False)
    assert await waiting(shop, "A") == await waiting(shop, "B") == []
