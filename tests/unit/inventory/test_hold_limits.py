"""What one customer may hold unpaid, rule by rule. Nothing here waits, and nothing is stored."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.inventory.allowance import Allowance, TooMuchHeld
from service.inventory.decisions import decide
from service.inventory.models import Accepted, Books, Hold, Holder, HoldStatus, Line, Posting, Release, Reserve, Stock

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=15)
LIMITS = Allowance(3, 20, 10, {"SCARCE": 1}, 2, 60.0, 600.0, 86_400.0, TTL.total_seconds())


def hold(order: str, ended: datetime, status: HoldStatus = HoldStatus.ACTIVE, **lines: int) -> Hold:
    """One that ends at `ended` by itself, or was resolved then."""
    wanted = tuple(Line(sku, quantity) for sku, quantity in (lines or {"A": 1}).items())
    return Hold(order, "u1", wanted, status, ended, None if status is HoldStatus.ACTIVE else ended)


def lapsed(count: int, ago_seconds: float = 1.0) -> list[Hold]:
    return [hold(f"o{number}", NOW - timedelta(seconds=ago_seconds)) for number in range(count)]


def reserving(order: str, user: str = "u1", **lines: int) -> Posting:
    wanted = tuple(Line(sku, quantity) for sku, quantity in lines.items())
    return Posting(Reserve(order, user, wanted, NOW + TTL, LIMITS), user, order_id=order)


def accepted(books: Books, *batch: Posting) -> list[bool]:
    return [isinstance(decision, Accepted) for decision in decide(books, batch, NOW)]


def books(**available: int) -> Books:
    return Books({sku: Stock(sku, quantity, 0, 1) for sku, quantity in available.items()})


def test_postings_of_one_batch_count_each_other():
    assert accepted(books(A=100), *(reserving(f"o{n}", A=1) for n in range(5))) == [True] * 3 + [False] * 2


def test_a_hold_given_back_earlier_in_the_batch_makes_room():
    known = books(A=100)
    batch = [*(reserving(f"o{n}", A=1) for n in range(3)), Posting(Release("o0"), "u1"), reserving("o4", A=1)]
    assert accepted(known, *batch) == [True] * 5
    assert known.holders["u1"] == Holder("u1", ("o1", "o2", "o4"), 4)


def test_a_refused_order_leaves_the_holder_as_it_was():
    known = books(A=100)
    assert accepted(known, reserving("o1", A=11)) == [False]
    assert known.holders == {}


def test_what_others_hold_does_not_count():
    assert accepted(books(A=100), reserving("o1", A=10), reserving("o2", "u2", A=10)) == [True, True]


@pytest.mark.parametrize(
    ("lines", "limit"), [({"A": 11}, "sku"), ({"SCARCE": 2}, "sku"), ({"A": 10, "B": 10, "C": 1}, "units")]
)
def test_one_order_is_bounded_like_several(lines: dict[str, int], limit: str):
    with pytest.raises(TooMuchHeld) as refusal:
        LIMITS.check([Line(sku, quantity) for sku, quantity in lines.items()], [], NOW)
    assert refusal.value.extra["limit"] == limit


def test_a_sku_may_allow_more_than_others():
    replace(LIMITS, sku_limits={"A": 15}).check([Line("A", 15)], [], NOW)


@pytest.mark.parametrize(
    ("count", "wait_seconds"), [(2, 0), (3, 60), (4, 120), (5, 240), (6, 480), (7, 600), (400, 600)]
)
def test_each_hold_more_that_ran_out_doubles_the_wait(count: int, wait_seconds: int):
    if not wait_seconds:
        LIMITS.check([Line("A", 1)], lapsed(count), NOW)
        return
    with pytest.raises(TooMuchHeld) as refusal:
        LIMITS.check([Line("A", 1)], lapsed(count), NOW)
    assert refusal.value.extra == {"limit": "unpaid_before"}
    assert refusal.value.retry_after_seconds == wait_seconds
    LIMITS.check([Line("A", 1)], lapsed(count, wait_seconds), NOW)


def test_what_ran_out_long_ago_is_forgotten():
    LIMITS.check([Line("A", 1)], lapsed(50, ago_seconds=86_401), NOW)


@pytest.mark.parametrize(
    ("status", "resolved_before_end", "counts"),
    [
        (HoldStatus.EXPIRED, timedelta(0), True),
        (HoldStatus.RELEASED, timedelta(seconds=1), True),
        (HoldStatus.RELEASED, TTL * 0.6, False),
        (HoldStatus.CONFIRMED, timedelta(0), False),
    ],
)
def test_kept_for_most_of_its_time_is_kept_for_nothing(
    status: HoldStatus, resolved_before_end: timedelta, counts: bool
):
    ended = replace(hold("o1", NOW + TTL), status=status, resolved_at=NOW + TTL - resolved_before_end)
    assert LIMITS.has_lapsed(ended, NOW + TTL) is counts


ORDERS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12)


@given(ORDERS, st.lists(st.integers(0, 11), max_size=4))
def test_however_orders_and_cancellations_come_nobody_ever_holds_more(
    orders: list[tuple[int, int]], cancelled: list[int]
):
    known = books(A=1_000, B=1_000)
    for number, (a, b) in enumerate(orders):
        decide(known, [reserving(f"o{number}", A=a, B=b)], NOW)
        if number in cancelled and f"o{number}" in known.holds:
            decide(known, [Posting(Release(f"o{number}"), "u1")], NOW)
        alive = [each for each in known.holds.values() if each.status is HoldStatus.ACTIVE]
        units = [line.quantity for each in alive for line in each.lines]
        assert len(alive) <= LIMITS.orders_max
        assert sum(units) <= LIMITS.units_max
        assert max(known.stock[sku].reserved for sku in "AB") <= LIMITS.sku_units_max
