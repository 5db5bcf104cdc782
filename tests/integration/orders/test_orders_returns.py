"""Returns: goods come back by steps, never more than were sent, and onto the shelf once; whatever runs at once."""

import asyncio
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.errors import Invalid
from service.inventory.models import KeyReused, Line, Reference
from service.orders import returns
from service.orders.models import Order, RefundTooLarge, WrongStatus
from service.orders.repository import ShippingAddresses
from service.orders.return_models import (
    Return,
    ReturnLine,
    ReturnNotFound,
    ReturnStatus,
    ReturnTooLarge,
    TooManyReturns,
    WrongReturnStatus,
)


async def sent(shop: Shop, **quantities: int) -> Order:
    await shops.stock(shop, **dict.fromkeys(quantities, 10))
    order = await shops.buy(shop, **quantities)
    await shops.pay(shop, order)
    return await shop.orders.ship(order.id, "staff")


async def ask(shop: Shop, order: Order, key: str = "", **quantities: int) -> Return:
    lines = [Line(sku, quantity) for sku, quantity in quantities.items()]
    result, return_id = await shop.returns.request(order.id, lines, "", "u1", shops.key(key) if key else None)
    return next(one for one in result.order.returns if one.id == return_id)


async def step(
    shop: Shop, order: Order, one: Return, status: ReturnStatus, *found: ReturnLine, key: str = ""
) -> Return:
    repeatable = shops.key(key) if key else None
    result, _ = await shop.returns.move(order.id, one.id, status, "staff", repeatable, found or None)
    return next(each for each in result.order.returns if each.id == one.id)


async def close(shop: Shop, order: Order, one: Return, *found: ReturnLine) -> Return:
    await step(shop, order, one, ReturnStatus.RECEIVED)
    await step(shop, order, one, ReturnStatus.INSPECTED, *found)
    return await step(shop, order, one, ReturnStatus.CLOSED)


async def test_what_can_be_sold_goes_on_the_shelf_when_the_return_is_closed_and_names_it(shop: Shop) -> None:
    order = await sent(shop, A=5, B=2)
    one = await ask(shop, order, A=4, B=1)
    assert one.status is ReturnStatus.REQUESTED
    await step(shop, order, one, ReturnStatus.RECEIVED)
    await step(shop, order, one, ReturnStatus.INSPECTED, ReturnLine("A", 0, 2, 1, 1), ReturnLine("B", 0, damaged=1))
    assert (await shops.levels(shop, "A"))[0] == 5  # nothing yet
    closed = await step(shop, order, one, ReturnStatus.CLOSED)
    assert [(line.restocked, line.damaged, line.written_off) for line in closed.lines] == [(2, 1, 1), (0, 1, 0)]
    assert [change.status.value for change in closed.history] == ["requested", "received", "inspected", "closed"]
    assert [(await shops.levels(shop, sku))[0] for sku in "AB"] == [7, 8]
    moved, _ = await shop.inventory.referring(Reference("return", one.id), "", 10)
    assert [(entry.sku, entry.on_hand_delta, entry.kind.value, entry.order_id) for entry in moved] == [
        ("A", 2, "restock", order.id)
    ]
    assert (await shop.orders.get(order.id)).refunded == 0  # the money is another matter
    assert await shops.violations(shop) == {}


async def test_no_more_units_are_asked_for_than_were_sent_and_have_not_come_back(shop: Shop) -> None:
    order = await sent(shop, A=5)
    await ask(shop, order, A=3)
    with pytest.raises(ReturnTooLarge) as refused:
        await ask(shop, order, A=3)
    assert refused.value.detail == "A: 2 can come back, not 3"
    with pytest.raises(ReturnTooLarge):
        await shop.returns.request(order.id, [Line("A", 1), Line("A", 2)], "", "u1")
    with pytest.raises(ReturnTooLarge):
        await ask(shop, order, B=1)
    await ask(shop, order, A=2)


@pytest.mark.parametrize("end", [ReturnStatus.CANCELLED, ReturnStatus.REFUSED])
async def test_what_came_to_nothing_may_be_asked_for_again(shop: Shop, end: ReturnStatus) -> None:
    order = await sent(shop, A=2)
    one = await ask(shop, order, A=2)
    await step(shop, order, one, end)
    assert (await ask(shop, order, A=2)).id != one.id


async def test_requests_at_the_same_time_never_take_the_same_units(shop: Shop) -> None:
    order = await sent(shop, A=5)
    asked = await asyncio.gather(*(ask(shop, order, A=2) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, Return) for one in asked) == 2
    assert {type(one) for one in asked} == {Return, ReturnTooLarge}
    assert await shops.violations(shop) == {}


async def test_closing_at_the_same_time_restocks_once(shop: Shop) -> None:
    order = await sent(shop, A=3)
    one = await ask(shop, order, A=3)
    await step(shop, order, one, ReturnStatus.RECEIVED)
    await step(shop, order, one, ReturnStatus.INSPECTED, ReturnLine("A", 0, restocked=3))
    ends = [ReturnStatus.CLOSED] * 4 + [ReturnStatus.REFUSED]
    outcomes = await asyncio.gather(*(step(shop, order, one, end) for end in ends), return_exceptions=True)
    assert sum(isinstance(outcome, Return) for outcome in outcomes) == 1
    now = next(each for each in (await shop.orders.get(order.id)).returns if each.id == one.id)
    assert (await shops.levels(shop, "A"))[0] == (10 if now.status is ReturnStatus.CLOSED else 7)
    assert await shops.violations(shop) == {}


async def test_a_refund_and_a_return_never_put_the_same_units_on_the_shelf_twice(shop: Shop) -> None:
    order = await sent(shop, A=4)
    one = await ask(shop, order, A=3)
    with pytest.raises(RefundTooLarge, match="comes back by a return"):
        await shop.refunds.refund(order.id, [Line("A", 2)], True, "staff")
    await shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    with pytest.raises(ReturnTooLarge):
        await ask(shop, order, A=1)
    await shop.refunds.refund(order.id, [], False, "staff")
    await close(shop, order, one, ReturnLine("A", 0, restocked=3))
    assert (await shops.levels(shop, "A"))[0] == 10
    assert await shops.violations(shop) == {}


async def test_a_refund_with_restock_and_a_request_at_the_same_time_do_not_both_get_the_units(shop: Shop) -> None:
    order = await sent(shop, A=1)
    refund = shop.refunds.refund(order.id, [Line("A", 1)], True, "staff")
    outcomes = await asyncio.gather(refund, ask(shop, order, A=1), return_exceptions=True)
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert await shops.violations(shop) == {}


async def test_the_same_key_asks_and_closes_once(shop: Shop) -> None:
    order = await sent(shop, A=4)
    first, again = [await ask(shop, order, key="ask", A=2) for _ in range(2)]
    assert first.id == again.id
    await step(shop, order, first, ReturnStatus.RECEIVED, key="in")
    await step(shop, order, first, ReturnStatus.RECEIVED, key="in")
    await step(shop, order, first, ReturnStatus.INSPECTED, ReturnLine("A", 0, restocked=2))
    for _ in range(2):
        await step(shop, order, first, ReturnStatus.CLOSED, key="close")
    assert (await shops.levels(shop, "A"))[0] == 8
    with pytest.raises(KeyReused):
        await shop.returns.request(order.id, [Line("A", 1)], "", "u1", shops.key("ask", "something else"))
    paid = await shops.buy(shop, A=1)
    await shops.pay(shop, paid, key=shops.key("paying"))
    with pytest.raises(KeyReused):
        await ask(shop, order, key="paying", A=1)


ALLOWED = {
    ("requested", "received"),
    ("requested", "refused"),
    ("requested", "cancelled"),
    ("received", "inspected"),
    ("received", "refused"),
    ("inspected", "inspected"),
    ("inspected", "closed"),
    ("inspected", "refused"),
}
WAYS: dict[str, list[ReturnStatus]] = {
    "requested": [],
    "received": [ReturnStatus.RECEIVED],
    "inspected": [ReturnStatus.RECEIVED, ReturnStatus.INSPECTED],
    "closed": [ReturnStatus.RECEIVED, ReturnStatus.INSPECTED, ReturnStatus.CLOSED],
    "refused": [ReturnStatus.REFUSED],
    "cancelled": [ReturnStatus.CANCELLED],
}


@pytest.mark.parametrize("source", WAYS)
async def test_from_each_status_exactly_the_allowed_ones_are_reached(shop: Shop, source: str) -> None:
    order = await sent(shop, A=6)
    for target in ReturnStatus:
        if target is ReturnStatus.REQUESTED:
            continue
        one = await ask(shop, order, A=1)

        async def go(status: ReturnStatus, one: Return = one) -> Return:
            found = [ReturnLine("A", 0, damaged=1)] if status is ReturnStatus.INSPECTED else []
            return await step(shop, order, one, status, *found)

        for status in WAYS[source]:
            await go(status)
        if (source, target.value) in ALLOWED:
            assert (await go(target)).status is target
        else:
            with pytest.raises(WrongReturnStatus) as refused:
                await go(target)
            assert refused.value.extra == {"returnStatus": source}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([ReturnLine("A", 0, restocked=1)], "A: 2 came back and 1 are accounted for"),
        ([ReturnLine("A", 0, restocked=2, damaged=1)], "A: 2 came back and 3 are accounted for"),
        ([ReturnLine("A", 0, restocked=2), ReturnLine("B", 0, restocked=1)], "B: Is not in this return"),
        ([ReturnLine("A", 0, restocked=1), ReturnLine("A", 0, restocked=2)], "A: Is named more than once"),
    ],
)
async def test_inspection_accounts_for_every_unit_or_says_what_is_missing(
    shop: Shop, found: list[ReturnLine], sentence: str
) -> None:
    order = await sent(shop, A=2, B=1)
    one = await ask(shop, order, A=2)
    await step(shop, order, one, ReturnStatus.RECEIVED)
    with pytest.raises(Invalid) as refused:
        await step(shop, order, one, ReturnStatus.INSPECTED, *found)
    assert refused.value.detail == sentence


async def test_what_was_never_sent_does_not_come_back(shop: Shop) -> None:
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=1)
    for step_on in (lambda: shops.pay(shop, order), lambda: shop.orders.ship(order.id, "staff")):
        with pytest.raises(WrongStatus):
            await ask(shop, order, A=1)
        await step_on()
    await shop.refunds.refund(order.id, [], False, "staff")
    await ask(shop, order, A=1)  # the money came first
    with pytest.raises(ReturnNotFound):
        await shop.returns.move(order.id, "no-such-return", ReturnStatus.RECEIVED, "staff")


async def test_an_order_has_so_many_returns_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "RETURNS_MAX", 2)
    order = await sent(shop, A=1)
    for _ in range(2):
        await step(shop, order, await ask(shop, order, A=1), ReturnStatus.CANCELLED)
    with pytest.raises(TooManyReturns):
        await ask(shop, order, A=1)


async def test_a_step_that_is_not_committed_moves_neither_stock_nor_return(shop: Shop) -> None:
    order = await sent(shop, A=2)
    one = await ask(shop, order, A=2)
    await step(shop, order, one, ReturnStatus.RECEIVED)
    await step(shop, order, one, ReturnStatus.INSPECTED, ReturnLine("A", 0, restocked=2))
    with shops.failing_once_written(shop), pytest.raises(RuntimeError):
        await step(shop, order, one, ReturnStatus.CLOSED)
    assert (await shop.orders.get(order.id)).returns[0].status is ReturnStatus.INSPECTED
    assert (await shops.levels(shop, "A"))[0] == 8
    await step(shop, order, one, ReturnStatus.CLOSED)
    assert await shops.violations(shop) == {}


@pytest.mark.parametrize("of", ["an account", "a guest"])
async def test_what_was_written_about_a_return_goes_with_the_person(shop: Shop, of: str) -> None:
    order = await sent(shop, A=1)
    await shop.returns.request(order.id, [Line("A", 1)], "I am ill", "u1")
    if of == "a guest":
        await shop.buyers.forget_guest(order.id)
    else:
        await ShippingAddresses(shop.stores.database).forget_user("u1")
    stored: Any = await shop.stores.database["orders"].find_one({"_id": order.id})
    assert [one["reason"] for one in stored["returns"]] == [""]
