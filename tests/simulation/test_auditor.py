"""Who audits the auditor: a sound story passes, and every way of going wrong is named."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from workloads.simulation.checks.auditor import Auditor
from workloads.simulation.mongo.store import Store

START = datetime(2026, 3, 2)
Document = dict[str, Any]


class Story:
    """Tells the auditor what a shop committed, by default flawlessly: one SKU, ten units, orders of one unit."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.store = Store(transaction_lifetime_seconds=5, now=lambda: self.seconds)
        self.auditor = Auditor(self.store, lambda: self.seconds, self.wall)
        self.stock: Document = {"_id": "sku", "onHand": 0, "reserved": 0, "available": 0, "seq": 0}
        self.commit(inventory=self.stock)
        self.commit(*self.moved(on_hand=10))

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def commit(self, *documents: tuple[str, Document | None, str], **single: Document) -> None:
        transaction = self.store.begin("story")
        for collection, known in single.items():
            self.store.stage(collection, {known["_id"]: known}, transaction)
        for collection, document, key in documents:
            self.store.stage(collection, {key: document}, transaction)
        self.store.commit(transaction)
        self.seconds += 1

    def moved(
        self, on_hand: int = 0, reserved: int = 0, kind: str = "adjust", **wrong: Any
    ) -> list[tuple[str, Document, str]]:
        """The stock after a movement, and the movement."""
        old = self.stock
        seq = old["seq"] + 1
        after = {"onHand": old["onHand"] + on_hand, "reserved": old["reserved"] + reserved}
        self.stock = {**old, **after, "available": after["onHand"] - after["reserved"], "seq": seq, **wrong}
        movement = {"_id": f"sku#{seq}", "sku": "sku", "seq": seq, **after}
        movement |= {"kind": kind, "onHandDelta": on_hand, "reservedDelta": reserved}
        return [("inventory", self.stock, "sku"), ("stock_history", movement, movement["_id"])]

    def hold(self, order_id: str = "o1", status: str = "active", **wrong: Any) -> tuple[str, Document, str]:
        hold: Document = {"_id": f"{order_id}:0", "orderId": order_id, "userId": "user", "sku": "sku", "quantity": 1}
        times = {"createdAt": START, "expiresAt": START + timedelta(seconds=900)}
        resolved = {"resolvedAt": None if status == "active" else self.wall()}
        hold |= {"status": status, **times, **resolved, **wrong}
        return "reservations", hold, hold["_id"]

    def order(self, order_id: str = "o1", status: str = "pending", **wrong: Any) -> tuple[str, Document, str]:
        order = {"_id": order_id, "userId": "user", "status": status, "items": [{"sku": "sku", "quantity": 1}]}
        payment = {"payment": {"id": f"p-{order_id}"}, "total": 100}
        expires = {"reservation": {"expiresAt": START + timedelta(seconds=900)}}
        return "orders", {**order, **payment, **expires, **wrong}, order_id

    def charge(self, order_id: str = "o1", **wrong: Any) -> tuple[str, Document, str]:
        charge = {"_id": f"p-{order_id}", "orderId": order_id, "status": "paid", "amount": 100, **wrong}
        return "gateway_charges", charge, charge["_id"]

    def place(self, order_id: str = "o1", *, acknowledged: bool = True) -> None:
        operation = self.auditor.begin("checkout", "user", f"key of {order_id}", {"sku": 1}) if acknowledged else None
        self._place(order_id)
        if operation is not None:
            self.auditor.succeeded(operation, order_id)

    def _place(self, order_id: str) -> None:
        self.commit(*self.moved(reserved=1), self.hold(order_id), self.order(order_id))

    def pay(self, order_id: str = "o1") -> None:
        self.commit(self.charge(order_id))
        sold = self.moved(on_hand=-1, reserved=-1)
        self.commit(*sold, self.hold(order_id, "confirmed"), self.order(order_id, "paid"))

    def rest(self) -> set[str]:
        self.seconds += 10_000
        self.auditor.check_at_rest(self.wall())
        return self.rules

    @property
    def rules(self) -> set[str]:
        return {violation.rule for violation in self.auditor.violations}


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_sound_story_passes(story: Story) -> None:
    story.place()
    payment = story.auditor.begin("pay", "user", "k2", order_id="o1")
    story.pay()
    story.auditor.succeeded(payment)
    story.place("o2")
    story.commit(*story.moved(reserved=-1), story.hold("o2", "released"), story.order("o2", "cancelled"))
    assert story.rest() == set()


Wrong = Callable[[Story], None]


def _oversold(story: Story) -> None:
    story.commit(*story.moved(on_hand=-10), story.hold(), story.order())
    story.commit(*story.moved(reserved=1))


def _stock_written_past_the_ledger(story: Story) -> None:
    story.commit(inventory={**story.stock, "onHand": 11, "available": 11})


def _available_kept_by_itself(story: Story) -> None:
    story.commit(*story.moved(on_hand=1, available=3))


def _hold_without_reserving(story: Story) -> None:
    story.commit(story.hold(), story.order())


def _movement_left_out(story: Story) -> None:
    story.commit(story.moved(on_hand=5)[0])


def _history_changed(story: Story) -> None:
    movement = story.store.tables["stock_history"].documents["sku#1"]
    story.commit(("stock_history", {**movement, "onHandDelta": 9}, "sku#1"))


def _history_deleted(story: Story) -> None:
    story.commit(("stock_history", None, "sku#1"))


def _count_that_takes_a_unit(story: Story) -> None:
    story.commit(*story.moved(on_hand=-1, kind="count"))


def _hold_without_order(story: Story) -> None:
    story.commit(*story.moved(reserved=1), story.hold())


def _resolved_again(story: Story) -> None:
    story.place()
    story.pay()
    story.commit(story.hold(status="released"))


def _confirmed_too_late(story: Story) -> None:
    story.place()
    story.seconds = 901
    story.pay()


def _expired_too_early(story: Story) -> None:
    story.place()
    story.commit(*story.moved(reserved=-1), story.hold(status="expired"))


def _resolved_at_an_invented_time(story: Story) -> None:
    story.place()
    released = story.hold(status="released", resolvedAt=START - timedelta(days=1))
    story.commit(*story.moved(reserved=-1), released, story.order(status="cancelled"))


def _hold_changes_its_quantity(story: Story) -> None:
    story.place()
    story.commit(story.hold(quantity=2))


def _order_deleted(story: Story) -> None:
    story.place()
    story.commit(("orders", None, "o1"))


def _hold_deleted(story: Story) -> None:
    story.place()
    story.commit(("reservations", None, "o1:0"))


def _cancelled_then_paid(story: Story) -> None:
    story.place()
    story.commit(*story.moved(reserved=-1), story.hold(status="released"), story.order(status="cancelled"))
    story.commit(story.order(status="paid"))


def _cancelled_with_its_hold(story: Story) -> None:
    story.place()
    story.commit(story.order(status="cancelled"))


def _paid_without_confirming(story: Story) -> None:
    story.place()
    story.commit(story.charge())
    story.commit(*story.moved(reserved=-1), story.hold(status="released"), story.order(status="paid"))


def _confirmed_without_paying(story: Story) -> None:
    story.place()
    story.commit(*story.moved(on_hand=-1, reserved=-1), story.hold(status="confirmed"))


def _paid_without_money(story: Story) -> None:
    story.place()
    sold = story.moved(on_hand=-1, reserved=-1)
    story.commit(*sold, story.hold(status="confirmed"), story.order(status="paid"))


def _less_held_than_ordered(story: Story) -> None:
    two = [{"sku": "sku", "quantity": 2}]
    story.commit(*story.moved(reserved=1), story.hold(), story.order(items=two))


def _pending_without_any_hold(story: Story) -> None:
    story.commit(story.order())


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (_oversold, "oversold"),
        (_stock_written_past_the_ledger, "on_hand_drifts"),
        (_available_kept_by_itself, "available_drifts"),
        (_hold_without_reserving, "reserved_drifts"),
        (_movement_left_out, "history_skipped"),
        (_history_changed, "history_rewritten"),
        (_history_deleted, "history_rewritten"),
        (_count_that_takes_a_unit, "miscounted"),
        (_hold_without_order, "hold_without_order"),
        (_resolved_again, "resolved_twice"),
        (_confirmed_too_late, "confirmed_after_expiry"),
        (_expired_too_early, "expired_early"),
        (_resolved_at_an_invented_time, "wrong_moment"),
        (_hold_changes_its_quantity, "hold_rewritten"),
        (_order_deleted, "order_vanished"),
        (_hold_deleted, "hold_vanished"),
        (_cancelled_then_paid, "illegal_status"),
        (_cancelled_with_its_hold, "leaked_hold"),
        (_paid_without_confirming, "sold_without_stock"),
        (_confirmed_without_paying, "stock_without_sale"),
        (_paid_without_money, "stock_without_money"),
        (_less_held_than_ordered, "partial_hold"),
        (_pending_without_any_hold, "order_without_hold"),
    ],
)
def test_every_breach_of_the_conservation_law_is_named_at_its_commit(story: Story, wrong: Wrong, rule: str) -> None:
    wrong(story)
    assert rule in story.rules


def test_a_hold_nobody_swept_is_found_at_rest(story: Story) -> None:
    story.place()
    assert story.rules == set()
    assert "hold_not_swept" in story.rest()


def test_money_kept_for_a_cancelled_order_is_found_at_rest(story: Story) -> None:
    story.place()
    story.commit(story.charge())
    story.commit(*story.moved(reserved=-1), story.hold(status="released"), story.order(status="cancelled"))
    assert story.rest() == {"money_mismatch"}


def test_money_taken_twice_is_found_at_rest(story: Story) -> None:
    story.place()
    story.pay()
    story.commit(story.charge(_id="p-again"))
    assert story.rest() == {"money_mismatch"}


def test_a_promised_refund_that_was_never_paid_is_found_at_rest(story: Story) -> None:
    story.place()
    story.pay()
    story.commit(story.order(status="refunded", refunds=[{"amount": 100}]))
    assert story.rest() == {"money_mismatch"}


def test_a_refusal_for_want_of_stock_must_have_been_true_at_some_moment(story: Story) -> None:
    operation = story.auditor.begin("checkout", "user", "k", {"sku": 11})
    story.auditor.refused(operation, "insufficient_stock", ({"sku": "sku", "requested": 11, "available": 10},))
    assert story.rules == set()
    operation = story.auditor.begin("checkout", "user", "k", {"sku": 3})
    story.auditor.refused(operation, "insufficient_stock", ({"sku": "sku", "requested": 3, "available": 2},))
    assert story.rules == {"false_shortage"}


def test_a_shortage_that_existed_during_the_request_is_accepted_after_it(story: Story) -> None:
    operation = story.auditor.begin("checkout", "user", "k", {"sku": 10})
    story.place()
    story.commit(*story.moved(reserved=-1), story.hold(status="released"), story.order(status="cancelled"))
    story.auditor.refused(operation, "insufficient_stock", ({"sku": "sku", "requested": 10, "available": 9},))
    assert story.rules == set()


def test_an_availability_nobody_could_see_is_wrong(story: Story) -> None:
    began_at = story.seconds
    story.place()
    story.auditor.saw_available("sku", 10, began_at)
    story.auditor.saw_available("sku", 9, began_at)
    assert story.rules == set()
    story.auditor.saw_available("sku", 8, began_at)
    assert story.rules == {"wrong_availability"}


def test_an_acknowledged_order_must_exist_with_what_was_asked_for(story: Story) -> None:
    story.auditor.succeeded(story.auditor.begin("checkout", "user", "k", {"sku": 1}), "nowhere")
    assert story.rules == {"answered_not_done"}
    story.place()
    story.auditor.succeeded(story.auditor.begin("checkout", "user", "k", {"sku": 2}), "o1")
    assert story.rules == {"answered_not_done", "wrong_order"}


@pytest.mark.parametrize(("kind", "code"), [("pay", ""), ("pay", "payment_declined"), ("cancel", "")])
def test_an_answer_the_order_does_not_bear_out_is_wrong(story: Story, kind: str, code: str) -> None:
    story.place()
    operation = story.auditor.begin(kind, "user", "k", order_id="o1")
    if code:
        story.auditor.refused(operation, code)
    else:
        story.auditor.succeeded(operation)
    assert story.rules == {"answered_not_done"}


def test_one_unknown_checkout_may_have_become_one_order_but_not_two(story: Story) -> None:
    story.auditor.unknown(story.auditor.begin("checkout", "user", "k", {"sku": 1}))
    story.place(acknowledged=False)
    story.pay()
    assert story.rest() == set()
    story.place("o2", acknowledged=False)
    story.pay("o2")
    assert story.rest() == {"confirmed_after_expiry", "ordered_twice"}


def test_a_refused_checkout_may_not_leave_an_order(story: Story) -> None:
    story.auditor.failed(story.auditor.begin("checkout", "user", "k", {"sku": 1}))
    story.place(acknowledged=False)
    story.pay()
    assert story.rest() == {"ordered_twice"}


def test_two_keys_may_not_get_one_order(story: Story) -> None:
    story.place(acknowledged=False)
    story.pay()
    for key in ("k1", "k2"):
        story.auditor.succeeded(story.auditor.begin("checkout", "user", key, {"sku": 1}), "o1")
    assert story.rest() == {"one_order_for_two_keys"}


def test_an_internal_error_is_a_violation_by_itself(story: Story) -> None:
    story.auditor.broke(story.auditor.begin("pay", "user", "k", order_id="o1"), KeyError("x"))
    assert story.rules == {"internal_error"}


def test_a_sale_is_lost_to_a_hold_that_came_to_nothing_once_only(story: Story) -> None:
    story.commit(*story.moved(on_hand=-9))
    story.place()
    shortage = ({"sku": "sku", "requested": 1, "available": 0},)
    for key in ("k1", "k2"):
        story.auditor.refused(story.auditor.begin("checkout", "user", key, {"sku": 1}), "insufficient_stock", shortage)
    assert story.auditor.lost_sales() == 1
    story.pay()
    assert story.auditor.lost_sales() == 0


def test_phantom_sold_out_time_is_counted_while_units_are_held_for_nothing(story: Story) -> None:
    story.commit(*story.moved(on_hand=-9))
    story.place()
    story.seconds += 59
    story.commit(*story.moved(reserved=-1), story.hold(status="released"), story.order(status="cancelled"))
    assert story.auditor.timeline.phantom_sold_out_seconds() == 60
    assert story.auditor.timeline.hold_use() == 0
