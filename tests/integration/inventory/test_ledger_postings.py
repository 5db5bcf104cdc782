"""The ledger on a real mongod: completely or not at all, each caller its own answer, every movement in the history."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.errors import Unavailable
from service.idempotency import IdempotencyClaim
from service.inventory.models import (
    BelowReserved,
    Confirm,
    Expire,
    HoldResolved,
    InsufficientStock,
    KeyReused,
    Line,
    MovementKind,
    NoStock,
    Posting,
    Release,
    Reserve,
    UnknownSku,
)

WIDEST_REAL_INVOICE = 674


@pytest.fixture
async def other(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    """A second process's view: its own connections, its own queue, the same stores."""
    async with shops.open_shop(config, clock) as opened:
        yield opened


def reserve(shop: Shop, order: str, *lines: Line, key: str | None = None, asked: str = "the same") -> Posting:
    claim = None if key is None else IdempotencyClaim(key, asked, {"orderId": order}, shops.FAR)
    return Posting(Reserve(order, "u1", lines, shops.FAR), "u1", "checkout", order_id=order, claim=claim)


def posting(action: Any) -> Posting:
    return Posting(action, "u1", "test")


async def outcomes(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(answers: list[Any]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


async def replayed(shop: Shop, sku: str) -> tuple[int, int]:
    """What the history alone says of a SKU, each entry checked against the state it claims to leave."""
    on_hand = reserved = 0
    entries = await shop.inventory.history(sku, None, 10_000)
    for seq, movement in enumerate(reversed(entries), 1):
        on_hand += movement.on_hand_delta
        reserved += movement.reserved_delta
        assert (movement.seq, movement.on_hand, movement.reserved) == (seq, on_hand, reserved)
    return on_hand, reserved


async def test_the_widest_real_invoice_is_held_line_by_line_in_one_posting(shop: Shop):
    skus = {f"S{number}": 5 for number in range(WIDEST_REAL_INVOICE)}
    await shops.stock_all(shop, skus)
    accepted = await shop.ledger.post(reserve(shop, "o1", *(Line(sku, 2) for sku in skus)))
    assert len(accepted.movements) == WIDEST_REAL_INVOICE
    held = await shop.inventory.availability(skus)
    assert {stock.available for stock in held.values()} == {3}


async def test_one_short_line_of_many_leaves_every_other_untouched(shop: Shop):
    skus = {f"S{number}": 5 for number in range(WIDEST_REAL_INVOICE)} | {"S600": 1}
    await shops.stock_all(shop, skus)
    with pytest.raises(InsufficientStock) as refused:
        await shop.ledger.post(reserve(shop, "o1", *(Line(sku, 2) for sku in skus)))
    assert refused.value.extra["shortages"] == [{"sku": "S600", "requested": 2, "available": 1}]
    assert {stock.reserved for stock in (await shop.inventory.availability(skus)).values()} == {0}
    assert await shop.stores.database["reservations"].count_documents({}) == 0


async def test_a_refusal_does_not_fail_its_neighbours_in_the_batch(shop: Shop):
    await shops.stock(shop, A=10)
    batches = shop.ledger.group.batches
    answers = await outcomes(*(shop.ledger.post(reserve(shop, f"o{n}", Line("A", n))) for n in (1, 99, 2, 98, 3)))
    assert kinds(answers) == ["Accepted"] * 3 + ["InsufficientStock"] * 2
    assert await shops.levels(shop, "A") == (10, 6)
    assert shop.ledger.group.batches - batches <= 2


async def test_a_hundred_buyers_of_ten_units_get_ten(shop: Shop, other: Shop):
    await shops.stock(shop, A=10)
    buyers = [(shop, other)[n % 2].ledger.post(reserve(shop, f"o{n}", Line("A", 1))) for n in range(100)]
    assert kinds(await outcomes(*buyers)) == ["Accepted"] * 10 + ["InsufficientStock"] * 90
    assert await shops.levels(shop, "A") == (10, 10)
    assert await replayed(shop, "A") == (10, 10)


async def test_simultaneous_duplicates_in_one_process_hold_once(shop: Shop):
    await shops.stock(shop, A=10)
    answers = await outcomes(*(shop.ledger.post(reserve(shop, f"o{n}", Line("A", 1), key="k")) for n in range(20)))
    assert kinds(answers) == ["Accepted"] + ["IdempotencyRecord"] * 19
    assert await shops.levels(shop, "A") == (10, 1)


async def test_simultaneous_duplicates_in_two_processes_hold_once(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    for attempt in range(10):
        key = f"k{attempt}"
        answers = await outcomes(
            shop.ledger.post(reserve(shop, f"a{attempt}", Line("A", 1), key=key)),
            other.ledger.post(reserve(other, f"b{attempt}", Line("A", 1), key=key)),
        )
        assert kinds(answers) == ["Accepted", "IdempotencyRecord"]
    assert await shops.levels(shop, "A") == (100, 10)


async def test_a_key_reused_for_another_request_is_refused(shop: Shop):
    await shops.stock(shop, A=10)
    await shop.ledger.post(reserve(shop, "o1", Line("A", 1), key="k"))
    with pytest.raises(KeyReused):
        await shop.ledger.post(reserve(shop, "o2", Line("A", 2), key="k", asked="more"))
    assert await shops.levels(shop, "A") == (10, 1)


async def test_a_key_inserted_behind_our_snapshot_is_met_on_the_next_one(shop: Shop, other: Shop):
    """The other process commits the key between our read and our insert: the duplicate is not an error."""
    await shops.stock(shop, A=1, B=1)
    inserted = asyncio.Event()
    write = shop.ledger._store.write

    async def write_late(*given: Any) -> None:
        if not inserted.is_set():
            inserted.set()
            await other.ledger.post(reserve(other, "theirs", Line("A", 1), key="k"))
        await write(*given)

    shop.ledger._store.write = write_late
    answer = await shop.ledger.post(reserve(shop, "ours", Line("B", 1), key="k"))
    assert answer.outcome == {"orderId": "theirs"}
    assert await shops.levels(shop, "B") == (1, 0)
    assert shop.transactions.retries >= 1


async def test_a_hold_is_resolved_once_whoever_comes_first(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    for number in range(10):
        order = f"o{number}"
        await shop.ledger.post(reserve(shop, order, Line("A", 1)))
        answers = await outcomes(shop.ledger.post(posting(Confirm(order))), other.ledger.post(posting(Release(order))))
        assert kinds(answers) == ["Accepted", "HoldResolved"]
    on_hand, reserved = await shops.levels(shop, "A")
    sold = await shop.stores.database["reservations"].count_documents({"status": "confirmed"})
    assert (on_hand, reserved) == (100 - sold, 0)
    assert await replayed(shop, "A") == (on_hand, 0)


async def test_an_expired_hold_not_yet_swept_is_sold_as_a_new_sale_never_as_the_old_hold(
    shop: Shop, clock: shops.MovableClock
):
    await shops.stock(shop, A=1)
    order = await shops.buy(shop, A=1)
    clock.advance(shop.config.reservation_ttl_seconds)
    await shop.ledger.post(posting(Confirm(order.id)))
    found = await shop.stores.database["reservations"].find({"orderId": order.id}).sort("_id", 1).to_list(None)
    assert sorted(reservation["status"] for reservation in found) == ["confirmed", "expired"]
    assert await shops.levels(shop, "A") == (0, 0)
    with pytest.raises(HoldResolved):
        await shop.ledger.post(posting(Expire(order.id)))


async def test_history_names_actor_reason_and_order_of_every_movement(shop: Shop):
    await shops.stock(shop, A=5)
    order = await shops.buy(shop, A=2)
    await shops.pay(shop, order)
    await shop.inventory.adjust("A", -1, "broken", "staff9")
    entries = await shop.inventory.history("A", None, 10)
    assert [(m.kind, m.actor, m.reason, m.order_id) for m in entries] == [
        (MovementKind.ADJUST, "staff9", "broken", None),
        (MovementKind.CONFIRM, "u1", "payment", order.id),
        (MovementKind.RESERVE, "u1", "checkout", order.id),
        (MovementKind.RECEIVE, "staff", "goods in", None),
    ]
    assert await replayed(shop, "A") == await shops.levels(shop, "A") == (2, 0)


async def test_history_pages_from_the_newest_without_gaps(shop: Shop):
    await shops.stock(shop, A=1)
    for _ in range(6):
        await shop.inventory.adjust("A", 1, "count", "staff")
    first = await shop.inventory.history("A", None, 4)
    second = await shop.inventory.history("A", first[-1].seq, 4)
    assert [m.seq for m in first + second] == [7, 6, 5, 4, 3, 2, 1]


async def test_stock_is_never_adjusted_below_what_is_reserved(shop: Shop):
    await shops.stock(shop, A=5)
    await shops.buy(shop, A=3)
    with pytest.raises(BelowReserved):
        await shop.inventory.adjust("A", -3, "count", "staff")
    await shop.inventory.adjust("A", -2, "count", "staff")
    assert await shops.levels(shop, "A") == (3, 3)


async def test_two_adjustments_at_once_both_count(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    await asyncio.gather(*((shop, other)[n % 2].inventory.adjust("A", -1, "count", "staff") for n in range(40)))
    assert await shops.levels(shop, "A") == (60, 0)
    assert await replayed(shop, "A") == (60, 0)


async def test_goods_come_in_all_lines_or_none(shop: Shop):
    await shops.stock(shop, A=1)
    with pytest.raises(UnknownSku):
        await shop.inventory.receive([Line("A", 5), Line("NOPE", 1)], "staff")
    assert await shops.levels(shop, "A") == (1, 0)


async def test_a_buyer_who_hangs_up_still_has_a_whole_order_or_none(shop: Shop):
    await shops.stock(shop, A=10)
    calls = [asyncio.create_task(shop.orders.checkout("u1", [Line("A", 1)])) for _ in range(8)]
    await asyncio.sleep(0.002)
    for call in calls:
        call.cancel()
    await outcomes(*calls)
    await shop.drain()
    orders = await shop.stores.database["orders"].count_documents({"status": "pending"})
    assert await shops.levels(shop, "A") == (10, orders)
    assert await shops.violations(shop) == {}


async def test_too_many_waiting_postings_are_refused_and_change_nothing(config: Config, clock: shops.MovableClock):
    async with shops.open_shop(replace(config, postings_waiting_max=5, batch_postings_max=2), clock) as shop:
        await shops.stock(shop, A=100)
        answers = await outcomes(*(shop.ledger.post(reserve(shop, f"o{n}", Line("A", 1))) for n in range(50)))
        accepted = sum(not isinstance(answer, Exception) for answer in answers)
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {Unavailable}
        assert accepted < 50
        assert await shops.levels(shop, "A") == (100, accepted)


async def test_without_group_commit_the_books_are_the_same(config: Config, clock: shops.MovableClock):
    """The bench's comparison must compare like with like."""
    async with shops.open_shop(replace(config, group_commit=False), clock) as shop:
        await shops.stock(shop, A=5)
        batches = shop.ledger.group.batches
        answers = await outcomes(*(shop.ledger.post(reserve(shop, f"o{n}", Line("A", 1))) for n in range(8)))
        assert kinds(answers) == ["Accepted"] * 5 + ["InsufficientStock"] * 3
        assert shop.ledger.group.batches - batches == 8


async def test_settling_many_wide_orders_at_once_stays_in_bounded_batches(config: Config, clock: shops.MovableClock):
    """A confirmation moves as many SKUs as the order has lines: it must weigh as much as its checkout."""
    async with shops.open_shop(replace(config, batch_lines_max=50), clock) as shop:
        skus = {f"S{number}": 100 for number in range(20)}
        await shops.stock_all(shop, skus)
        orders = [await shops.buy(shop, **dict.fromkeys(skus, 1)) for _ in range(6)]
        batches = shop.ledger.group.batches
        await asyncio.gather(*(shop.orders.cancel(order, "u1") for order in orders))
        assert shop.ledger.group.batches - batches >= 3
        assert await shops.violations(shop) == {}


async def test_a_posting_without_movements_still_has_its_key(shop: Shop):
    only_key = Posting(NoStock(), "u1", claim=IdempotencyClaim("k", "f", {"n": 1}, shops.FAR))
    answers = await outcomes(*(shop.ledger.post(only_key) for _ in range(3)))
    assert kinds(answers) == ["Accepted", "IdempotencyRecord", "IdempotencyRecord"]
