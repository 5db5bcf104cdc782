"""Notices go to whoever has agreed, and to nobody more than a few a day."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from mail_servers import Inboxes, smtp_server
from notice_customers import address, customers, follow_up, link, restock, text, told, wait_for
from shops import MovableClock, buy, stock, stock_all

from service import bootstrap
from service.alerts.models import BadNoticeLink
from service.alerts.recipient_repository import RecipientRepository
from service.alerts.recipients import NoticeLinks, Recipients
from service.auth.models import User
from service.bootstrap import Background, Shop
from service.config import Config
from service.events import AddressVerified
from service.inventory.models import Line


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


async def test_forty_requests_for_a_strangers_address_send_one_question_and_no_notice(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    skus = [f"S{n}" for n in range(40)]
    await stock_all(shop, dict.fromkeys(skus, 0))
    await customers(shop, "eve")
    for sku in skus:
        subscription, _ = await background.notices.subscribe(sku, "eve", "victim@example.com")
        assert subscription.pending
    await shop.inventory.receive([Line(sku, 5) for sku in skus], "staff")
    await follow_up(background)
    assert told(inboxes) == ["victim@example.com"]
    assert "agree" in text(inboxes.mails[0])


async def test_many_accounts_cannot_fill_a_strangers_mailbox_with_questions(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    eves = [f"eve{n}" for n in range(10)]
    await customers(shop, *eves)
    for eve in eves:
        await background.notices.subscribe("TEA", eve, "victim@example.com")
    await follow_up(background)
    assert len(told(inboxes)) == shop.config.notice_confirmations_per_recipient_max


async def test_an_address_that_has_agreed_is_told(shop: Shop, background: Background, inboxes: Inboxes) -> None:
    await stock(shop, TEA=0)
    await customers(shop, "c0")
    await background.notices.subscribe("TEA", "c0", " Friend@EXAMPLE.com ")
    await follow_up(background)
    await background.notices.confirm(link(inboxes.mails[0], "confirm"))
    await restock(shop, background, 1)
    assert told(inboxes) == ["Friend@example.com"] * 2
    assert "is back in stock" in inboxes.mails[1]["Subject"]


async def test_the_link_of_one_user_lets_no_other_write_to_that_address(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await customers(shop, "c0", "eve")
    await background.notices.subscribe("TEA", "c0", "friend@example.com")
    await follow_up(background)
    given = link(inboxes.mails[0], "confirm")
    for forged in (given.replace("-c0", "-eve"), given[:-3] + "-", "0" * 64 + "-eve", "x", given + "a", given.upper()):
        with pytest.raises(BadNoticeLink):
            await background.notices.confirm(forged)
    await background.notices.confirm(given)
    assert (await background.notices.subscribe("TEA", "eve", "friend@example.com"))[0].pending


async def test_an_account_with_an_unverified_address_waits_once_it_is_verified(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await customers(shop, "c0", verified=False)
    subscription, _ = await background.notices.subscribe("TEA", "c0", None)
    assert subscription.pending
    await restock(shop, background, 1)
    assert told(inboxes) == []
    await shop.transactions.run(partial(shop.outbox.add, [AddressVerified("c0", "c0@example.com")]))
    await follow_up(background)
    assert told(inboxes) == ["c0@example.com"]


async def test_one_click_ends_all_notices_to_an_address_until_its_owner_asks_again(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock_all(shop, {"TEA": 0, "CUP": 0})
    await customers(shop, "eve")
    await wait_for(shop, background, 1)
    await wait_for(shop, background, 1, "CUP")
    await restock(shop, background, 1)
    mail = inboxes.mails[0]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].strip("<>") in text(mail)
    for _ in range(2):
        await background.notices.unsubscribe_address(link(mail, "unsubscribe"))
    await shop.inventory.receive([Line("CUP", 1)], "staff")
    await follow_up(background)
    assert len(told(inboxes)) == 1
    await buy(shop, "somebody", CUP=1)
    await background.notices.subscribe("CUP", "eve", address(0))
    await follow_up(background)
    assert len(told(inboxes)) == 1, "not even a question"
    await background.notices.subscribe("CUP", "c0000", None)
    await shop.inventory.receive([Line("CUP", 1)], "staff")
    await follow_up(background)
    assert told(inboxes) == [address(0)] * 2


async def test_an_address_is_sent_a_bounded_number_of_notices_a_day(
    shop: Shop, inboxes: Inboxes, clock: MovableClock
) -> None:
    few = bootstrap.background(replace(shop, config=replace(shop.config, notice_mails_per_recipient_max=2)))
    skus = [f"S{n}" for n in range(5)]
    await stock_all(shop, dict.fromkeys(skus, 0))
    for sku in skus:
        await wait_for(shop, few, 1, sku)
    await shop.inventory.receive([Line(sku, 1) for sku in skus], "staff")
    await follow_up(few)
    assert len(told(inboxes)) == 2
    clock.advance(86_401)
    await few.jobs.run_now("out-of-stock-check")
    await follow_up(few)
    assert len(told(inboxes)) == 4
    await few.close()


async def test_an_address_with_an_umlaut_in_its_domain_is_reached(
    shop: Shop, background: Background, inboxes: Inboxes
) -> None:
    await stock(shop, TEA=0)
    await customers(shop, "c0")
    await background.notices.subscribe("TEA", "c0", "user@m\u00fcnchen.de")
    await follow_up(background)
    assert told(inboxes) == ["user@xn--mnchen-3ya.de"]


async def test_what_an_address_said_holds_after_the_secret_was_replaced(shop: Shop) -> None:
    old, new = "an old secret of more than thirty-two bytes", "a new secret of more than thirty-two bytes"
    repository = RecipientRepository(shop.stores.database, shop.clock)
    user = User("eve", "eve@example.com", "Eve", "customer", "-", shop.clock.now(), shop.clock.now(), True)

    def under(secret: str) -> Recipients:
        config = replace(shop.config, secret=secret)
        return Recipients(repository, NoticeLinks(config), shop.clock, config)

    before = under(old)
    await before.confirm(before.links.confirm(before.links.mark("yes@example.com"), "eve"))
    await before.unsubscribe(before.links.unsubscribe(before.links.mark("no@example.com")))
    between = under(f"{new},{old}")
    assert await between.agreed(user, "yes@example.com")
    assert await between.ask(user, "no@example.com") == []
    after = under(new)
    assert await after.agreed(user, "yes@example.com")
    assert await after.has_unsubscribed(after.links.mark("no@example.com"))
