"""The conservation law, checked at every commit.

Listens to the store and keeps its own plain sums, so that it shares nothing with the service but the documents. A
commit is one instant for every reader, so whatever does not hold after one is a violation somebody could have seen.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import ClassVar

from workloads.simulation.checks.coupons import CouponUses
from workloads.simulation.mongo.documents import Document
from workloads.simulation.mongo.store import Change

SOLD = {"paid", "shipped", "delivered"}
RESOLUTIONS = {"confirmed", "released", "expired"}
STATUS_AFTER = {
    "pending": {"paid", "cancelled"},
    "paid": {"shipped", "refunded"},
    "shipped": {"delivered", "refunded"},
    "delivered": {"refunded"},
    "cancelled": set[str](),
    "refunded": set[str](),
}
FIXED_OF_A_HOLD = ("orderId", "userId", "sku", "quantity", "createdAt")


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule` is one of a closed set of names; `at_seconds` is virtual time."""

    rule: str
    at_seconds: float
    detail: str


@dataclass(slots=True)
class SkuSums:
    """What the history and the holds of one SKU add up to."""

    on_hand: int = 0
    reserved: int = 0
    movements: int = 0
    last: Document | None = None
    active_holds: int = 0


@dataclass(slots=True)
class OrderFacts:
    """An order's document and the quantities of its holds: status → SKU → quantity."""

    document: Document | None = None
    holds: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def held(self, status: str) -> dict[str, int]:
        return {sku: quantity for sku, quantity in self.holds[status].items() if quantity}


class Conservation:
    """Feed it every commit (`hear`); read `violations`. `skew_seconds` is how far a clock may be off, and
    `holds_of_one_max` how many orders one customer may hold unpaid."""

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        skew_seconds: float = 0.0,
        holds_of_one_max: float = inf,
    ) -> None:
        self.violations: list[Violation] = []
        self.inventory: dict[str, Document] = {}
        self.orders: dict[str, OrderFacts] = defaultdict(OrderFacts)
        self._now, self._wall = now, wall
        self._tolerance = timedelta(seconds=2 * skew_seconds + 60)
        self._sums: dict[str, SkuSums] = defaultdict(SkuSums)
        self._charges: dict[str, Document] = {}
        self._holds_of_one_max = holds_of_one_max
        self._held: dict[str, dict[str, datetime]] = defaultdict(dict)
        self._coupon_uses = CouponUses(self.violate)

    def hear(self, changes: list[Change]) -> None:
        skus: dict[str, None] = {}
        orders: dict[str, None] = {}
        for collection, key, before, after in changes:
            take = self._takers.get(collection)
            if take is not None:
                take(self, key, before, after, skus, orders)
        for sku in skus:
            self._check_sku(sku)
        for order_id in orders:
            self._check_order(order_id)
        self._coupon_uses.check()

    def violate(self, rule: str, detail: str) -> None:
        self.violations.append(Violation(rule, self._now(), detail))

    # Taking in documents, each kind with what may never happen to it.

    def _take_inventory(
        self, sku: str, before: Document | None, after: Document | None, skus: dict[str, None], _: dict[str, None]
    ) -> None:
        if after is None:
            self.violate("stock_vanished", f"the inventory of {sku} was deleted")
            return
        self.inventory[sku] = after
        skus[sku] = None

    def _take_movement(
        self, key: str, before: Document | None, after: Document | None, skus: dict[str, None], _: dict[str, None]
    ) -> None:
        if before is not None or after is None:
            self.violate("history_rewritten", f"the movement {key} was changed or deleted")
            return
        if after["kind"] == "count" and after["onHandDelta"]:
            self.violate("miscounted", f"{key}: whoever counted found what the books had, and they were changed")
        sums = self._sums[after["sku"]]
        sums.on_hand += after["onHandDelta"]
        sums.reserved += after["reservedDelta"]
        sums.movements += 1
        if sums.last is None or after["seq"] > sums.last["seq"]:
            sums.last = after
        skus[after["sku"]] = None

    def _take_hold(
        self, key: str, before: Document | None, after: Document | None, skus: dict[str, None], orders: dict[str, None]
    ) -> None:
        if after is None:
            self.violate("hold_vanished", f"the reservation {key} was deleted")
            return
        if before is None:
            self._check_birth(key, after)
        else:
            self._check_resolution(key, before, after)
            self._count_hold(before, -1)
        self._count_hold(after, +1)
        self._check_holder(after)
        skus[after["sku"]] = None
        orders[after["orderId"]] = None

    def _count_hold(self, hold: Document, sign: int) -> None:
        quantity = sign * hold["quantity"]
        self.orders[hold["orderId"]].holds[hold["status"]][hold["sku"]] += quantity
        if hold["status"] == "active":
            self._sums[hold["sku"]].active_holds += quantity

    def _check_holder(self, hold: Document) -> None:
        """Of an order that has just been held: with what else that customer certainly holds at this moment."""
        held = self._held[hold["userId"]]
        if hold["status"] != "active":
            held.pop(hold["orderId"], None)
            return
        held[hold["orderId"]] = hold["expiresAt"]
        alive = sum(expires_at > self._wall() + self._tolerance for expires_at in held.values())
        if alive > self._holds_of_one_max:
            self.violate("held_too_much", f"{hold['userId']} holds {alive} orders of {self._holds_of_one_max}")

    def _take_order(
        self, key: str, before: Document | None, after: Document | None, _: dict[str, None], orders: dict[str, None]
    ) -> None:
        if after is None:
            self.violate("order_vanished", f"the order {key} was deleted")
            return
        was, status = (before or after)["status"], after["status"]
        if was != status and status not in STATUS_AFTER[was]:
            self.violate("illegal_status", f"order {key} went from {was} to {status}")
        self.orders[key].document = after
        self._coupon_uses.take_order(key, after)
        orders[key] = None

    def _take_charge(
        self, key: str, before: Document | None, after: Document | None, _: dict[str, None], orders: dict[str, None]
    ) -> None:
        assert after is not None, "the provider forgets nothing"
        self._charges[key] = after

    def _take_coupon(
        self, key: str, before: Document | None, after: Document | None, _: dict[str, None], orders: dict[str, None]
    ) -> None:
        self._coupon_uses.take_coupon(key, after or {})

    _takers: ClassVar = {
        "inventory": _take_inventory,
        "stock_history": _take_movement,
        "reservations": _take_hold,
        "orders": _take_order,
        "gateway_charges": _take_charge,
        "coupons": _take_coupon,
    }

    # What must hold after a commit.

    def _check_sku(self, sku: str) -> None:
        stock, sums = self.inventory.get(sku), self._sums[sku]
        if stock is None:
            self.violate("stock_vanished", f"{sku} moves but has no inventory")
            return
        if stock["available"] < 0 or stock["onHand"] < stock["reserved"]:
            self.violate("oversold", f"{sku}: {stock['onHand']} on hand, {stock['reserved']} reserved")
        if stock["available"] != stock["onHand"] - stock["reserved"]:
            self.violate(
                "available_drifts", f"{sku}: {stock['available']} is not {stock['onHand']}-{stock['reserved']}"
            )
        if stock["onHand"] != sums.on_hand:
            self.violate("on_hand_drifts", f"{sku}: {stock['onHand']} on hand, the history gives {sums.on_hand}")
        if stock["reserved"] != sums.active_holds:
            self.violate("reserved_drifts", f"{sku}: {stock['reserved']} reserved, active holds {sums.active_holds}")
        self._check_history(sku, stock, sums)

    def _check_history(self, sku: str, stock: Document, sums: SkuSums) -> None:
        if stock["seq"] != sums.movements:
            self.violate("history_skipped", f"{sku}: {stock['seq']} changes, {sums.movements} movements")
        last = sums.last
        if last is not None and (last["seq"], last["onHand"], last["reserved"]) != (
            stock["seq"],
            stock["onHand"],
            stock["reserved"],
        ):
            self.violate("history_wrong", f"{sku}: the last movement leaves another state than the stock has")

    def _check_birth(self, key: str, hold: Document) -> None:
        if hold["status"] not in {"active", "confirmed"}:
            self.violate("hold_born_resolved", f"reservation {key} appeared as {hold['status']}")
        if hold["quantity"] <= 0:
            self.violate("hold_of_nothing", f"reservation {key} holds {hold['quantity']}")

    def _check_resolution(self, key: str, before: Document, after: Document) -> None:
        if any(before[name] != after[name] for name in FIXED_OF_A_HOLD):
            self.violate("hold_rewritten", f"reservation {key} changed more than its status")
        if before["status"] == after["status"]:
            return
        if before["status"] != "active" or after["status"] not in RESOLUTIONS:
            self.violate("resolved_twice", f"reservation {key} went from {before['status']} to {after['status']}")
        self._check_moment(key, before, after)

    def _check_moment(self, key: str, before: Document, after: Document) -> None:
        """By the clock of the process that decided, which itself must be near the truth."""
        resolved_at, expires_at = after["resolvedAt"], before["expiresAt"]
        if after["status"] == "confirmed" and resolved_at >= expires_at:
            self.violate("confirmed_after_expiry", f"reservation {key} confirmed {resolved_at - expires_at} too late")
        if after["status"] == "expired" and resolved_at < expires_at:
            self.violate("expired_early", f"reservation {key} expired {expires_at - resolved_at} too early")
        if abs(resolved_at - self._wall()) > self._tolerance:
            self.violate("wrong_moment", f"reservation {key} says it was resolved at {resolved_at}")

    def _check_order(self, order_id: str) -> None:
        facts = self.orders[order_id]
        if facts.document is None:
            self.violate("hold_without_order", f"reservations of {order_id}, which does not exist")
            return
        status, active = facts.document["status"], facts.held("active")
        lines = wanted(facts.document)
        if status != "pending" and active:
            self.violate("leaked_hold", f"{status} order {order_id} still holds {active}")
        if status == "pending" and not any(facts.held(state) for state in facts.holds):
            self.violate("order_without_hold", f"pending order {order_id} never held anything")
        if active and active != lines:
            self.violate("partial_hold", f"order {order_id} wants {lines} and holds {active}")
        if status in SOLD and facts.held("confirmed") != lines:
            self.violate("sold_without_stock", f"{status} order {order_id}: {facts.held('confirmed')} of {lines}")
        if status in {"pending", "cancelled"} and facts.held("confirmed"):
            self.violate("stock_without_sale", f"{status} order {order_id} has confirmed {facts.held('confirmed')}")
        if status in SOLD:
            self._check_paid(order_id, facts.document)

    def _check_paid(self, order_id: str, order: Document) -> None:
        payment = order.get("payment") or {}
        charge = self._charges.get(payment.get("id", ""))
        if order["total"] and (charge is None or charge["status"] != "paid" or charge["amount"] != order["total"]):
            self.violate("stock_without_money", f"order {order_id} is {order['status']} without its payment")

    # What must hold once everything has come to rest.

    def check_at_rest(self, wall: datetime) -> None:
        """After the last sweep and the last reconciliation: no hold outlives its expiry, money equals goods."""
        kept = defaultdict[str, int](int)
        for charge in self._charges.values():
            if charge["status"] == "paid":
                kept[charge["orderId"]] += charge["amount"] - charge.get("refunded", 0)
        for order_id, facts in self.orders.items():
            if facts.document is not None:
                self._check_rest(order_id, facts.document, facts, kept[order_id], wall)

    def _check_rest(self, order_id: str, order: Document, facts: OrderFacts, kept: int, wall: datetime) -> None:
        if facts.held("active") and order["reservation"]["expiresAt"] < wall - self._tolerance:
            self.violate("hold_not_swept", f"order {order_id} still holds {facts.held('active')}")
        if not facts.held("active"):
            self._coupon_uses.check_rest(order_id, order)
        refunded = sum(refund["amount"] for refund in order.get("refunds", ()))
        due = order["total"] - refunded if order["status"] in {*SOLD, "refunded"} else 0
        if kept != due:
            self.violate("money_mismatch", f"{order['status']} order {order_id}: {kept} kept, {due} due")


def wanted(order: Document) -> dict[str, int]:
    """What an order is for: SKU → quantity; the same SKU twice counts twice."""
    lines = defaultdict[str, int](int)
    for item in order["items"]:
        lines[item["sku"]] += item["quantity"]
    return dict(lines)
