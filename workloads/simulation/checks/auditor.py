"""Judges a run by what its clients were told.

Keeps its own plain model of what was asked and answered. Every operation ends as success, failure (certainly nothing
happened, or refused with a reason) or unknown; an unknown one may have happened once, never twice. What the service
answered must have been true at some moment of the request, and must still be accounted for at the end.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, ClassVar

from workloads.simulation.checks.conservation import SOLD, Conservation, Violation, wanted
from workloads.simulation.checks.timeline import Timeline
from workloads.simulation.mongo.store import Store

SUCCESS, FAILURE, UNKNOWN = "success", "failure", "unknown"
PAID_SINCE = {*SOLD, "refunded"}


@dataclass(slots=True)
class Operation:
    """One intention of a client under one idempotency key, all its attempts together. Times are virtual seconds."""

    kind: str
    user: str
    key: str
    began_at: float
    lines: Mapping[str, int] = field(default_factory=dict)
    order_id: str = ""
    outcome: str = UNKNOWN
    code: str = ""
    shortages: tuple[Mapping[str, Any], ...] = ()
    ended_at: float = 0.0
    attempts: int = 0


class Auditor:
    """Listens to the store and is told every operation. `violations` holds all that was wrong, in order."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        skew_seconds: float = 0.0,
        holds_of_one_max: float = inf,
    ) -> None:
        self._now = now
        self.conservation = Conservation(now, wall, skew_seconds, holds_of_one_max)
        self.timeline = Timeline(now)
        self.operations: list[Operation] = []
        store.listeners += [self.conservation.hear, self.timeline.hear]

    @property
    def violations(self) -> list[Violation]:
        return self.conservation.violations

    def begin(
        self, kind: str, user: str, key: str, lines: Mapping[str, int] | None = None, order_id: str = ""
    ) -> Operation:
        operation = Operation(kind, user, key, self._now(), lines or {}, order_id)
        self.operations.append(operation)
        return operation

    def succeeded(self, operation: Operation, order_id: str = "") -> None:
        self._end(operation, SUCCESS)
        if operation.kind == "checkout":
            operation.order_id = order_id
        check = self._checks_of_success.get(operation.kind)
        if check is not None:
            check(self, operation)

    def refused(self, operation: Operation, code: str, shortages: tuple[Mapping[str, Any], ...] = ()) -> None:
        self._end(operation, FAILURE)
        operation.code, operation.shortages = code, shortages
        if code == "insufficient_stock" and operation.kind == "checkout":
            self._check_shortage(operation)
        elif code in {"payment_declined", "reservation_expired"} and operation.kind == "pay":
            self._check_status(operation, {"cancelled"})

    def failed(self, operation: Operation) -> None:
        """No attempt ever reached the service."""
        self._end(operation, FAILURE)

    def unknown(self, operation: Operation) -> None:
        self._end(operation, UNKNOWN)

    def broke(self, operation: Operation, error: Exception) -> None:
        """An answer no client should ever get: a bug showed through as a 500."""
        self._end(operation, UNKNOWN)
        self._violate("internal_error", operation, f"{type(error).__name__}: {error}")

    def saw_available(self, sku: str, available: int, began_at: float) -> None:
        if not self.timeline.stock[sku].seen(available, began_at, self._now()):
            detail = f"{sku}: {available} was never available since {began_at:.6f} s"
            self.conservation.violate("wrong_availability", detail)

    def _end(self, operation: Operation, outcome: str) -> None:
        operation.outcome, operation.ended_at = outcome, self._now()

    def _violate(self, rule: str, operation: Operation, detail: str) -> None:
        self.conservation.violate(rule, f"{operation.kind} {operation.key} of {operation.user}: {detail}")

    # Checks of an answer, at the moment it arrives.

    def _check_checkout(self, operation: Operation) -> None:
        order = self.conservation.orders[operation.order_id].document
        if order is None:
            self._violate("answered_not_done", operation, f"order {operation.order_id} does not exist")
        elif order["userId"] != operation.user or wanted(order) != dict(operation.lines):
            self._violate("wrong_order", operation, f"asked for {dict(operation.lines)}, got {wanted(order)}")

    def _check_paid(self, operation: Operation) -> None:
        self._check_status(operation, PAID_SINCE)

    def _check_cancelled(self, operation: Operation) -> None:
        self._check_status(operation, {"cancelled"})

    def _check_refunded(self, operation: Operation) -> None:
        order = self.conservation.orders[operation.order_id].document
        if order is None or not order.get("refunds"):
            self._violate("answered_not_done", operation, f"order {operation.order_id} has no refund")

    _checks_of_success: ClassVar = {
        "checkout": _check_checkout,
        "pay": _check_paid,
        "cancel": _check_cancelled,
        "refund": _check_refunded,
    }

    def _check_status(self, operation: Operation, allowed: set[str]) -> None:
        order = self.conservation.orders[operation.order_id].document
        status = None if order is None else order["status"]
        if status not in allowed:
            self._violate("answered_not_done", operation, f"told {operation.code or 'yes'}, the order is {status}")

    def _check_shortage(self, operation: Operation) -> None:
        """A refusal is only right if, at some moment of the request, a line it names did not fit."""
        short = [
            shortage["sku"]
            for shortage in operation.shortages
            if self.timeline.levels[shortage["sku"]].lowest(operation.began_at, operation.ended_at)
            < operation.lines[shortage["sku"]]
        ]
        if len(short) != len(operation.shortages) or not short:
            self._violate("false_shortage", operation, f"refused for {list(operation.shortages)}")

    # The reckoning, once everything has come to rest.

    def check_at_rest(self, wall: datetime) -> None:
        self.conservation.check_at_rest(wall)
        placed = defaultdict[str, set[str]](set)
        for order_id, facts in self.conservation.orders.items():
            if facts.document is not None:
                placed[facts.document["userId"]].add(order_id)
        checkouts = defaultdict[str, list[Operation]](list)
        for operation in self.operations:
            if operation.kind == "checkout":
                checkouts[operation.user].append(operation)
        for user in dict.fromkeys([*placed, *checkouts]):
            self._check_orders_of(user, placed[user], checkouts[user])

    def _check_orders_of(self, user: str, placed: set[str], checkouts: list[Operation]) -> None:
        """Every acknowledged order exists; beyond them at most one for each checkout of unknown outcome."""
        acknowledged = [operation.order_id for operation in checkouts if operation.outcome == SUCCESS]
        unknown = sum(operation.outcome == UNKNOWN for operation in checkouts)
        if len(set(acknowledged)) != len(acknowledged):
            self.conservation.violate("one_order_for_two_keys", f"{user}: {sorted(acknowledged)}")
        if lost := set(acknowledged) - placed:
            self.conservation.violate("order_lost", f"{user}: acknowledged and gone: {sorted(lost)}")
        surplus = placed - set(acknowledged)
        if len(surplus) > unknown:
            self.conservation.violate("ordered_twice", f"{user}: {len(surplus)} more orders than {unknown} unknown")

    # What the studies count.

    def lost_sales(self) -> int:
        """Checkouts refused as sold out that would have fitted, had no unit been held for an order never paid.

        In the order of the refusals; a unit held for nothing makes room for one of them only."""
        spent: dict[int, int] = defaultdict(int)
        refusals = (operation for operation in self.operations if operation.code == "insufficient_stock")
        return sum(self._would_fit(refusal, spent) for refusal in sorted(refusals, key=lambda each: each.ended_at))

    def _would_fit(self, refusal: Operation, spent: dict[int, int]) -> bool:
        taken: dict[int, int] = defaultdict(int)
        for shortage in refusal.shortages:
            missing = refusal.lines[shortage["sku"]] - shortage["available"]
            for hold in self.timeline.held_for_nothing(shortage["sku"], refusal.ended_at):
                use = min(missing, hold.quantity - spent[id(hold)])
                taken[id(hold)] += use
                missing -= use
            if missing > 0:
                return False
        for hold_id, units in taken.items():
            spent[hold_id] += units
        return bool(refusal.shortages)
