"""The rules of stock, posting by posting. Nothing here waits, and nothing is stored."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import NotFound, Problem
from service.events import OrderPlaced
from service.inventory.decisions import decide
from service.inventory.models import (
    STOCK_MAX,
    Accepted,
    Action,
    BelowReserved,
    Books,
    Change,
    Claim,
    Confirm,
    Expect,
    Expire,
    Hold,
    HoldResolved,
    HoldStatus,
    InsufficientStock,
    KeyReused,
    Line,
    MovementKind,
    NoStock,
    Posting,
    Recorded,
    Release,
    Replayed,
    ReservationExpired,
    Reserve,
    StateMoved,
    Stock,
    StockLimit,
    UnknownSku,
    Write,
    merge,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)


def books(holds: Mapping[str, Hold] | None = None, **available: int) -> Books:
    """SKUs with that much available, and what the given active holds reserve on top."""
    stock = {sku: Stock(sku, quantity, 0, 1) for sku, quantity in available.items()}
    for hold in (holds or {}).values():
        for line in hold.lines if hold.status is HoldStatus.ACTIVE else ():
            known = stock[line.sku]
            stock[line.sku] = replace(
                known, on_hand=known.on_hand + line.quantity, reserved=known.reserved + line.quantity
            )
    return Books(stock, dict(holds or {}))


def hold(status: HoldStatus = HoldStatus.ACTIVE, expires_at: datetime = LATER, order: str = "o1", **lines: int) -> Hold:
    return Hold(order, "u1", tuple(Line(sku, quantity) for sku, quantity in lines.items()), status, expires_at)


def reserve(order: str = "o1", **lines: int) -> Reserve:
    return Reserve(order, "u1", tuple(Line(sku, quantity) for sku, quantity in lines.items()), LATER)


def post(action: Action, **more: Any) -> Posting:
    return Posting(action, actor="u1", reason="test", **more)


def one(known: Books, posting: Posting | Action) -> Any:
    posting = posting if isinstance(posting, Posting) else post(posting)
    return decide(known, [posting], NOW)[0]


def test_a_reservation_holds_stock_and_takes_nothing_from_the_shelf():
    known = books(A=5)
    accepted = one(known, reserve(A=2))
    assert (known.stock["A"].on_hand, known.stock["A"].reserved, known.stock["A"].available) == (5, 2, 3)
    [movement] = accepted.movements
    assert (movement.kind, movement.seq, movement.on_hand, movement.reserved) == (MovementKind.RESERVE, 2, 5, 2)


def test_the_last_unit_is_held_by_the_first_of_two():
    known = books(A=1)
    first, second = decide(known, [post(reserve("o1", A=1)), post(reserve("o2", A=1))], NOW)
    assert isinstance(first, Accepted)
    assert isinstance(second, InsufficientStock)
    assert second.extra["shortages"] == [{"sku": "A", "requested": 1, "available": 0}]


def test_one_missing_line_leaves_all_lines_unheld():
    known = books(A=5, B=0)
    refused = one(known, reserve(A=2, B=1))
    assert isinstance(refused, InsufficientStock)
    assert known.stock["A"].reserved == 0
    assert not known.holds


def test_every_short_line_is_named_at_once():
    refused = one(books(A=1, B=0, C=9), reserve(A=2, B=1, C=1))
    assert refused.extra["shortages"] == [
        {"sku": "A", "requested": 2, "available": 1},
        {"sku": "B", "requested": 1, "available": 0},
    ]


def test_the_same_sku_twice_in_one_order_counts_twice():
    twice = Reserve("o1", "u1", (Line("A", 2), Line("A", 2)), LATER)
    assert isinstance(one(books(A=3), twice), InsufficientStock)
    known = books(A=4)
    assert one(known, twice).holds[0].hold.lines == (Line("A", 4),)
    assert known.stock["A"].available == 0


def test_a_refusal_leaves_its_neighbours_their_stock():
    batch = [post(reserve("o1", A=2)), post(reserve("o2", A=9)), post(reserve("o3", A=1))]
    decisions = decide(books(A=3), batch, NOW)
    assert [isinstance(decision, Accepted) for decision in decisions] == [True, False, True]


def test_an_unknown_sku_is_refused_by_name():
    assert one(books(A=1), reserve(A=1, NOPE=1, NO=1)).extra == {"sku": "NOPE", "skus": ["NOPE", "NO"]}


def test_confirming_takes_the_held_units_off_the_shelf():
    known = books({"o1": hold(A=2)}, A=1)
    accepted = one(known, Confirm("o1"))
    assert (known.stock["A"].on_hand, known.stock["A"].reserved) == (1, 0)
    assert [m.kind for m in accepted.movements] == [MovementKind.CONFIRM]
    assert known.holds["o1"].status is HoldStatus.CONFIRMED


def test_a_hold_past_its_expiry_is_not_confirmed_even_before_the_sweep():
    """TigerBeetle 2000: a confirm between expiry and sweep."""
    known = books({"o1": hold(expires_at=NOW, A=1)}, A=0)
    accepted = one(known, Confirm("o1"))
    assert [m.kind for m in accepted.movements] == [MovementKind.EXPIRE, MovementKind.SELL]
    assert (known.stock["A"].on_hand, known.stock["A"].reserved) == (0, 0)


def test_a_hold_is_alive_until_the_millisecond_of_its_expiry():
    known = books({"o1": hold(expires_at=NOW + timedelta(milliseconds=1), A=1)}, A=0)
    assert [m.kind for m in one(known, Confirm("o1")).movements] == [MovementKind.CONFIRM]


def test_paying_after_the_sweep_sells_again_from_free_stock():
    known = books({"o1": hold(HoldStatus.EXPIRED, A=2)}, A=5)
    accepted = one(known, Confirm("o1"))
    assert [m.kind for m in accepted.movements] == [MovementKind.SELL]
    assert known.stock["A"].on_hand == 3
    [change] = accepted.holds
    assert change.before is None, "the expired reservations stay expired; new ones are born confirmed"


def test_paying_after_the_sweep_is_refused_when_the_stock_went_to_others():
    known = books({"o1": hold(HoldStatus.EXPIRED, A=2)}, A=1)
    refused = one(known, Confirm("o1"))
    assert isinstance(refused, ReservationExpired)
    assert refused.extra["shortages"] == [{"sku": "A", "requested": 2, "available": 1}]
    assert known.stock["A"].on_hand == 1


def test_a_hold_past_its_expiry_still_keeps_its_units_from_others_until_it_is_freed():
    """WooCommerce 67751: two payable orders shared the last unit because a stale hold was ignored."""
    known = books({"o1": hold(expires_at=NOW, A=1)}, A=0)
    other, late = decide(known, [post(reserve("o2", A=1)), post(Confirm("o1"))], NOW)
    assert isinstance(other, InsufficientStock)
    assert isinstance(late, Accepted)
    assert known.stock["A"].on_hand == 0


@pytest.mark.parametrize("status", [HoldStatus.CONFIRMED, HoldStatus.RELEASED])
@pytest.mark.parametrize("action", [Confirm("o1"), Expire("o1")])
def test_a_resolved_hold_answers_with_the_state_it_is_in(status: HoldStatus, action: Action):
    refused = one(books({"o1": hold(status, A=1)}, A=5), action)
    assert isinstance(refused, HoldResolved)
    assert refused.extra == {"reservation": status.value}


def test_releasing_twice_frees_once():
    """Adyen-Magento 1174, hipay-magento 163."""
    known = books({"o1": hold(A=2)}, A=0)
    first, second = decide(known, [post(Release("o1")), post(Release("o1"))], NOW)
    assert isinstance(first, Accepted)
    assert isinstance(second, HoldResolved)
    assert known.stock["A"].available == 2


def test_confirm_and_release_in_one_batch_end_in_the_first():
    known = books({"o1": hold(A=2)}, A=0)
    _, second = decide(known, [post(Confirm("o1")), post(Release("o1"))], NOW)
    assert second.extra == {"reservation": "confirmed"}
    assert (known.stock["A"].on_hand, known.stock["A"].reserved) == (0, 0)


def test_releasing_an_expired_hold_moves_nothing_and_is_no_error():
    accepted = one(books({"o1": hold(HoldStatus.EXPIRED, A=2)}, A=2), Release("o1"))
    assert accepted.movements == ()
    assert accepted.holds == ()


def test_a_hold_does_not_expire_before_its_time():
    known = books({"o1": hold(expires_at=NOW + timedelta(milliseconds=1), A=1)}, A=0)
    assert isinstance(one(known, Expire("o1")), HoldResolved)
    assert known.stock["A"].reserved == 1


def test_expiry_frees_a_hold_exactly_at_its_time():
    known = books({"o1": hold(expires_at=NOW, A=1)}, A=0)
    assert [m.kind for m in one(known, Expire("o1")).movements] == [MovementKind.EXPIRE]
    assert known.stock["A"].available == 1


def test_stock_freed_in_a_batch_is_sold_in_the_same_batch():
    known = books({"o1": hold(expires_at=NOW, A=1)}, A=0)
    _, sold = decide(known, [post(Expire("o1")), post(reserve("o2", A=1))], NOW)
    assert isinstance(sold, Accepted)


def test_a_hold_that_does_not_exist_is_not_found():
    assert isinstance(one(books(A=1), Confirm("nobody")), NotFound)


@pytest.mark.parametrize("delta", [-3, 4])
def test_an_adjustment_changes_what_is_on_hand(delta: int):
    known = books(A=5)
    [movement] = one(known, Change(MovementKind.ADJUST, (Line("A", delta),))).movements
    assert known.stock["A"].on_hand == 5 + delta == movement.on_hand
    assert (movement.on_hand_delta, movement.reserved_delta) == (delta, 0)


def test_stock_is_never_adjusted_below_what_is_reserved():
    known = books({"o1": hold(A=3)}, A=2)
    refused = one(known, Change(MovementKind.ADJUST, (Line("A", -3),)))
    assert isinstance(refused, BelowReserved)
    assert refused.extra == {"sku": "A", "reserved": 3, "onHand": 5}
    assert isinstance(one(known, Change(MovementKind.ADJUST, (Line("A", -2),))), Accepted)


def test_goods_in_come_in_whole_or_not_at_all():
    known = books(A=1)
    refused = one(known, Change(MovementKind.RECEIVE, (Line("A", 5), Line("NOPE", 1))))
    assert isinstance(refused, UnknownSku)
    assert known.stock["A"].on_hand == 1


def test_stock_has_an_upper_limit():
    known = books(A=1)
    assert isinstance(one(known, Change(MovementKind.RECEIVE, (Line("A", STOCK_MAX),))), StockLimit)
    assert isinstance(one(known, Change(MovementKind.RECEIVE, (Line("A", STOCK_MAX - 1),))), Accepted)


def keyed(action: Action, fingerprint: str = "f", key: str = "u1:k", refusals: bool = True) -> Posting:
    return post(action, claim=Claim(key, fingerprint, {"orderId": "o1"}, LATER, refusals))


def test_two_simultaneous_requests_with_one_key_hold_once():
    known = books(A=5)
    first, second = decide(known, [keyed(reserve("o1", A=2)), keyed(reserve("o2", A=2))], NOW)
    assert isinstance(first, Accepted)
    assert second == Replayed({"orderId": "o1"})
    assert known.stock["A"].reserved == 2


def test_a_key_used_for_something_else_is_refused_and_moves_nothing():
    known = books(A=5)
    known.recorded["u1:k"] = Recorded("another", {"orderId": "o0"})
    assert isinstance(one(known, keyed(reserve(A=1))), KeyReused)
    assert known.stock["A"].reserved == 0


def test_a_refusal_is_remembered_and_answered_again_even_when_stock_came():
    known = books(A=0)
    one(known, keyed(reserve(A=1)))
    known.stock["A"] = Stock("A", 10, 0, 2)
    replayed = one(known, keyed(reserve(A=1)))
    assert isinstance(replayed, Replayed)
    assert replayed.outcome["refused"] == "insufficient_stock"


def test_a_refusal_with_another_step_to_follow_is_not_remembered():
    known = books({"o1": hold(HoldStatus.EXPIRED, A=2)}, A=1)
    assert isinstance(one(known, keyed(Confirm("o1"), refusals=False)), ReservationExpired)
    assert known.recorded == {}


def guarded(action: Action, allowed: frozenset[Any], update: dict[str, Any], field: str = "status") -> Posting:
    return post(
        action, expects=(Expect("orders", "o1", field, allowed),), writes=(Write("orders", "o1", update=update),)
    )


def test_a_guarded_posting_moves_nothing_when_the_document_has_moved_on():
    known = books({"o1": hold(A=1)}, A=0)
    known.documents[("orders", "o1")] = {"_id": "o1", "status": "paid"}
    refused = one(known, guarded(Release("o1"), frozenset({"pending"}), {"$set": {"status": "cancelled"}}))
    assert isinstance(refused, StateMoved)
    assert refused.extra == {"state": "paid"}
    assert known.stock["A"].reserved == 1


def test_a_later_posting_of_the_batch_meets_the_document_as_an_earlier_one_left_it():
    known = books({"o1": hold(A=1)}, A=0)
    known.documents[("orders", "o1")] = {"_id": "o1", "status": "pending"}
    cancel = guarded(Release("o1"), frozenset({"pending"}), {"$set": {"status": "cancelled"}})
    first, second = decide(known, [cancel, cancel], NOW)
    assert isinstance(first, Accepted)
    assert isinstance(second, StateMoved)
    assert second.extra == {"state": "cancelled"}


def test_a_guard_may_look_at_a_nested_field_that_is_not_there_yet():
    known = books(A=0)
    known.documents[("orders", "o1")] = {"_id": "o1", "status": "pending"}
    start = guarded(NoStock(), frozenset({None}), {"$set": {"payment.status": "processing"}}, "payment.status")
    first, second = decide(known, [start, start], NOW)
    assert isinstance(first, Accepted)
    assert second.extra == {"state": "processing"}


def test_a_document_that_is_not_there_passes_no_guard():
    assert isinstance(one(books(A=0), guarded(NoStock(), frozenset({"pending"}), {"$set": {}})), StateMoved)


def test_a_refused_posting_states_no_fact():
    refused = one(books(A=0), post(reserve(A=1), facts=(OrderPlaced("o1", "u1"),)))
    assert isinstance(refused, Problem)


def test_merging_keeps_the_order_lines_were_first_seen_in():
    lines = [Line("B", 1), Line("A", 2), Line("B", 3)]
    assert merge(lines) == (Line("B", 4), Line("A", 2))


SKUS = ["A", "B", "C"]
quantities = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 4), min_size=1)
orders = st.sampled_from(["o1", "o2", "o3", "o4", "o5"])
steps = st.one_of(
    st.tuples(st.just("reserve"), orders, quantities),
    st.tuples(st.sampled_from(["confirm", "release", "expire"]), orders, st.just({})),
    st.tuples(st.sampled_from(["receive", "adjust"]), st.just(""), quantities),
)


def as_action(step: tuple[str, str, dict[str, int]], at: datetime) -> Action:
    name, order, lines = step
    signed = tuple(Line(sku, -n if name == "adjust" else n) for sku, n in lines.items())
    match name:
        case "reserve":
            return Reserve(order, "u1", signed, at + timedelta(seconds=3))
        case "confirm":
            return Confirm(order)
        case "release":
            return Release(order)
        case "expire":
            return Expire(order)
    return Change(MovementKind(name), signed)


@given(st.lists(st.lists(steps, min_size=1, max_size=6), max_size=12))
def test_whatever_happens_the_books_balance(batches: list[list[tuple[str, str, dict[str, int]]]]):
    """Over any schedule: nothing negative, reserved = active holds, state = the sum of the movements, no gap."""
    known = books(A=3, B=2, C=0)
    seen = {sku: [stock.seq, stock.on_hand, stock.reserved] for sku, stock in known.stock.items()}
    placed: set[str] = set()
    for second, batch in enumerate(batches):
        at = NOW + timedelta(seconds=second)
        actions = []
        for step in batch:
            if step[0] == "reserve" and step[1] in placed:
                continue  # an order's id is new
            placed |= {step[1]} if step[0] == "reserve" else set()
            actions.append(post(as_action(step, at)))
        for decision in decide(known, actions, at):
            for movement in decision.movements if isinstance(decision, Accepted) else ():
                sums = seen[movement.sku]
                sums[0] += 1
                sums[1] += movement.on_hand_delta
                sums[2] += movement.reserved_delta
                assert [movement.seq, movement.on_hand, movement.reserved] == sums
        for sku, stock in known.stock.items():
            active = [h for h in known.holds.values() if h.status is HoldStatus.ACTIVE]
            assert stock.reserved == sum(line.quantity for h in active for line in h.lines if line.sku == sku)
            assert stock.available >= 0
            assert [stock.seq, stock.on_hand, stock.reserved] == seen[sku]
