"""A payment that waits for its customer (3-D Secure): one session however often it is asked for, ended by an event, by
asking again, by cancelling or by the end of the hold; nothing is paid twice, nothing kept without stock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import shops
from whole_site import whole_site

from service.bootstrap import Shop
from service.config import Config
from service.errors import Problem
from service.idempotency import IdempotencyKey
from service.inventory.models import HoldStatus, ReservationExpired
from service.orders.invariants import Audit
from service.orders.models import Order, OrderStatus, PaymentStatus
from service.orders.usecases import OrderResult
from service.payments.models import ChargeOutcome, PaymentDeclined
from service.payments.simulator import SimulatedGateway

CARD = "pm_card_authenticate"


@pytest.fixture
async def shop(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    async with shops.open_shop(config, clock) as opened:
        await shops.stock(opened, A=5)
        yield opened


def bank(shop: Shop) -> SimulatedGateway:
    assert isinstance(shop.gateway, SimulatedGateway)
    return shop.gateway


async def begun(shop: Shop, units: int = 2) -> tuple[Order, str]:
    """A pending order whose payment waits, and the session's secret."""
    order = await shops.buy(shop, A=units)
    result = await shop.settlement.pay(order, CARD)
    assert result.client_secret is not None
    return result.order, result.client_secret


async def again(shop: Shop, order: Order, key: IdempotencyKey | None = None) -> OrderResult:
    return await shop.settlement.pay(await shop.orders.get(order.id), CARD, key)


async def acted(shop: Shop, secret: str, *, agrees: bool = True) -> str:
    payment_id = await bank(shop).authenticate(secret, agrees=agrees)
    assert payment_id is not None
    return payment_id


async def charges(shop: Shop, order: Order) -> list[dict[str, Any]]:
    found = await shop.stores.database["gateway_charges"].find({"orderId": order.id}).to_list(None)
    return [dict(charge) for charge in found]


async def fine(shop: Shop) -> bool:
    return bool((await Audit(shop.stores.client, shop.stores.database, shop.clock).run())["ok"])


async def expire(shop: Shop, clock: shops.MovableClock) -> None:
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()


async def test_the_order_waits_with_its_stock_held(shop: Shop) -> None:
    order, _ = await begun(shop)
    assert (order.status, order.payment_status) == (OrderStatus.PENDING, PaymentStatus.REQUIRES_ACTION)
    assert order.reservation.status is HoldStatus.ACTIVE
    assert await fine(shop)


async def test_asked_again_the_answer_is_the_same_session(shop: Shop) -> None:
    order, secret = await begun(shop)
    answers = await asyncio.gather(*(again(shop, order) for _ in range(5)))
    assert {answer.client_secret for answer in answers} == {secret}
    assert len(await charges(shop, order)) == 1


async def test_once_the_customer_has_acted_asking_again_sells(shop: Shop) -> None:
    order, secret = await begun(shop)
    await acted(shop, secret)
    result = await again(shop, order)
    assert (result.order.status, result.client_secret) == (OrderStatus.PAID, None)
    assert await fine(shop)


async def test_the_providers_event_sells_without_being_asked(shop: Shop) -> None:
    order, secret = await begun(shop)
    await shop.settlement.settled_by_provider(await acted(shop, secret))
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    assert await fine(shop)


async def test_an_event_that_comes_while_it_waits_ends_nothing(shop: Shop) -> None:
    order, secret = await begun(shop)
    assert order.payment is not None
    await shop.settlement.settled_by_provider(order.payment.id)
    assert (await again(shop, order)).client_secret == secret


async def test_a_customer_who_does_not_agree_is_declined(shop: Shop) -> None:
    order, secret = await begun(shop)
    await acted(shop, secret, agrees=False)
    with pytest.raises(PaymentDeclined):
        await again(shop, order)
    assert (await shop.orders.get(order.id)).status is OrderStatus.CANCELLED
    assert await fine(shop)


async def test_the_event_and_any_number_of_tries_at_once_sell_once(shop: Shop) -> None:
    """A try that comes when the event has sold already is told that the order is paid."""
    order, secret = await begun(shop)
    payment_id = await acted(shop, secret)
    answers = await asyncio.gather(
        *(again(shop, order) for _ in range(5)),
        *(shop.settlement.settled_by_provider(payment_id) for _ in range(5)),
        return_exceptions=True,
    )
    assert {str(answer) for answer in answers if isinstance(answer, BaseException)} <= {"The order is paid"}
    found = await charges(shop, order)
    assert [(charge["status"], charge["refunded"]) for charge in found] == [("paid", 0)]
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID
    assert await fine(shop)


async def test_one_key_is_answered_as_it_ended(shop: Shop, clock: shops.MovableClock) -> None:
    order = await shops.buy(shop, A=1)
    key = IdempotencyKey("ada:pay", "asked", clock.now() + timedelta(days=1))
    secret = (await shop.settlement.pay(order, CARD, key)).client_secret
    assert secret is not None
    assert (await again(shop, order, key)).client_secret == secret
    await acted(shop, secret)
    first, second = await again(shop, order, key), await again(shop, order, key)
    assert [first.order.status, second.order.status] == [OrderStatus.PAID] * 2
    assert second.replayed


async def test_acting_after_the_hold_was_swept_sells_what_is_left(shop: Shop, clock: shops.MovableClock) -> None:
    order, secret = await begun(shop)
    await expire(shop, clock)
    await acted(shop, secret)
    assert (await again(shop, order)).order.status is OrderStatus.PAID
    assert await fine(shop)


async def test_acting_after_the_stock_went_to_somebody_else_returns_the_money(
    shop: Shop, clock: shops.MovableClock
) -> None:
    order, secret = await begun(shop, 4)
    await expire(shop, clock)
    await shops.pay(shop, await shops.buy(shop, A=4))
    await acted(shop, secret)
    with pytest.raises(ReservationExpired):
        await again(shop, order)
    assert [charge["amount"] - charge["refunded"] for charge in await charges(shop, order)] == [0]
    assert (await shop.orders.get(order.id)).status is OrderStatus.CANCELLED
    assert await fine(shop)


async def test_what_nobody_acts_on_is_closed_with_the_hold_and_not_before(
    shop: Shop, clock: shops.MovableClock
) -> None:
    order, secret = await begun(shop)
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await shop.settlement.reconcile() == 0
    assert (await again(shop, order)).client_secret == secret
    await expire(shop, clock)
    assert await shop.settlement.reconcile() == 1
    assert (await shop.orders.get(order.id)).status is OrderStatus.CANCELLED
    await acted(shop, secret)
    assert [charge["status"] for charge in await charges(shop, order)] == ["declined"], "too late to pay"
    assert await fine(shop)


@pytest.mark.parametrize("round_", range(3))
async def test_a_close_and_a_customer_who_acts_at_once_agree_on_one_end(
    shop: Shop, clock: shops.MovableClock, round_: int
) -> None:
    order, secret = await begun(shop)
    current = await shop.orders.get(order.id)
    await asyncio.gather(acted(shop, secret), shop.settlement.give_up(current), return_exceptions=True)
    await asyncio.gather(again(shop, order), return_exceptions=True)
    ended = await shop.orders.get(order.id)
    (charge,) = await charges(shop, order)
    paid = charge["status"] == ChargeOutcome.PAID.value
    assert ended.status is (OrderStatus.PAID if paid else OrderStatus.CANCELLED)
    assert await fine(shop)


async def test_a_process_that_dies_before_the_wait_is_noted_leaves_nothing_open(
    shop: Shop, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await shops.buy(shop, A=1)

    async def dies(*_: Any) -> None:
        raise Problem("gone")

    with monkeypatch.context() as patched:
        patched.setattr(shop.settlement._repository, "mark_payment", dies)
        with pytest.raises(Problem):
            await shop.settlement.pay(order, CARD)
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    assert await shop.settlement.reconcile() == 1
    assert (await shop.orders.get(order.id)).status is OrderStatus.CANCELLED
    assert await fine(shop)


async def test_a_secret_of_another_session_opens_nothing(shop: Shop) -> None:
    _, secret = await begun(shop)
    payment_id, _, mac = secret.partition("_secret_")
    for wrong in ("", payment_id, f"{payment_id}_secret_{mac[:-1]}", f"other_secret_{mac}", "é"):
        assert await bank(shop).authenticate(wrong, agrees=True) is None


async def test_cancelling_closes_the_session_for_good(shop: Shop) -> None:
    order, secret = await begun(shop)
    result = await shop.settlement.cancel(await shop.orders.get(order.id), "ada")
    assert (result.order.status, result.order.reservation.status) == (OrderStatus.CANCELLED, HoldStatus.RELEASED)
    await acted(shop, secret)
    assert [charge["status"] for charge in await charges(shop, order)] == ["declined"]
    assert await fine(shop)


async def test_over_http_a_payment_that_waits_is_answered_and_completed(
    config: Config, clock: shops.MovableClock
) -> None:
    async with whole_site(config, clock) as site:
        await shops.stock(site.shop, TEA=3)
        body = {"items": [{"sku": "TEA", "quantity": 1}]}
        order = (await site.call("POST", "/api/orders/", body, "customer"))[1]["order"]["id"]
        pay = {"paymentMethod": CARD}
        status, answer = await site.call("POST", f"/api/orders/{order}/pay", pay, "customer")
        assert (status, answer["payment"]["status"]) == (200, "requires_action")
        assert answer["order"]["paymentStatus"] == "requires_action"
        assert (await site.call("POST", f"/api/orders/{order}/pay", pay, "customer"))[1] == answer
        page = await site.call("GET", f"/orders/{order}", caller="customer", headers={"Accept": "text/html"})
        assert "I have confirmed it" in page[1]
        bank = "/api/orders/simulator/authenticate"
        assert (await site.call("POST", bank, {"clientSecret": "x"}))[1]["code"] == "payment_session_not_found"
        assert (await site.call("POST", bank, {"clientSecret": answer["payment"]["clientSecret"]}))[0] == 204
        status, paid = await site.call("GET", f"/api/orders/{order}", caller="customer")
        assert (paid["order"]["status"], paid["order"]["paymentStatus"]) == ("paid", "paid")
        again = await site.call("POST", f"/api/orders/{order}/pay", pay, "customer")
        assert again[1]["code"] == "wrong_status"
