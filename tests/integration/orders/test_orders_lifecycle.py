"""From checkout to refund on real stores: every pair of statuses, every answer, money and stock in step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.errors import Problem
from service.inventory.models import HoldStatus, InsufficientStock, KeyReused, Line
from service.orders.models import (
    Order,
    OrderNotFound,
    OrderStatus,
    OrderTooLarge,
    RefundTooLarge,
    UnknownItems,
    WrongStatus,
)
from service.payments.models import PaymentDeclined

Step = Callable[[Shop, Order], Awaitable[Any]]


async def paid(shop: Shop, order: Order) -> None:
    await shops.pay(shop, order)


async def cancelled(shop: Shop, order: Order) -> None:
    await shop.orders.cancel(await shop.orders.get(order.id), "u1")


async def shipped(shop: Shop, order: Order) -> None:
    await shop.orders.ship(order.id, "staff")


async def delivered(shop: Shop, order: Order) -> None:
    await shop.orders.deliver(order.id, "staff")


async def refunded(shop: Shop, order: Order) -> None:
    await shop.refunds.refund(order.id, [], True, "staff")


STEPS: dict[str, Step] = {
    "paid": paid,
    "cancelled": cancelled,
    "shipped": shipped,
    "delivered": delivered,
    "refunded": refunded,
}
ROADS: dict[str, list[str]] = {
    "pending": [],
    "paid": ["paid"],
    "cancelled": ["cancelled"],
    "shipped": ["paid", "shipped"],
    "delivered": ["paid", "shipped", "delivered"],
    "refunded": ["paid", "refunded"],
}
ALLOWED = {
    ("pending", "paid"),
    ("pending", "cancelled"),
    ("paid", "shipped"),
    ("paid", "refunded"),
    ("shipped", "delivered"),
    ("shipped", "refunded"),
    ("delivered", "refunded"),
}


@pytest.mark.parametrize("source", ROADS)
async def test_from_each_status_exactly_the_allowed_ones_are_reached(shop: Shop, source: str):
    await shops.stock(shop, A=50)
    for target, step in STEPS.items():
        order = await shops.buy(shop, A=1)
        for name in ROADS[source]:
            await STEPS[name](shop, order)
        assert (await shop.orders.get(order.id)).status == source
        if (source, target) in ALLOWED:
            await step(shop, order)
            assert (await shop.orders.get(order.id)).status == target
        else:
            with pytest.raises(WrongStatus) as refused:
                await step(shop, order)
            assert refused.value.extra == {"orderStatus": source}
            assert (await shop.orders.get(order.id)).status == source
    assert await shops.violations(shop) == {}


async def test_status_history_names_who_did_what_and_when(shop: Shop):
    await shops.stock(shop, A=1)
    order = await shops.buy(shop, A=1)
    for step in (paid, shipped, delivered, refunded):
        await step(shop, order)
    history = (await shop.orders.get(order.id)).history
    assert [(entry.status.value, entry.actor) for entry in history] == [
        ("pending", "u1"),
        ("paid", "u1"),
        ("shipped", "staff"),
        ("delivered", "staff"),
        ("refunded", "staff"),
    ]
    assert [entry.at for entry in history] == sorted(entry.at for entry in history)


async def test_each_step_states_its_fact_once(shop: Shop):
    await shops.stock(shop, A=1)
    order = await shops.buy(shop, A=1)
    for step in (paid, shipped, delivered, refunded):
        await step(shop, order)
    entries = await shop.stores.database["outbox"].find({}).to_list(None)
    names = [fact["name"] for entry in entries for fact in entry["facts"] if fact.get("order_id") == order.id]
    assert names == ["order_placed", "order_paid", "order_shipped", "order_delivered", "order_refunded"]


async def test_an_order_has_the_catalogues_prices_at_checkout_for_good(shop: Shop):
    await shops.stock(shop, price=100, A=5)
    order = await shops.buy(shop, A=3)
    await shop.stores.database["offers"].update_one({"_id": "A"}, {"$set": {"price": 999}})
    after = await shop.orders.get(order.id)
    assert (after.lines[0].unit_price, after.subtotal, after.total, after.currency) == (100, 300, 300, "GBP")


async def test_items_that_are_not_sold_are_all_named_and_nothing_is_held(shop: Shop):
    await shops.stock(shop, A=5, OLD=5)
    await shop.stores.database["offers"].update_one({"_id": "OLD"}, {"$set": {"active": False}})
    with pytest.raises(UnknownItems) as refused:
        await shops.buy(shop, A=1, OLD=1, NOPE=1)
    assert [error["message"].split()[0] for error in refused.value.extra["errors"]] == ["OLD", "NOPE"]
    assert await shops.levels(shop, "A") == (5, 0)


async def test_an_order_with_too_many_lines_or_too_dear_is_refused(shop: Shop):
    skus = {f"S{n}": 1 for n in range(shop.config.order_lines_max + 1)}
    await shops.stock_all(shop, skus, price=10**9)
    with pytest.raises(OrderTooLarge):
        await shop.orders.checkout("u1", [Line(sku, 1) for sku in skus])
    with pytest.raises(OrderTooLarge):
        await shop.orders.checkout("u1", [Line("S0", 1_001)])


async def test_a_repeated_checkout_is_answered_as_at_first_even_after_payment_and_archiving(shop: Shop):
    await shops.stock(shop, A=5)
    key = shops.key("u1:k")
    first = await shop.orders.checkout("u1", [Line("A", 2)], key)
    await paid(shop, first.order)
    await shop.stores.database["offers"].update_one({"_id": "A"}, {"$set": {"active": False}})
    again = await shop.orders.checkout("u1", [Line("A", 2)], key)
    assert again.replayed
    assert again.order == first.order
    assert await shops.levels(shop, "A") == (3, 0)


async def test_a_refused_checkout_is_refused_again_under_its_key_though_stock_came(shop: Shop):
    await shops.stock(shop, A=0)
    key = shops.key("u1:k")
    with pytest.raises(InsufficientStock):
        await shop.orders.checkout("u1", [Line("A", 1)], key)
    await shop.inventory.receive([Line("A", 5)], "staff")
    with pytest.raises(Problem) as again:
        await shop.orders.checkout("u1", [Line("A", 1)], key)
    assert (again.value.code, again.value.replayed) == ("insufficient_stock", True)
    assert again.value.extra["shortages"] == [{"sku": "A", "requested": 1, "available": 0}]


async def test_another_request_under_the_same_key_is_refused(shop: Shop):
    await shops.stock(shop, A=5)
    await shop.orders.checkout("u1", [Line("A", 1)], shops.key("u1:k", "one"))
    with pytest.raises(KeyReused):
        await shop.orders.checkout("u1", [Line("A", 2)], shops.key("u1:k", "two"))


async def test_a_repeated_cancel_is_answered_again_and_frees_once(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    answers = [await shop.orders.cancel(order, "u1", shops.key("u1:c")) for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, True]
    assert answers[0].order == answers[1].order
    assert await shops.levels(shop, "A") == (5, 0)


async def test_a_cancel_refused_by_the_status_stays_a_wrong_status_when_repeated(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    await paid(shop, order)
    for _ in range(2):
        with pytest.raises(WrongStatus):
            await shop.orders.cancel(await shop.orders.get(order.id), "u1", shops.key("u1:c"))


async def test_another_users_order_looks_as_if_it_did_not_exist(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, user="u1", A=1)
    with pytest.raises(OrderNotFound):
        await shop.orders.own("u2", order.id)


async def test_a_part_is_refunded_and_restocked_and_the_rest_later(shop: Shop):
    await shops.stock(shop, A=5, B=5)
    order = await shops.buy(shop, A=3, B=1)
    await paid(shop, order)
    first = await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    assert (first.order.status, first.order.refunded) == (OrderStatus.PAID, shops.PRICE)
    assert await shops.levels(shop, "A") == (3, 0)
    second = await shop.refunds.refund(order.id, [], False, "staff")
    assert (second.order.status, second.order.refunded) == (OrderStatus.REFUNDED, order.total)
    assert await shops.levels(shop, "A") == (3, 0), "not restocked: not asked for"
    charge = await shop.stores.database["gateway_charges"].find_one({"_id": second.order.payment.id})
    assert charge["refunded"] == order.total
    assert await shops.violations(shop) == {}


async def test_more_than_was_bought_is_never_refunded(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    await paid(shop, order)
    await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    for lines in ([Line("A", 2)], [Line("A", 1), Line("A", 1)], [Line("NOPE", 1)]):
        with pytest.raises(RefundTooLarge):
            await shop.refunds.refund(order.id, lines, True, "staff")
    assert await shops.levels(shop, "A") == (4, 0)


async def test_two_staff_who_refund_the_same_goods_at_once_refund_them_once(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=1)
    await paid(shop, order)
    answers = await asyncio.gather(
        *(shop.refunds.refund(order.id, [Line("A", 1)], True, f"staff{n}") for n in range(4)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["OrderResult"] + ["WrongStatus"] * 3
    assert await shops.levels(shop, "A") == (5, 0)
    assert await shops.violations(shop) == {}


async def test_two_staff_who_refund_different_lines_at_once_both_succeed(shop: Shop):
    await shops.stock(shop, A=5, B=5, C=5)
    order = await shops.buy(shop, A=1, B=1, C=1)
    await paid(shop, order)
    await asyncio.gather(*(shop.refunds.refund(order.id, [Line(sku, 1)], True, "staff") for sku in "ABC"))
    after = await shop.orders.get(order.id)
    assert (after.status, after.refunded) == (OrderStatus.REFUNDED, order.total)
    assert await shops.violations(shop) == {}


async def test_a_repeated_refund_is_answered_as_at_first_and_pays_once(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    await paid(shop, order)
    key = shops.key("staff:r")
    answers = [await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff", key) for _ in range(3)]
    assert [answer.replayed for answer in answers] == [False, True, True]
    assert {answer.order.refunded for answer in answers} == {shops.PRICE}
    with pytest.raises(KeyReused):
        await shop.refunds.refund(order.id, [], True, "staff", shops.key("staff:r", "another"))


async def test_history_goes_on_where_it_stopped_while_orders_come_in(shop: Shop):
    await shops.stock(shop, A=50)
    placed = [(await shops.buy(shop, A=1)).id for _ in range(7)]
    first = await shop.orders.newest("u1", None, None, 3)
    await shops.buy(shop, A=1)
    second = await shop.orders.newest("u1", None, first.next_before, 3)
    third = await shop.orders.newest("u1", None, second.next_before, 3)
    seen = [order.id for page in (first, second, third) for order in page.items]
    assert seen == list(reversed(placed))
    assert third.next_before is None


async def test_staff_find_orders_by_user_by_status_and_by_number(shop: Shop):
    await shops.stock(shop, A=50)
    mine, theirs = await shops.buy(shop, user="u1", A=1), await shops.buy(shop, user="u2", A=1)
    await paid(shop, theirs)
    assert [o.id for o in (await shop.orders.newest("u2", None, None, 9)).items] == [theirs.id]
    assert [o.id for o in (await shop.orders.newest(None, OrderStatus.PENDING, None, 9)).items] == [mine.id]
    assert [o.id for o in (await shop.orders.newest(None, None, None, 9, mine.number)).items] == [mine.id]
    assert (await shop.orders.newest("u2", None, None, 9, mine.number)).items == ()


async def test_order_numbers_say_nothing_about_how_many_there_were(shop: Shop):
    await shops.stock(shop, A=50)
    numbers = [(await shops.buy(shop, A=1)).number for _ in range(20)]
    assert len(set(numbers)) == 20
    assert sorted(numbers) != numbers
    assert all(number.startswith("HF-") and len(number) == 13 for number in numbers)


async def test_a_declined_order_is_cancelled_and_its_stock_is_free(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    with pytest.raises(PaymentDeclined):
        await shops.pay(shop, order, "decline")
    after = await shop.orders.get(order.id)
    assert (after.status, after.cancel_reason, after.reservation.status) == (
        OrderStatus.CANCELLED,
        "payment_declined",
        HoldStatus.RELEASED,
    )
    assert await shops.levels(shop, "A") == (5, 0)
