"""Signed notices of the payment provider: who signed, when, heard before, and what they settle."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.errors import Invalid
from service.orders.models import OrderStatus
from service.payments.models import BadSignature, PaymentUnknown
from service.payments.webhooks import sign


async def deliver(shop: Shop, payment_id: str, event_id: str = "e1", **changes: Any) -> bool:
    """Plays the simulated provider: signs the notice and hands it in."""
    payload = json.dumps({"id": event_id, "paymentId": payment_id, "type": "payment.settled"}).encode()
    at = shop.clock.now() + timedelta(seconds=changes.get("signed_later_seconds", 0))
    signature = changes.get("signature", sign(shop.config.key("payment-webhook"), payload, at))
    return await shop.webhooks.receive(changes.get("payload", payload), signature, shop.settlement.settled_by_provider)


async def late_payment(shop: Shop) -> tuple[str, str]:
    """(order id, payment id) of a payment that was charged and whose answer only comes by webhook."""
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, "late")
    return order.id, (await shop.orders.get(order.id)).payment.id


async def test_a_late_notice_settles_the_order(shop: Shop):
    order_id, payment_id = await late_payment(shop)
    assert await deliver(shop, payment_id)
    assert (await shop.orders.get(order_id)).status is OrderStatus.PAID
    assert await shops.levels(shop, "A") == (3, 0)
    assert await shops.violations(shop) == {}


async def test_a_notice_delivered_again_and_again_settles_once(shop: Shop):
    _, payment_id = await late_payment(shop)
    heard = await asyncio.gather(*(deliver(shop, payment_id) for _ in range(5)))
    assert True in heard
    assert await deliver(shop, payment_id) is False
    assert await shops.levels(shop, "A") == (3, 0)
    assert await shops.violations(shop) == {}


@pytest.mark.parametrize(
    "signature",
    [None, "", "nonsense", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=é", "t=" + "9" * 40 + ",v1=00", "x" * 600],
    ids=lambda text: repr(text)[:20],
)
async def test_a_notice_that_is_not_signed_by_the_provider_is_refused(shop: Shop, signature: str | None):
    order_id, payment_id = await late_payment(shop)
    with pytest.raises(BadSignature):
        await deliver(shop, payment_id, signature=signature)
    assert (await shop.orders.get(order_id)).status is OrderStatus.PENDING


async def test_a_signature_is_for_its_own_payload(shop: Shop):
    order_id, payment_id = await late_payment(shop)
    with pytest.raises(BadSignature):
        await deliver(shop, "another", payload=json.dumps({"id": "e1", "paymentId": payment_id}).encode())
    assert (await shop.orders.get(order_id)).status is OrderStatus.PENDING


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_a_notice_signed_too_long_ago_or_in_the_future_is_refused(shop: Shop, seconds: int):
    order_id, payment_id = await late_payment(shop)
    with pytest.raises(BadSignature):
        await deliver(shop, payment_id, signed_later_seconds=seconds)
    assert (await shop.orders.get(order_id)).status is OrderStatus.PENDING


async def test_a_signed_notice_that_is_no_event_is_refused(shop: Shop):
    payload = b'{"what": "is this"}'
    signature = sign(shop.config.key("payment-webhook"), payload, shop.clock.now())
    with pytest.raises(Invalid):
        await shop.webhooks.receive(payload, signature, shop.settlement.settled_by_provider)


async def test_a_notice_about_nothing_of_ours_is_heard_and_changes_nothing(shop: Shop):
    assert await deliver(shop, "never heard of")


async def test_a_notice_whose_settling_failed_is_heard_again(shop: Shop):
    order_id, payment_id = await late_payment(shop)
    payload = json.dumps({"id": "e1", "paymentId": payment_id}).encode()
    signature = sign(shop.config.key("payment-webhook"), payload, shop.clock.now())

    async def fails(_: str) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await shop.webhooks.receive(payload, signature, fails)
    assert await shop.webhooks.receive(payload, signature, shop.settlement.settled_by_provider)
    assert (await shop.orders.get(order_id)).status is OrderStatus.PAID
