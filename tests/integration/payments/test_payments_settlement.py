"""Paying on real stores: three outcomes, lost answers, crashes between money and stock, and everybody at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.errors import Problem
from service.inventory.models import HoldStatus, KeyReused, Line, ReservationExpired
from service.orders.models import (
    IdempotencyInProgress,
    Order,
    OrderStatus,
    PaymentInProgress,
    PaymentStatus,
    WrongStatus,
)
from service.payments.models import Charge, ChargeOutcome, PaymentDeclined, PaymentUnknown
from service.payments.simulator import SimulatedGateway


class Died(BaseException):
    """The process is gone: nothing that catches Exception sees it."""


class TroubledGateway(SimulatedGateway):
    """The simulator behind a bad line: calls may hang, answers get lost, the process may die while it waits."""

    hangs = dies = refuses_refunds = False
    charges = 0

    async def charge(self, charge: Charge) -> ChargeOutcome:
        self.charges += 1
        outcome = await super().charge(charge)
        if self.hangs:
            await asyncio.sleep(60)
        if self.dies:
            raise Died
        return outcome

    async def refund(self, payment_id: str, refund_id: str, amount: int) -> bool:
        return not self.refuses_refunds and await super().refund(payment_id, refund_id, amount)


@pytest.fixture
async def shop(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    quick = replace(config, payment_timeout_seconds=0.6)
    async with shops.open_shop(quick, clock) as opened:
        object.__setattr__(opened, "gateway", TroubledGateway(opened.stores.database, clock))
        for usecase in (opened.settlement, opened.refunds):
            usecase._gateway = opened.gateway
        await shops.stock(opened, A=5)
        yield opened


async def kept(shop: Shop, order: Order) -> int:
    """What the provider keeps of an order's charges, in minor units."""
    charges = await shop.stores.database["gateway_charges"].find({"orderId": order.id, "status": "paid"}).to_list(None)
    return sum(charge["amount"] - charge["refunded"] for charge in charges)


async def outcomes(*calls: Any) -> list[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(type(answer).__name__ for answer in answers)


async def expire(shop: Shop, clock: shops.MovableClock) -> None:
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()


async def test_paying_takes_the_money_once_and_the_stock_once(shop: Shop):
    order = await shops.pay(shop, await shops.buy(shop, A=2))
    assert (order.status, order.reservation.status) == (OrderStatus.PAID, HoldStatus.CONFIRMED)
    assert await kept(shop, order) == order.total
    assert await shops.levels(shop, "A") == (3, 0)


async def test_a_lost_answer_is_unknown_and_asking_again_finds_it_paid(shop: Shop):
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "timeout")
    assert (await shop.orders.get(order.id)).payment.status is PaymentStatus.UNKNOWN
    assert await shops.levels(shop, "A") == (5, 2)
    assert (await shops.pay(shop, order, "timeout")).status is OrderStatus.PAID
    assert await kept(shop, order) == order.total


async def test_a_lost_request_is_closed_so_that_it_is_never_charged_later(shop: Shop):
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "unknown")
    payment_id = (await shop.orders.get(order.id)).payment.id
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, "ok")
    late = Charge(payment_id, order.total, "GBP", "ok", order.id)
    assert await shop.gateway.charge(late) is ChargeOutcome.DECLINED
    assert await kept(shop, order) == 0
    assert await shops.levels(shop, "A") == (5, 0)


async def test_a_provider_that_hangs_costs_the_caller_the_timeout_and_no_more(shop: Shop):
    shop.gateway.hangs = True
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await asyncio.wait_for(shops.pay(shop, order), 3)
    shop.gateway.hangs = False
    assert (await shops.pay(shop, order)).status is OrderStatus.PAID


async def test_no_lock_is_held_while_the_provider_thinks(shop: Shop):
    """Saleor 11069, Medusa 14804: a slow payment stood in the way of every other buyer of its SKUs."""
    shop.gateway.hangs = True
    paying = asyncio.create_task(shops.pay(shop, await shops.buy(shop, A=1)))
    await asyncio.sleep(0.05)
    assert not paying.done()
    await asyncio.wait_for(shops.buy(shop, user="u2", A=1), 0.5)
    with pytest.raises(PaymentUnknown):
        await paying


async def crash_while_paying(shop: Shop, order: Order, key: Any = None) -> None:
    """The process dies after the provider took the money and before the posting."""
    shop.gateway.dies = True
    with pytest.raises(Died):
        await shop.settlement.pay(await shop.orders.get(order.id), "ok", key)
    shop.gateway.dies = False


async def test_a_crash_between_money_and_stock_is_reconciled_to_paid(shop: Shop, clock: shops.MovableClock):
    order = await shops.buy(shop, A=2)
    await crash_while_paying(shop, order)
    assert await shop.settlement.reconcile() == 0, "too young: its process may still be at it"
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await shop.settlement.reconcile() == 1
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    assert await kept(shop, order) == order.total
    assert await shop.settlement.reconcile() == 0
    assert await shops.violations(shop) == {}


async def test_a_repetition_after_a_reconciled_crash_is_answered_as_the_first_would_have_been(
    shop: Shop, clock: shops.MovableClock
):
    key, order = shops.key("u1:p"), await shops.buy(shop, A=2)
    await crash_while_paying(shop, order, key)
    with pytest.raises(IdempotencyInProgress):
        await shops.pay(shop, order, key=key)
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    await shop.settlement.reconcile()
    answer = await shop.settlement.pay(await shop.orders.get(order.id), "ok", key)
    assert (answer.replayed, answer.order.status) == (True, OrderStatus.PAID)
    with pytest.raises(KeyReused):
        await shops.pay(shop, order, key=shops.key("u1:p", "another"))


async def test_many_shops_reconcile_at_once_and_each_order_is_settled_once(shop: Shop, clock: shops.MovableClock):
    orders = [await shops.buy(shop, A=1) for _ in range(4)]
    for order in orders:
        await crash_while_paying(shop, order)
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    await asyncio.gather(*(shop.settlement.reconcile() for _ in range(5)))
    assert {(await shop.orders.get(order.id)).status for order in orders} == {OrderStatus.PAID}
    assert await shops.levels(shop, "A") == (1, 0)
    assert await shops.violations(shop) == {}


async def test_paying_after_the_hold_died_reserves_again_if_there_is_stock(shop: Shop, clock: shops.MovableClock):
    order = await shops.buy(shop, A=2)
    await expire(shop, clock)
    assert await shops.levels(shop, "A") == (5, 0)
    paid = await shops.pay(shop, order)
    assert (paid.status, paid.reservation.status) == (OrderStatus.PAID, HoldStatus.CONFIRMED)
    assert await shops.levels(shop, "A") == (3, 0)
    assert await shops.violations(shop) == {}


async def test_paying_after_the_hold_died_returns_the_money_if_the_stock_is_gone(shop: Shop, clock: shops.MovableClock):
    """Saleor 14733, Medusa 4946: charged, and no stock."""
    key, order = shops.key("u1:p"), await shops.buy(shop, A=2)
    await expire(shop, clock)
    await shops.buy(shop, user="u2", A=4)
    for replayed in (False, True):
        with pytest.raises(Problem) as refused:
            await shops.pay(shop, order, key=key)
        assert (refused.value.code, refused.value.replayed) == ("reservation_expired", replayed)
    after = await shop.orders.get(order.id)
    assert (after.status, after.cancel_reason) == (OrderStatus.CANCELLED, "reservation_expired")
    assert after.payment.status is PaymentStatus.RETURNED
    assert await kept(shop, order) == 0
    assert shop.gateway.charges == 1
    assert await shops.violations(shop) == {}


@pytest.mark.parametrize("key", [None, shops.key("u1:p")], ids=["without a key", "with a key"])
async def test_what_another_process_sells_just_after_the_stock_was_gone_here_stays_sold_and_paid(
    shop: Shop, config: Config, clock: shops.MovableClock, key: Any, monkeypatch: pytest.MonkeyPatch
):
    """The simulation's seed 4710: stock comes back between a refusal here and its posting; a webhook, elsewhere, sells.
    The money was returned all the same."""
    order = await shops.buy(shop, A=2)
    await expire(shop, clock)
    await shops.buy(shop, user="u2", A=4)
    async with shops.open_shop(config, clock) as elsewhere:
        post = shop.ledger.post

        async def overtaken(posting: Any) -> Any:
            if posting.reason == "payment" and posting.writes[0].update["$set"].get("cancelReason"):
                await shop.inventory.receive([Line("A", 5)], "staff")
                await elsewhere.settlement.settled_by_provider((await shop.orders.get(order.id)).payment.id)
            return await post(posting)

        monkeypatch.setattr(shop.ledger, "post", overtaken)
        paid = await shops.pay(shop, order, key=key)
    assert paid.status is OrderStatus.PAID
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    assert await kept(shop, order) == order.total
    assert await shops.violations(shop) == {}


async def test_a_late_unknown_does_not_hide_that_money_has_to_go_back(
    shop: Shop, config: Config, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
):
    """Another process finds the stock gone and dies before it returns the money; then this one's answer is lost."""
    order = await shops.buy(shop, A=2)
    await expire(shop, clock)
    await shops.buy(shop, user="u2", A=4)
    charge = shop.gateway.charge

    async def overtaken(asked: Charge) -> ChargeOutcome:
        await charge(asked)
        async with shops.open_shop(config, clock, shop.gateway) as elsewhere:
            shop.gateway.refuses_refunds = True
            await elsewhere.settlement.settled_by_provider(asked.payment_id)
            shop.gateway.refuses_refunds = False
        return ChargeOutcome.UNKNOWN

    monkeypatch.setattr(shop.gateway, "charge", overtaken)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order)
    assert (await shop.orders.get(order.id)).payment.status is PaymentStatus.RETURNING
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await shop.settlement.reconcile() == 1
    assert await kept(shop, order) == 0
    assert await shops.violations(shop) == {}


async def test_money_that_could_not_be_returned_at_once_is_returned_by_reconciliation(
    shop: Shop, clock: shops.MovableClock
):
    order = await shops.buy(shop, A=2)
    await expire(shop, clock)
    await shops.buy(shop, user="u2", A=5)
    shop.gateway.refuses_refunds = True
    with pytest.raises(ReservationExpired):
        await shops.pay(shop, order)
    assert await kept(shop, order) == order.total
    assert (await shop.orders.get(order.id)).payment.status is PaymentStatus.RETURNING
    shop.gateway.refuses_refunds = False
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await shop.settlement.reconcile() == 1
    assert await kept(shop, order) == 0
    assert await shops.violations(shop) == {}


async def test_paying_twice_at_once_with_different_keys_takes_the_money_once(shop: Shop):
    order = await shops.buy(shop, A=1)
    names = await outcomes(*(shops.pay(shop, order, key=shops.key(f"u1:p{n}")) for n in range(5)))
    assert names.count("Order") == 1
    assert set(names) <= {"Order", "PaymentInProgress", "WrongStatus"}
    assert await kept(shop, order) == order.total


async def test_paying_twice_at_once_with_one_key_is_one_payment_and_never_a_wrong_status(shop: Shop):
    for _ in range(5):
        order, key = await shops.buy(shop, A=1), shops.key(f"u1:{shop.ids.new()}")
        names = await outcomes(*(shops.pay(shop, order, key=key) for _ in range(5)))
        assert set(names) <= {"Order", "IdempotencyInProgress"}
        assert (await shops.pay(shop, order, key=key)).status is OrderStatus.PAID
        assert await kept(shop, order) == order.total


async def test_paying_a_paid_order_again_without_a_key_is_refused_and_free(shop: Shop):
    order = await shops.pay(shop, await shops.buy(shop, A=1))
    with pytest.raises(WrongStatus):
        await shops.pay(shop, order)
    assert await kept(shop, order) == order.total


async def test_cancel_against_pay_ends_in_one_of_them(shop: Shop):
    await shop.inventory.receive([Line("A", 100)], "staff")
    for _ in range(10):
        order = await shops.buy(shop, A=1)
        names = await outcomes(shops.pay(shop, order), shop.orders.cancel(order, "u1"))
        after = await shop.orders.get(order.id)
        if after.status is OrderStatus.PAID:
            assert names in (["Order", "PaymentInProgress"], ["Order", "WrongStatus"])
        else:
            assert names == ["OrderResult", "WrongStatus"]
        assert await kept(shop, order) == (order.total if after.status is OrderStatus.PAID else 0)
    assert await shops.violations(shop) == {}


async def test_an_order_being_paid_cannot_be_cancelled(shop: Shop):
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "timeout")
    with pytest.raises(PaymentInProgress):
        await shop.orders.cancel(await shop.orders.get(order.id), "u1")


async def test_the_sweep_against_pay_loses_neither_stock_nor_money(shop: Shop, clock: shops.MovableClock):
    await shop.inventory.receive([Line("A", 100)], "staff")
    for _ in range(10):
        order = await shops.buy(shop, A=1)
        clock.advance(shop.config.reservation_ttl_seconds)
        await asyncio.gather(shops.pay(shop, order), shop.expiry.sweep())
        assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    assert await shops.violations(shop) == {}


async def test_a_webhook_settles_a_payment_whose_answer_is_late(shop: Shop):
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "late")
    payment_id = (await shop.orders.get(order.id)).payment.id
    await asyncio.gather(*(shop.settlement.settled_by_provider(payment_id) for _ in range(3)))
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    await shop.settlement.settled_by_provider("never heard of")
    assert await shops.violations(shop) == {}


async def test_a_refund_the_provider_did_not_make_is_made_by_reconciliation_once(shop: Shop, clock: shops.MovableClock):
    order = await shops.pay(shop, await shops.buy(shop, A=2))
    shop.gateway.refuses_refunds = True
    await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    assert await kept(shop, order) == order.total
    shop.gateway.refuses_refunds = False
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await asyncio.gather(*(shop.refunds.reconcile() for _ in range(3)))
    assert await shop.refunds.reconcile() == 0
    assert await kept(shop, order) == order.total - shops.PRICE
    assert await shops.violations(shop) == {}


async def test_a_free_order_asks_no_provider(shop: Shop):
    await shops.stock(shop, price=0, GIFT=3)
    order = await shops.pay(shop, await shops.buy(shop, GIFT=1))
    assert (order.status, order.total, shop.gateway.charges) == (OrderStatus.PAID, 0, 0)
    await shop.refunds.refund(order.id, [], True, "staff")
    assert await shops.levels(shop, "GIFT") == (3, 0)
