"""Back-in-stock notices on real MongoDB and real SMTP: as many people as units, oldest first, nobody twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from lengths import length
from mail_servers import Inboxes, smtp_server
from notice_customers import address, customers, follow_up, restock, told, wait_for
from shops import MovableClock, buy, pay, stock

from service import bootstrap
from service.alerts.models import InStock, TooManySubscriptions
from service.bootstrap import Background, Shop
from service.config import Config
from service.inventory.models import Line, UnknownSku


@pytest.fixture
async def inboxes() -> AsyncIterator[Inboxes]:
    async with smtp_server() as opened:
        yield opened


@pytest.fixture
def config(config: Config, inboxes: Inboxes) -> Config:
    return replace(config, smtp_url=inboxes.url)


@pytest.fixture
async def background(shop: Shop) -> AsyncIterator[Background]:
    wired = bootstrap.background(shop)
    yield wired
    await wired.close()


async def test_three_units_return_and_exactly_the_three_oldest_of_many_are_told(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 40)
    await restock(shop, background, 3)
    assert sorted(told(inboxes)) == [address(0), address(1), address(2)]
    assert await shop.stores.database["subscriptions"].count_documents({"waiting": True}) == 37


async def test_whoever_relays_and_however_often_nobody_is_told_twice(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 20)
    others = [bootstrap.background(shop) for _ in range(4)]
    await shop.inventory.receive([Line("TEA", 5)], "staff")
    await asyncio.gather(*(one.notices.tell("TEA") for one in others), background.relay.relay())
    await shop.stores.database["outbox"].update_many({}, {"$set": {"waiting": True}, "$unset": {"done": 1}})
    await follow_up(background)
    await asyncio.gather(*(one.notices.tell("TEA") for one in others))
    await follow_up(background)
    assert sorted(told(inboxes)) == [address(n) for n in range(5)]


async def test_a_sale_to_somebody_told_does_not_tell_one_more(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 10)
    await restock(shop, background, 3)
    order = await buy(shop, "c0000", TEA=1)
    await follow_up(background)
    await pay(shop, order)
    await follow_up(background)
    assert len(told(inboxes)) == 3


async def test_a_hold_that_comes_and_goes_does_not_tell_one_more_each_time(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 10)
    await restock(shop, background, 3)
    for _ in range(5):
        order = await buy(shop, "c0001", TEA=1)
        await follow_up(background)
        await shop.orders.cancel(order, "c0001")
        await follow_up(background)
    assert len(told(inboxes)) == 3


async def test_units_bought_by_those_told_make_room_for_the_next_who_wait(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 10)
    await restock(shop, background, 3)
    await pay(shop, await buy(shop, "c0000", TEA=1))
    await pay(shop, await buy(shop, "c0001", TEA=1))
    await restock(shop, background, 2)
    assert sorted(told(inboxes)) == [address(n) for n in range(5)]


async def test_after_a_sell_out_the_next_units_go_to_those_who_were_not_told_yet(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 10)
    await restock(shop, background, 3)
    await buy(shop, "a stranger", TEA=3)
    await follow_up(background)
    await restock(shop, background, 3)
    assert sorted(told(inboxes)) == [address(n) for n in range(6)]


async def test_stock_that_arrives_while_holds_exist_is_told_of(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=5)
    await buy(shop, "a stranger", TEA=5)
    await wait_for(shop, background, 4)
    await restock(shop, background, 2)
    assert sorted(told(inboxes)) == [address(0), address(1)]


async def test_an_expired_hold_tells_the_first_who_waits(
    shop: Shop, background: Background, inboxes: Inboxes, clock: MovableClock
) -> None:
    await stock(shop, TEA=1)
    await buy(shop, "a stranger", TEA=1)
    await wait_for(shop, background, 4)
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    await follow_up(background)
    assert told(inboxes) == [address(0)]


async def test_a_notice_nobody_used_for_a_day_makes_room_for_the_next(
    shop: Shop, background: Background, inboxes: Inboxes, clock: MovableClock
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 3)
    await restock(shop, background, 1)
    await background.jobs.run_now("out-of-stock-check")
    await follow_up(background)
    assert told(inboxes) == [address(0)]
    clock.advance(shop.config.notify_claim_seconds + 1)
    result = (await background.jobs.run_now("out-of-stock-check"))["result"]
    await follow_up(background)
    assert (result["told"], told(inboxes)) == (1, [address(0), address(1)])


async def test_stock_gone_again_before_the_mail_goes_out_leaves_the_customer_waiting_at_the_old_place(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 3)
    await shop.inventory.receive([Line("TEA", 1)], "staff")
    while await background.relay.relay():
        pass
    await buy(shop, "a stranger", TEA=1)
    await follow_up(background)
    assert told(inboxes) == []
    await restock(shop, background, 1)
    assert told(inboxes) == [address(0)]


async def test_who_cancels_is_not_told_not_even_by_a_mail_under_way(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 2)
    await background.notices.unsubscribe("TEA", "c0000")
    await shop.inventory.receive([Line("TEA", 1)], "staff")
    while await background.relay.relay():
        pass
    await background.notices.unsubscribe("TEA", "c0001")
    await follow_up(background)
    assert told(inboxes) == []


async def test_who_subscribes_again_after_being_told_waits_at_the_end(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await wait_for(shop, background, 2)
    await restock(shop, background, 1)
    await buy(shop, "a stranger", TEA=1)
    await follow_up(background)
    await wait_for(shop, background, 1)
    await restock(shop, background, 1)
    assert told(inboxes) == [address(0), address(1)]
    await buy(shop, "a stranger", TEA=1)
    await follow_up(background)
    await restock(shop, background, 1)
    assert told(inboxes) == [address(0), address(1), address(0)]


async def test_fifty_taps_on_notify_me_make_one_subscription(shop: Shop, background: Background) -> None:
    await stock(shop, TEA=0)
    await customers(shop, "c0")
    subscriptions = await asyncio.gather(*(background.notices.subscribe("TEA", "c0", None) for _ in range(50)))
    assert [new for _, new in subscriptions].count(True) == 1
    assert len({subscription.id for subscription, _ in subscriptions}) == 1


async def test_what_is_in_stock_cannot_be_waited_for(shop: Shop, background: Background, inboxes: Inboxes) -> None:
    await stock(shop, TEA=2)
    with pytest.raises(InStock):
        await wait_for(shop, background, 1)
    await follow_up(background)
    assert told(inboxes) == []


async def test_without_an_address_the_accounts_own_is_told(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await customers(shop, "c1")
    await stock(shop, TEA=0)
    await background.notices.subscribe("TEA", "c1", None)
    await restock(shop, background, 1)
    assert told(inboxes) == ["c1@example.com"]


async def test_an_unknown_sku_cannot_be_waited_for(background: Background) -> None:
    with pytest.raises(UnknownSku):
        await background.notices.subscribe("NOPE", "c1", "c@example.com")


async def test_one_customer_waits_for_a_bounded_number_of_products(shop: Shop) -> None:
    few = bootstrap.background(replace(shop, config=replace(shop.config, subscriptions_per_user_max=2)))
    await stock(shop, A=0, B=0, C=0)
    await customers(shop, "c1")
    await few.notices.subscribe("A", "c1", "c@example.com")
    await few.notices.subscribe("B", "c1", "c@example.com")
    with pytest.raises(TooManySubscriptions):
        await few.notices.subscribe("C", "c1", "c@example.com")


@pytest.mark.slow
@pytest.mark.long_form
async def test_a_thousand_wait_three_units_return_and_exactly_three_are_told(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    """Slow: subscriptions take their time to make; a thousand is the promised size, two hundred the short form."""
    await stock(shop, TEA=0)
    await wait_for(shop, background, length(200, 1_000))
    await restock(shop, background, 3)
    await background.jobs.run_now("out-of-stock-check")
    await follow_up(background)
    assert sorted(told(inboxes)) == [address(0), address(1), address(2)]
