"""The ledger's decisions and the order states against a plain model: hypothesis looks for a sequence that differs.

The model is arithmetic on dictionaries and knows nothing of movements or batches. Postings are gathered into
batches as in the service, so a batch of many must give what the same postings give one by one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from planted_bugs import PLANTED

from service.errors import Problem
from service.idempotency import IdempotencyClaim, IdempotencyRecord
from service.inventory.decisions import decide
from service.inventory.models import (
    Accepted,
    Action,
    BatchState,
    Change,
    Confirm,
    Count,
    Counted,
    Decision,
    Expire,
    HoldStatus,
    Line,
    MovementKind,
    Posting,
    Release,
    Reserve,
    Stock,
)
from service.orders.models import TRANSITIONS, OrderStatus

START = datetime(2026, 3, 2, tzinfo=UTC)
HOLD = timedelta(seconds=900)
SKUS = ("a", "b", "c")
LINES = st.lists(st.builds(Line, st.sampled_from(SKUS), st.integers(1, 3)), min_size=1, max_size=3).map(tuple)
PICKS = st.integers(0, 99)
WAITS = st.sampled_from([0, 1, 899, 900, 901])  # about the moment a hold ends


@dataclass
class ModelHold:
    lines: dict[str, int]
    expires_at: datetime
    status: str = "active"


class Model:
    """What must come of each request, said as plainly as possible."""

    def __init__(self) -> None:
        self.on_hand = dict.fromkeys(SKUS, 0)
        self.holds: dict[str, ModelHold] = {}

    def free(self, sku: str) -> int:
        held = sum(hold.lines.get(sku, 0) for hold in self.holds.values() if hold.status == "active")
        return self.on_hand[sku] - held

    def fits(self, lines: dict[str, int]) -> bool:
        return all(self.free(sku) >= quantity for sku, quantity in lines.items())

    def change(self, lines: dict[str, int]) -> str:
        if any(self.free(sku) + quantity < 0 for sku, quantity in lines.items()):
            return "below_reserved"
        for sku, quantity in lines.items():
            self.on_hand[sku] += quantity
        return "ok"

    def reserve(self, order_id: str, lines: dict[str, int], now: datetime) -> str:
        if not self.fits(lines):
            return "insufficient_stock"
        self.holds[order_id] = ModelHold(lines, now + HOLD)
        return "ok"

    def confirm(self, order_id: str, now: datetime) -> str:
        hold = self.holds[order_id]
        if hold.status in {"confirmed", "released"}:
            return "reservation_resolved"
        if hold.status == "active" and now >= hold.expires_at:
            return self._confirm_late(hold)
        if hold.status == "expired" and not self.fits(hold.lines):
            return "reservation_expired"
        self._sell(hold)
        return "ok"

    def _confirm_late(self, hold: ModelHold) -> str:
        """Not swept yet: its own units count as free again, but a refusal leaves everything as it was."""
        hold.status = "expired"
        if self.fits(hold.lines):
            self._sell(hold)
            return "ok"
        hold.status = "active"
        return "reservation_expired"

    def _sell(self, hold: ModelHold) -> None:
        hold.status = "confirmed"
        for sku, quantity in hold.lines.items():
            self.on_hand[sku] -= quantity

    def release(self, order_id: str, now: datetime) -> str:
        """What has ended already has expired, swept or not."""
        hold = self.holds[order_id]
        if hold.status in {"confirmed", "released"}:
            return "reservation_resolved"
        if hold.status == "active":
            hold.status = "released" if now < hold.expires_at else "expired"
        return "ok"

    def expire(self, order_id: str, now: datetime) -> str:
        hold = self.holds[order_id]
        if hold.status != "active" or now < hold.expires_at:
            return "reservation_resolved"
        hold.status = "expired"
        return "ok"


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model, self.now, self.orders_made = Model(), START, 0
        self.state = BatchState({sku: Stock(sku, 0, 0, 0) for sku in SKUS})
        self.movements: list[Any] = []
        self.receive_all()

    def receive_all(self) -> None:
        goods = tuple(Line(sku, 20) for sku in SKUS)
        assert self.post(Change(MovementKind.RECEIVE, goods)) == [self.model.change(_sum(goods))]

    def post(self, *actions: Action, claim: IdempotencyClaim | None = None) -> list[str]:
        batch = [Posting(action, "machine", claim=claim) for action in actions]
        decisions = decide(self.state, batch, self.now)
        for decision in decisions:
            if isinstance(decision, Accepted):
                self.movements += decision.movements
        return [_word(decision) for decision in decisions]

    def some_order(self, pick: int) -> str | None:
        """Mostly one whose hold is alive: those that are settled have little left to get wrong."""
        alive = [key for key, hold in self.model.holds.items() if hold.status == "active"]
        known = alive if alive and pick % 4 else list(self.model.holds)
        return known[pick % len(known)] if known else None

    def new_order(self) -> str:
        self.orders_made += 1
        return f"order-{self.orders_made}"

    @rule(lines=LINES)
    def receive(self, lines: tuple[Line, ...]) -> None:
        assert self.post(Change(MovementKind.RECEIVE, lines)) == [self.model.change(_sum(lines))]

    @rule(sku=st.sampled_from(SKUS), units=st.integers(1, 6))
    def write_off(self, sku: str, units: int) -> None:
        answer = self.post(Change(MovementKind.ADJUST, (Line(sku, -units),)))
        assert answer == [self.model.change({sku: -units})]

    @rule(sku=st.sampled_from(SKUS), pick=PICKS, missing=st.integers(-3, 3))
    def count(self, sku: str, pick: int, missing: int) -> None:
        """Somebody counted at one of the SKU's versions, and only now says what there was."""
        versions = [movement for movement in self.movements if movement.sku == sku]
        at = versions[pick % len(versions)]
        self.state.levels = {(sku, at.seq): at.on_hand}
        counted = max(0, at.on_hand - missing)
        known_since = max((each.seq for each in versions if each.kind is MovementKind.COUNT), default=0)
        wanted = "counted_since" if at.seq < known_since else self.model.change({sku: counted - at.on_hand})
        assert self.post(Count((Counted(sku, counted, at.seq),))) == [wanted]

    @rule(lines=LINES)
    def reserve(self, lines: tuple[Line, ...]) -> None:
        order_id = self.new_order()
        wanted = self.model.reserve(order_id, _sum(lines), self.now)
        assert self.post(Reserve(order_id, "user", lines, self.now + HOLD)) == [wanted]

    @rule(many=st.lists(LINES, min_size=2, max_size=6))
    def reserve_in_one_batch(self, many: list[tuple[Line, ...]]) -> None:
        ids = [self.new_order() for _ in many]
        actions = [Reserve(each, "user", lines, self.now + HOLD) for each, lines in zip(ids, many, strict=True)]
        wanted = [self.model.reserve(each, _sum(lines), self.now) for each, lines in zip(ids, many, strict=True)]
        assert self.post(*actions) == wanted

    @rule(lines=LINES)
    def reserve_twice_under_one_key(self, lines: tuple[Line, ...]) -> None:
        first, second = self.new_order(), self.new_order()
        key = IdempotencyClaim(f"key of {first}", "the same", {"orderId": first}, self.now + HOLD)
        wanted = self.model.reserve(first, _sum(lines), self.now)
        actions = (Reserve(each, "user", lines, self.now + HOLD) for each in (first, second))
        assert self.post(*actions, claim=key) == [wanted, "replayed"]

    @rule(pick=PICKS, seconds=WAITS)
    def confirm_after(self, pick: int, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        if order_id := self.some_order(pick):
            hold, before = self.model.holds[order_id], len(self.movements)
            alive = hold.status == "active" and self.now < hold.expires_at
            assert self.post(Confirm(order_id)) == [self.model.confirm(order_id, self.now)]
            # A dead hold is never confirmed: what it paid for is sold anew, and the history says so.
            assert alive or MovementKind.CONFIRM not in {movement.kind for movement in self.movements[before:]}

    @rule(pick=PICKS)
    def confirm_and_release_in_one_batch(self, pick: int) -> None:
        if order_id := self.some_order(pick):
            wanted = [self.model.confirm(order_id, self.now), self.model.release(order_id, self.now)]
            assert self.post(Confirm(order_id), Release(order_id)) == wanted

    @rule(pick=PICKS)
    def release(self, pick: int) -> None:
        if order_id := self.some_order(pick):
            assert self.post(Release(order_id)) == [self.model.release(order_id, self.now)]

    @rule(pick=PICKS, seconds=WAITS)
    def expire_after(self, pick: int, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        if order_id := self.some_order(pick):
            assert self.post(Expire(order_id)) == [self.model.expire(order_id, self.now)]

    @invariant()
    def stock_is_what_the_model_says_and_never_oversold(self) -> None:
        for sku, stock in self.state.stock.items():
            assert stock.on_hand == self.model.on_hand[sku]
            assert stock.available == self.model.free(sku) >= 0

    @invariant()
    def every_hold_has_the_status_of_the_model(self) -> None:
        assert {key: hold.status for key, hold in self.state.holds.items()} == {
            key: HoldStatus(hold.status) for key, hold in self.model.holds.items()
        }

    @invariant()
    def replaying_the_history_gives_the_stock(self) -> None:
        for sku, stock in self.state.stock.items():
            history = [movement for movement in self.movements if movement.sku == sku]
            assert [movement.seq for movement in history] == list(range(1, stock.seq + 1))
            assert sum(movement.on_hand_delta for movement in history) == stock.on_hand
            assert sum(movement.reserved_delta for movement in history) == stock.reserved


class OrderStates(RuleBasedStateMachine):
    """Whatever is tried, an order is settled once, and what was cancelled or refunded stays so."""

    def __init__(self) -> None:
        super().__init__()
        self.path = [OrderStatus.PENDING]

    @rule(status=st.sampled_from(OrderStatus))
    def attempt(self, status: OrderStatus) -> None:
        if status in TRANSITIONS[self.path[-1]]:
            self.path.append(status)

    @invariant()
    def no_status_comes_back(self) -> None:
        assert len(set(self.path)) == len(self.path)

    @invariant()
    def goods_leave_and_money_returns_only_after_payment(self) -> None:
        for status in (OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.REFUNDED):
            if status in self.path:
                assert OrderStatus.PAID in self.path[: self.path.index(status)]

    @invariant()
    def an_order_is_paid_or_cancelled_but_never_both(self) -> None:
        assert not {OrderStatus.PAID, OrderStatus.CANCELLED} <= set(self.path)


def _sum(lines: tuple[Line, ...]) -> dict[str, int]:
    """The same SKU twice counts twice."""
    return {sku: sum(line.quantity for line in lines if line.sku == sku) for sku in {line.sku for line in lines}}


def _word(decision: Decision) -> str:
    if isinstance(decision, Problem):
        return decision.code
    return "replayed" if isinstance(decision, IdempotencyRecord) else "ok"


@pytest.mark.parametrize("bug", ["resolved_twice", "expiry_ignored_until_swept", "same_sku_twice", "count_overwrites"])
def test_the_machine_notices_a_planted_bug(bug: str) -> None:
    quick = settings(MACHINE, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet)
    with PLANTED[bug](), pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(LedgerMachine, settings=quick)


MACHINE = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestLedger = LedgerMachine.TestCase
TestLedger.settings = MACHINE
TestOrderStates = OrderStates.TestCase
TestOrderStates.settings = MACHINE
