"""What an order may become, what a coupon takes off, what a refund gives back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import Invalid
from service.inventory.models import HoldStatus, Line
from service.orders import postings
from service.orders.models import (
    REFUNDABLE,
    TRANSITIONS,
    Coupon,
    CouponKind,
    CouponNotValid,
    Key,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    ReservationState,
    StatusChange,
    before,
)
from service.orders.refunds import _share

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = Key("u1:k", "f", NOW)


def order(*lines: tuple[str, int, int], discount: int = 0, status: OrderStatus = OrderStatus.PENDING) -> Order:
    """Lines of (sku, quantity, unit price)."""
    items = tuple(OrderLine(sku, "p1", sku, quantity, price) for sku, quantity, price in lines or [("A", 2, 500)])
    subtotal = sum(line.line_total for line in items)
    return Order(
        id="o1",
        number="HF-1",
        user_id="u1",
        status=status,
        lines=items,
        subtotal=subtotal,
        discount=discount,
        total=subtotal - discount,
        currency="GBP",
        created_at=NOW,
        reservation=ReservationState(HoldStatus.ACTIVE, NOW + timedelta(minutes=15)),
        history=(StatusChange(OrderStatus.PENDING, NOW, "u1"),),
    )


def coupon(kind: CouponKind = CouponKind.PERCENTAGE, value: int = 10, **more: object) -> Coupon:
    return Coupon("SPRING", kind, value, NOW, **more)


ALLOWED = {
    ("pending", "paid"),
    ("pending", "cancelled"),
    ("paid", "shipped"),
    ("paid", "refunded"),
    ("shipped", "delivered"),
    ("shipped", "refunded"),
    ("delivered", "refunded"),
}


@pytest.mark.parametrize("source", OrderStatus)
@pytest.mark.parametrize("target", OrderStatus)
def test_only_the_seven_named_transitions_exist(source: OrderStatus, target: OrderStatus):
    assert (target in TRANSITIONS[source]) == ((source.value, target.value) in ALLOWED)
    assert (source in before(target)) == ((source.value, target.value) in ALLOWED)


def test_money_goes_back_only_for_what_was_paid():
    assert {"paid", "shipped", "delivered"} == REFUNDABLE


def test_a_percentage_is_rounded_down_to_the_minor_unit():
    assert coupon(value=10).discount(999, NOW) == 99


@pytest.mark.parametrize(
    "never",
    [
        {"starts_at": NOW, "ends_at": NOW},
        {"starts_at": NOW, "ends_at": NOW - timedelta(seconds=1)},
        {"kind": CouponKind.PERCENTAGE, "value": 101},
        {"kind": CouponKind.PERCENTAGE, "value": 0},
        {"uses_max": 2, "uses_per_user_max": 3},
    ],
)
def test_a_coupon_that_could_never_hold_is_refused(never: dict[str, object]):
    coupon().check()
    with pytest.raises(Invalid):
        coupon(**never).check()


def test_a_fixed_coupon_never_takes_more_than_there_is():
    assert coupon(CouponKind.FIXED, 500).discount(300, NOW) == 300


@pytest.mark.parametrize(
    "refused",
    [
        coupon(active=False),
        coupon(starts_at=NOW + timedelta(seconds=1)),
        coupon(ends_at=NOW),
        coupon(minimum_subtotal=1_001),
    ],
    ids=["switched off", "not yet", "over", "too little bought"],
)
def test_a_coupon_out_of_place_is_refused(refused: Coupon):
    with pytest.raises(CouponNotValid):
        refused.discount(1_000, NOW)


def test_a_coupon_counts_from_its_first_to_before_its_last_moment():
    assert coupon(starts_at=NOW, ends_at=NOW + timedelta(milliseconds=1)).discount(1_000, NOW) == 100


def refund(order_: Order, number: int, amount: int, **lines: int) -> Order:
    given = Refund(f"r{number}", amount, False, tuple(Line(*each) for each in lines.items()), NOW, "staff")
    return replace(order_, refunds=(*order_.refunds, given))


def test_what_is_left_to_refund_shrinks_with_each_refund():
    paid = order(("A", 3, 100), ("B", 1, 50))
    paid = refund(paid, 1, 100, A=1)
    assert paid.refundable() == {"A": 2, "B": 1}
    paid = refund(paid, 2, 250, A=2, B=1)
    assert paid.refundable() == {}


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 999)), min_size=1, max_size=5),
    st.integers(0, 100),
)
def test_refunds_line_by_line_give_back_exactly_what_was_paid(lines: list[tuple[int, int]], percent: int):
    whole = order(*((f"S{n}", quantity, price) for n, (quantity, price) in enumerate(lines)))
    paid = replace(whole, discount=whole.subtotal * percent // 100)
    paid = replace(paid, total=paid.subtotal - paid.discount)
    for number, line in enumerate(paid.lines):
        wanted = {line.sku: line.quantity}
        last = paid.refundable() == wanted
        amount = paid.total - paid.refunded if last else _share(paid, wanted)
        assert amount >= 0
        paid = refund(paid, number, amount, **wanted)
    assert paid.refunded == paid.total


def test_the_last_refund_is_the_one_that_leaves_nothing_whatever_the_amounts():
    free = order(("A", 1, 100), ("B", 1, 100), discount=200, status=OrderStatus.PAID)
    first = Refund("r1", 0, False, (Line("A", 1),), NOW, "staff")
    second = Refund("r2", 0, False, (Line("B", 1),), NOW, "staff")
    assert "$set" not in postings.refunded(free, first, None).writes[0].update
    left = replace(free, refunds=(first,))
    assert postings.refunded(left, second, None).writes[0].update["$set"]["status"] == "refunded"


def test_an_order_without_a_coupon_touches_no_coupon():
    assert [write.collection for write in postings.placed(order(), KEY).writes] == ["orders"]
    assert [write.collection for write in postings.cancelled(order(), "u1", "cancelled", NOW, KEY).writes] == ["orders"]


def test_every_way_to_cancel_gives_the_coupon_back_once():
    used = replace(order(), coupon="SPRING", payment=Payment("p1", PaymentStatus.PROCESSING, "card", NOW))
    ways = [
        postings.cancelled(used, "u1", "cancelled", NOW, None),
        postings.declined(used, "p1", NOW, None),
        postings.unsold(used, "p1", CouponNotValid(), NOW, None),
    ]
    for posting in ways:
        given_back = [w for w in posting.writes if w.collection in {"coupons", "coupon_users"}]
        assert [write.update for write in given_back] == [{"$inc": {"used": -1}}] * 2
    assert not [w for w in postings.paid(used, "p1", NOW, None).writes if w.collection == "coupons"]


def test_a_cancelled_order_says_whether_its_hold_was_released_or_had_lapsed():
    lapsed = replace(order(), reservation=ReservationState(HoldStatus.EXPIRED, NOW))
    for given_order, status in ((order(), "released"), (lapsed, "expired")):
        update = postings.cancelled(given_order, "u1", "cancelled", NOW, None).writes[0].update
        assert update["$set"]["reservation.status"] == status


def test_settling_weighs_as_much_as_checking_out():
    wide = order(*((f"S{n}", 1, 1) for n in range(40)))
    assert postings.placed(wide, None).weight == postings.cancelled(wide, "u1", "", NOW, None).weight
    assert postings.placed(wide, None).weight == postings.paid(wide, "p1", NOW, None).weight


def test_an_answer_is_shown_as_it_was_given_however_far_the_order_has_come():
    paid = replace(
        order(status=OrderStatus.SHIPPED),
        reservation=ReservationState(HoldStatus.CONFIRMED, NOW),
        payment=Payment("p1", PaymentStatus.PAID, "card", NOW),
        history=tuple(StatusChange(OrderStatus(s), NOW, "u1") for s in ("pending", "paid", "shipped")),
    )
    assert paid.as_placed() == replace(order(), reservation=ReservationState(HoldStatus.ACTIVE, NOW))
    assert [change.status for change in paid.as_paid().history] == ["pending", "paid"]
