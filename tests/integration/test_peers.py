"""What went wrong in other shops, each named after what goes wrong. None of it may happen here."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import shops

from service import bootstrap
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.config import Config
from service.inventory.models import InsufficientStock, Line, ReservationExpired
from service.orders.models import OrderStatus
from service.payments.models import Charge, ChargeOutcome, PaymentDeclined, PaymentUnknown
from service.payments.simulator import SimulatedGateway


@pytest.fixture
async def processes(config: Config, clock: shops.MovableClock) -> AsyncIterator[list[Shop]]:
    """Three processes of one shop."""
    async with (
        shops.open_shop(config, clock) as one,
        shops.open_shop(config, clock) as two,
        shops.open_shop(config, clock) as three,
    ):
        yield [one, two, three]


async def outcomes(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def count(shop: Shop, collection: str, **query: Any) -> int:
    found: int = await shop.stores.database[collection].count_documents(query)
    return found


async def test_1_check_and_write_apart_sells_the_same_unit_twice(processes: list[Shop]):
    """Vendure 1738, Medusa 16569, Saleor 543, Magento 25653, ACIDRain."""
    shop = processes[0]
    await shops.stock(shop, A=25)
    buyers = [shops.buy(processes[n % 3], user=f"u{n}", A=1) for n in range(150)]
    answers = await outcomes(*buyers)
    assert sum(isinstance(answer, InsufficientStock) for answer in answers) == 125
    assert await shops.levels(shop, "A") == (25, 25)
    assert await count(shop, "reservations", status="active") == 25
    assert await shops.violations(shop) == {}


async def test_2_the_same_item_twice_in_one_request_passes_twice_against_the_same_number(shop: Shop):
    """Medusa 16502, Vendure 1028, 2702."""
    await shops.stock(shop, A=3)
    with pytest.raises(InsufficientStock) as refused:
        await shop.orders.checkout("u1", [Line("A", 2), Line("A", 2)])
    assert refused.value.extra["shortages"] == [{"sku": "A", "requested": 4, "available": 3}]
    order = (await shop.orders.checkout("u1", [Line("A", 1), Line("A", 2)])).order
    assert [(line.sku, line.quantity) for line in order.lines] == [("A", 3)]
    assert await shops.levels(shop, "A") == (3, 3)


async def test_3_a_checkout_that_is_rolled_back_keeps_its_hold(shop: Shop):
    """Medusa 13625, 16398; Vendure 1571; Saleor 5334: holds without orders, orders without holds, holds twice."""
    await shops.stock(shop, A=10)
    with shops.failing_once_written(shop), pytest.raises(RuntimeError):
        await shops.buy(shop, A=2)
    assert await shops.levels(shop, "A") == (10, 0)
    assert (await count(shop, "orders"), await count(shop, "reservations")) == (0, 0)

    declined = await shops.buy(shop, A=2)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, declined, "decline")
    kept = await shops.buy(shop, A=2)
    assert await count(shop, "reservations", orderId=kept.id) == 1
    assert await shops.levels(shop, "A") == (10, 2)
    assert await shops.violations(shop) == {}


async def test_4_counters_drift_or_go_negative_and_nobody_can_say_why(processes: list[Shop], clock: shops.MovableClock):
    """Medusa 12401, 11131; Vendure 1557; Saleor 17657; Spree: several writers of on-hand, one left a record."""
    shop, dice = processes[0], random.Random(4)
    await shops.stock(shop, A=40, B=40)

    async def shopper(number: int) -> None:
        mine = processes[number % 3]
        order = await shops.buy(mine, user=f"u{number}", A=dice.randint(1, 3), B=dice.randint(1, 3))
        match dice.randrange(4):
            case 0:
                await shops.pay(mine, order)
            case 1:
                await mine.orders.cancel(order, "u")
            case 2:
                await shops.pay(mine, order, "decline")

    async def keeper(number: int) -> None:
        mine = processes[number % 3]
        await mine.inventory.adjust(dice.choice("AB"), dice.choice([-5, -1, 2, 7]), "count", "staff")

    await outcomes(*(shopper(n) for n in range(60)), *(keeper(n) for n in range(30)))
    clock.advance(shop.config.reservation_ttl_seconds)
    await asyncio.gather(*(each.expiry.sweep() for each in processes))
    for sku in "AB":
        on_hand = reserved = 0
        for movement in reversed(await shop.inventory.history(sku, None, 10_000)):
            on_hand, reserved = on_hand + movement.on_hand_delta, reserved + movement.reserved_delta
            assert 0 <= reserved <= on_hand
            assert (movement.on_hand, movement.reserved) == (on_hand, reserved)
            assert movement.actor
            assert movement.reason
        assert await shops.levels(shop, sku) == (on_hand, reserved) == (on_hand, 0)
    assert await shops.violations(shop) == {}


async def test_5_paid_but_no_stock(shop: Shop, clock: shops.MovableClock):
    """Saleor 14733, Medusa 4946: charged with nothing left, and the cancel fails too."""
    await shops.stock(shop, A=1)
    late = await shops.buy(shop, user="late", A=1)
    clock.advance(shop.config.reservation_ttl_seconds)
    await shop.expiry.sweep()
    await shops.pay(shop, await shops.buy(shop, user="quick", A=1))
    with pytest.raises(ReservationExpired):
        await shops.pay(shop, late)
    after = await shop.orders.get(late.id)
    charge = await shop.stores.database["gateway_charges"].find_one({"orderId": late.id})
    assert (after.status, charge["refunded"]) == (OrderStatus.CANCELLED, charge["amount"])
    assert await shops.violations(shop) == {}


async def test_6_a_refused_payment_releases_twice(shop: Shop):
    """Adyen-Magento 1174, hipay-magento 163: the answer and the webhook both gave the stock back."""
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, "decline")
    payment = (await shop.orders.get(order.id)).payment
    await asyncio.gather(*(shop.settlement.settled_by_provider(payment.id) for _ in range(4)))
    await shop.settlement.reconcile()
    assert await shops.levels(shop, "A") == (5, 0)
    assert await count(shop, "stock_history", sku="A", kind="release") == 1


async def test_7_between_expiry_and_sweep_the_same_unit_is_promised_to_two(
    processes: list[Shop], clock: shops.MovableClock
):
    """TigerBeetle 2000, WooCommerce 67751 and 67931: a stale hold was ignored, or half confirmed."""
    shop = processes[0]
    for _ in range(5):
        sku = shop.ids.new()
        await shops.stock_all(shop, {sku: 1})
        first = await shops.buy(shop, user="first", **{sku: 1})
        clock.advance(shop.config.reservation_ttl_seconds)
        second, paid, _ = await outcomes(
            shops.buy(processes[1], user="second", **{sku: 1}),
            shops.pay(processes[2], first),
            shop.expiry.sweep(),
        )
        taken = [answer for answer in (second, paid) if not isinstance(answer, Exception)]
        assert len(taken) == 1
        statuses = [r["status"] async for r in shop.stores.database["reservations"].find({"sku": sku})]
        assert statuses.count("active") + statuses.count("confirmed") == 1
    assert await shops.violations(shop) == {}


class SlowGateway(SimulatedGateway):
    async def charge(self, charge: Charge) -> ChargeOutcome:
        await asyncio.sleep(1.0)
        return await super().charge(charge)


async def test_8_a_slow_payment_locks_everybody_else_out(config: Config, clock: shops.MovableClock):
    """Saleor 11069, 14891, 18206, 19001; Medusa 14804, 10751: ten seconds to add to a cart."""
    async with shops.open_shop(config, clock) as shop:
        shop.settlement._gateway = SlowGateway(shop.stores.database, clock)
        await shops.stock(shop, A=100)
        paying = asyncio.create_task(shops.pay(shop, await shops.buy(shop, A=1)))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await shops.buy(shop, user="u2", A=1)
        await shop.inventory.adjust("A", -1, "count", "staff")
        assert time.monotonic() - started < 0.5
        assert not paying.done()
        assert (await paying).status is OrderStatus.PAID


async def test_9_a_burst_of_expiries_is_freed_late_and_nobody_knows_how_late(shop: Shop, clock: shops.MovableClock):
    """TigerBeetle 1657: bounded sweeps; the lag is a number here."""
    await shops.stock(shop, A=2_000)
    await asyncio.gather(*(shops.buy(shop, user=f"u{n}", A=1) for n in range(1_500)))
    clock.advance(shop.config.reservation_ttl_seconds + 30)
    swept = await shop.expiry.sweep()
    assert (swept.released, len(swept.lags_seconds)) == (1_500, 1_500)
    assert 30 <= swept.lag_p50_seconds <= swept.lag_max_seconds < 60
    assert swept.document()["lagMaxSeconds"] == round(swept.lag_max_seconds, 3)
    assert await shops.levels(shop, "A") == (2_000, 0)


async def relayed(background: Background) -> None:
    while await background.relay.relay():
        pass


async def test_10_alerts_do_not_fire_for_checkouts_or_fire_for_a_thousand_people_and_three_units(shop: Shop):
    """Saleor 11637, 19449: not sent while allocations existed, not for checkouts; mails to everybody at once."""
    background, now = bootstrap.background(shop), shop.clock.now()
    await shops.stock(shop, A=4)
    await shops.buy(shop, user="u0", A=4)
    await relayed(background)
    assert await count(shop, "alerts", sku="A", kind="out_of_stock", open=True) == 1

    for number in range(1, 11):
        user = User(f"w{number}", f"w{number}@example.org", "W", "customer", "-", now, now, email_verified=True)
        await UserRepository(shop.stores.database).add(user)
        await background.notices.subscribe("A", f"w{number}", None)
    await shop.inventory.receive([Line("A", 3)], "staff")
    await relayed(background)
    entries = await shop.stores.database["outbox"].find({}).sort("_id", 1).to_list(None)
    mails = [fact["to"] for entry in entries for fact in entry["facts"] if fact["name"] == "mail_requested"]
    assert mails == [f"w{number}@example.org" for number in (1, 2, 3)]
    assert await count(shop, "alerts", sku="A", kind="out_of_stock", open=True) == 0


async def test_11_two_simultaneous_requests_with_one_key_both_run(processes: list[Shop]):
    shop = processes[0]
    await shops.stock(shop, A=100)
    for attempt in range(8):
        key = shops.key(f"u1:{attempt}")
        answers = await asyncio.gather(
            *(each.orders.checkout("u1", [Line("A", 1)], key) for each in processes for _ in range(3))
        )
        assert len({answer.order.id for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
    assert await shops.levels(shop, "A") == (100, 8)
    assert await count(shop, "orders") == 8


async def test_12_a_reserved_counter_beside_the_holds_is_not_foolproof(
    processes: list[Shop], clock: shops.MovableClock
):
    """Reaction Commerce 5791. Here the counter moves with the holds or not at all, whoever dies in between."""
    shop = processes[0]
    await shops.stock(shop, A=200)
    for dying in processes[1:]:
        runner, batches = dying.ledger._store._runner, itertools.count()

        async def sometimes_dies(
            commands: Any, session: Any, send: Any = runner.send_all, batches: Any = batches
        ) -> Any:
            if next(batches) % 2:
                counter_only = next(n for n, command in enumerate(commands) if command.get("insert") == "reservations")
                await send(commands[:counter_only], session)
                raise RuntimeError("killed after the counter and before the holds")
            return await send(commands, session)

        runner.send_all = sometimes_dies
    orders: list[Any] = []
    for _ in range(6):
        orders += await outcomes(*(shops.buy(processes[n % 3], user=f"u{n}", A=1) for n in range(12)))
    placed = [order for order in orders if not isinstance(order, Exception)]
    assert 12 < len(placed) < 72
    assert await shops.levels(shop, "A") == (200, len(placed))
    assert await count(shop, "reservations", status="active") == len(placed)
    with pytest.raises(PaymentUnknown):
        await shops.pay(shop, placed[0], "timeout")
    clock.advance(shop.config.payment_unknown_after_seconds + 1)
    await shop.settlement.reconcile()
    assert await shops.levels(shop, "A") == (199, len(placed) - 1)
    assert await shops.violations(shop) == {}
