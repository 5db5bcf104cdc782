"""Paying by Stripe through its own library, against `localstripe` in a process of its own."""

import asyncio
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.inventory.models import Line
from service.orders.models import OrderStatus, PaymentStatus
from service.payments.models import BadSignature, Charge, ChargeOutcome, PaymentDeclined, PaymentUnknown
from service.payments.stripe_gateway import StripeGateway

KEY = "sk_test_holdfast"
SECRET = "whsec_holdfast_of_enough_length"
GOOD, DECLINED = "4242424242424242", "4000000000000341"
NEEDS_THE_OWNER = "4000002500003155"
START_SECONDS_MAX = 30


class LocalStripe:
    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, **fields: Any) -> dict[str, Any]:
        data = urlencode(fields).encode() if fields else None
        request = urllib.request.Request(f"{self.url}{path}", data, {"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def card(self, number: str = GOOD) -> str:
        fields = {"type": "card", "card[number]": number, "card[exp_month]": 12, "card[exp_year]": 2030}
        made: str = self.call("/v1/payment_methods", **fields, **{"card[cvc]": "123"})["id"]
        return made

    def refunded(self, intent_id: str) -> list[int]:
        listed = self.call(f"/v1/refunds?payment_intent={intent_id}&limit=100")
        return sorted(refund["amount"] for refund in listed["data"])


@pytest.fixture(scope="module")
def local_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place: Path = tmp_path_factory.mktemp("stripe")
    command = [sys.executable, "-m", "localstripe", "--port", str(port), "--from-scratch"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            server = LocalStripe(f"http://127.0.0.1:{port}")
            _wait_for(server)
            yield server
        finally:
            process.kill()


def _wait_for(server: LocalStripe) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            server.call("/v1/customers")
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "localstripe did not start"
            time.sleep(0.1)


@pytest.fixture
def paying_by_stripe(config: Config, local_stripe: LocalStripe) -> Config:
    return replace(
        config,
        payment_gateway="stripe",
        stripe_api_key=KEY,
        stripe_api_base=local_stripe.url,
        stripe_webhook_secret=SECRET,
    )


@pytest.fixture
async def shop(paying_by_stripe: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    async with shops.open_shop(paying_by_stripe, clock) as opened:
        assert isinstance(opened.gateway, StripeGateway)
        await shops.stock(opened, A=20)
        yield opened
        await opened.gateway.close()


async def intent_of(shop: Shop, payment_id: str) -> Any:
    attempt = await shop.stores.database["payment_attempts"].find_one({"_id": payment_id})
    return None if attempt is None else attempt["intentId"]


async def test_a_good_card_pays_once(shop: Shop, local_stripe: LocalStripe):
    order = await shops.pay(shop, await shops.buy(shop, A=2), local_stripe.card())
    intent = local_stripe.call(f"/v1/payment_intents/{await intent_of(shop, order.payment.id)}")
    assert (order.status, intent["status"]) == (OrderStatus.PAID, "succeeded")
    assert (intent["amount"], intent["currency"]) == (order.total, "gbp")
    assert intent["metadata"] == {"paymentId": order.payment.id, "orderId": order.id}
    assert await shops.levels(shop, "A") == (18, 0)


@pytest.mark.parametrize("agrees", [True, False], ids=["agrees", "does not agree"])
async def test_a_card_that_asks_for_its_owner_waits_and_ends_as_the_owner_says(
    shop: Shop, local_stripe: LocalStripe, agrees: bool
):
    order, card = await shops.buy(shop, A=2), local_stripe.card(NEEDS_THE_OWNER)
    waiting = await shop.settlement.pay(order, card)
    assert (waiting.order.status, waiting.order.payment_status) == (
        OrderStatus.PENDING,
        PaymentStatus.REQUIRES_ACTION,
    )
    assert (await shop.settlement.pay(waiting.order, card)).client_secret == waiting.client_secret
    intent = await intent_of(shop, waiting.order.payment.id)
    fields = {"client_secret": waiting.client_secret, "success": str(agrees).lower()}
    local_stripe.call(f"/v1/payment_intents/{intent}/_authenticate", **fields)
    await shop.settlement.settled_by_provider(waiting.order.payment.id)
    ended = await shop.orders.get(order.id)
    assert ended.status is (OrderStatus.PAID if agrees else OrderStatus.CANCELLED)
    now = local_stripe.call(f"/v1/payment_intents/{intent}")["status"]
    assert now == ("succeeded" if agrees else "canceled"), "it can never be paid later"


async def test_a_session_that_is_given_up_is_cancelled_at_stripe(shop: Shop, local_stripe: LocalStripe):
    order = await shops.buy(shop, A=2)
    waiting = await shop.settlement.pay(order, local_stripe.card(NEEDS_THE_OWNER))
    assert (await shop.settlement.cancel(waiting.order, "ada")).order.status is OrderStatus.CANCELLED
    intent = local_stripe.call(f"/v1/payment_intents/{await intent_of(shop, waiting.order.payment.id)}")
    assert intent["status"] == "canceled"
    assert await shops.levels(shop, "A") == (20, 0)


async def test_a_card_that_does_not_pay_frees_the_stock_and_can_never_pay_later(shop: Shop, local_stripe: LocalStripe):
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, local_stripe.card(DECLINED))
    after = await shop.orders.get(order.id)
    intent = local_stripe.call(f"/v1/payment_intents/{await intent_of(shop, after.payment.id)}")
    assert (after.status, intent["status"]) == (OrderStatus.CANCELLED, "canceled")
    assert await shops.levels(shop, "A") == (20, 0)


async def test_a_payment_method_that_does_not_exist_is_declined(shop: Shop):
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, await shops.buy(shop, A=1), "pm_never_made")
    assert await shops.levels(shop, "A") == (20, 0)


async def test_a_provider_that_is_away_is_unknown_and_settles_when_it_is_back(shop: Shop, local_stripe: LocalStripe):
    base = shop.gateway._client
    away = StripeGateway(shop.gateway._attempts, shop.clock, replace(shop.config, stripe_api_base="http://127.0.0.1:9"))
    shop.gateway._client = away._client
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, local_stripe.card())
    shop.gateway._client = base
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, local_stripe.card())
    await away.close()
    assert await shops.levels(shop, "A") == (20, 0)


async def test_an_answer_lost_after_the_charge_is_found_by_asking(shop: Shop, local_stripe: LocalStripe):
    confirm = shop.gateway._confirm

    async def loses_the_answer(*given: Any) -> ChargeOutcome:
        await confirm(*given)
        return ChargeOutcome.UNKNOWN

    shop.gateway._confirm = loses_the_answer
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, local_stripe.card())
    assert (await shops.pay(shop, order, "anything")).status is OrderStatus.PAID
    assert await shops.levels(shop, "A") == (19, 0)


async def test_an_attempt_closed_before_its_charge_arrives_is_never_charged(shop: Shop, local_stripe: LocalStripe):
    assert await shop.gateway.settle("p1") is ChargeOutcome.DECLINED
    late = Charge("p1", 500, "GBP", local_stripe.card(), "o1")
    assert await shop.gateway.charge(late) is ChargeOutcome.DECLINED
    assert await intent_of(shop, "p1") is None


async def test_a_charge_asked_for_twice_is_made_once(shop: Shop, local_stripe: LocalStripe):
    charge = Charge("p2", 500, "GBP", local_stripe.card(), "o1")
    outcomes = [await shop.gateway.charge(charge) for _ in range(2)]
    assert outcomes == [ChargeOutcome.PAID, ChargeOutcome.PAID]


async def test_a_refund_is_given_once_however_often_it_is_asked(shop: Shop, local_stripe: LocalStripe):
    order = await shops.pay(shop, await shops.buy(shop, A=2), local_stripe.card())
    intent = await intent_of(shop, order.payment.id)
    for _ in range(3):
        assert await shop.gateway.refund(order.payment.id, "r1", 100)
    assert await asyncio.to_thread(local_stripe.refunded, intent) == [100]
    assert not await shop.gateway.refund("never heard of", "r1", 100)


async def test_an_order_is_refunded_in_parts_to_the_penny(shop: Shop, local_stripe: LocalStripe):
    order = await shops.pay(shop, await shops.buy(shop, A=3), local_stripe.card())
    intent = await intent_of(shop, order.payment.id)
    await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    await shop.refunds.refund(order.id, [], True, "staff")
    given = await asyncio.to_thread(local_stripe.refunded, intent)
    assert given == [shops.PRICE, 2 * shops.PRICE]
    assert await shops.levels(shop, "A") == (20, 0)


async def test_what_stripe_was_paid_is_listed_with_what_it_has_kept(shop: Shop, local_stripe: LocalStripe):
    kept = await shops.pay(shop, await shops.buy(shop, A=2), local_stripe.card())
    part = await shops.pay(shop, await shops.buy(shop, A=1), local_stripe.card())
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, await shops.buy(shop, A=1), local_stripe.card(DECLINED))
    await shop.gateway.refund(part.payment.id, "r1", 100)
    of_ours = {kept.payment.id: kept, part.payment.id: part}
    listed = [taken async for taken in shop.gateway.taken_since(shop.clock.now() - timedelta(minutes=1))]
    found = {each.payment_id: (each.order_id, each.amount, each.currency) for each in listed}
    assert {name: found[name] for name in of_ours} == {
        kept.payment.id: (kept.id, kept.total, "GBP"),
        part.payment.id: (part.id, part.total - 100, "GBP"),
    }
    assert [taken async for taken in shop.gateway.taken_since(shop.clock.now() + timedelta(minutes=1))] == []


def signed(payload: bytes, at: float, secret: str = SECRET) -> str:
    mac = hmac.new(secret.encode(), f"{int(at)}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={mac}"


def notice(payment_id: str | None, kind: str = "payment_intent.succeeded") -> bytes:
    metadata = {} if payment_id is None else {"paymentId": payment_id}
    about = {"id": "pi_1", "object": "payment_intent", "metadata": metadata}
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": about}}).encode()


async def test_a_notice_signed_by_stripe_settles_the_order(shop: Shop, local_stripe: LocalStripe):
    confirm = shop.gateway._confirm

    async def loses_the_answer(*given: Any) -> ChargeOutcome:
        await confirm(*given)
        return ChargeOutcome.UNKNOWN

    shop.gateway._confirm = loses_the_answer
    order = await shops.buy(shop, A=1)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, order, local_stripe.card())
    payload = notice((await shop.orders.get(order.id)).payment.id)
    settle = shop.settlement.settled_by_provider
    assert await shop.webhooks.receive(payload, signed(payload, time.time()), settle)
    assert not await shop.webhooks.receive(payload, signed(payload, time.time()), settle)
    assert (await shop.orders.get(order.id)).status is OrderStatus.PAID


@pytest.mark.parametrize(
    ("secret", "age_seconds"), [("whsec_of_somebody_else", 0), (SECRET, 3_600)], ids=["forged", "old"]
)
async def test_a_notice_that_is_forged_or_old_is_refused(shop: Shop, secret: str, age_seconds: int):
    payload = notice("p1")
    with pytest.raises(BadSignature):
        await shop.webhooks.receive(
            payload, signed(payload, time.time() - age_seconds, secret), shop.settlement.settled_by_provider
        )


async def test_a_notice_about_something_else_settles_nothing(shop: Shop):
    asked: list[str] = []

    async def settle(payment_id: str) -> None:
        asked.append(payment_id)

    notices = {"evt_1": notice("p1", "charge.refunded"), "evt_2": notice(None)}
    for event_id, payload in notices.items():
        named = payload.replace(b"evt_1", event_id.encode())
        assert await shop.webhooks.receive(named, signed(named, time.time()), settle)
    assert asked == []
