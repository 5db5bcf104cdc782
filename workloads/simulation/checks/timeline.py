"""Stock over time: what was available when, and what became of every hold.

Serves two readers: the auditor asks whether a "sold out" was true at some moment of the request, the studies ask how
many sales, and for how long, a hold that came to nothing stood in the way.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from workloads.simulation.mongo.store import Change


@dataclass(slots=True)
class HoldLife:
    """One reservation: `ended_at` and `status` once it is resolved. Virtual seconds."""

    sku: str
    quantity: int
    began_at: float
    status: str = "active"
    ended_at: float | None = None


@dataclass(slots=True)
class StockLine:
    """One SKU's availability as a step function: `available[n]` from `times[n]` on."""

    times: list[float]
    available: list[int]

    def add(self, at: float, available: int) -> None:
        self.times.append(at)
        self.available.append(available)

    def lowest(self, start: float, end: float) -> int:
        """The least availability at any moment of the interval, its ends included. Before the first entry: nothing."""
        first = bisect_right(self.times, start) - 1
        while first > 0 and self.times[first] == start:
            first -= 1
        last = bisect_right(self.times, end)
        seen = self.available[max(first, 0) : last]
        return 0 if first < 0 or not seen else min(seen)

    def seen(self, value: int, start: float, end: float) -> bool:
        """Whether availability was `value` at some moment of the interval."""
        first = bisect_right(self.times, start) - 1
        while first > 0 and self.times[first] == start:
            first -= 1
        return value in self.available[max(first, 0) : bisect_right(self.times, end)]


class Timeline:
    """`stock` is what a reader could see; `levels` also the states in between, when one commit moved a SKU often."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.stock: dict[str, StockLine] = defaultdict(lambda: StockLine([], []))
        self.levels: dict[str, StockLine] = defaultdict(lambda: StockLine([], []))
        self.holds: dict[str, HoldLife] = {}
        self._holds_of: dict[str, list[HoldLife]] = defaultdict(list)

    def hear(self, changes: list[Change]) -> None:
        for collection, key, _, after in changes:
            if after is None:
                continue
            if collection == "inventory":
                self.stock[key].add(self._now(), after["available"])
            elif collection == "stock_history":
                self.levels[after["sku"]].add(self._now(), after["onHand"] - after["reserved"])
            elif collection == "reservations":
                self._hear_hold(key, after["sku"], after["quantity"], after["status"])

    def _hear_hold(self, key: str, sku: str, quantity: int, status: str) -> None:
        life = self.holds.get(key)
        if life is None:
            life = self.holds[key] = HoldLife(sku, quantity, self._now())
            self._holds_of[sku].append(life)
        if status != "active" and life.ended_at is None:
            life.status, life.ended_at = status, self._now()

    def held_for_nothing(self, sku: str, at: float) -> list[HoldLife]:
        """The holds that had units of it off the shelf at that moment and never became a sale."""
        return [
            hold
            for hold in self._holds_of[sku]
            if hold.began_at <= at and (hold.ended_at is None or hold.ended_at > at) and hold.status != "confirmed"
        ]

    def phantom_sold_out_seconds(self) -> float:
        """Summed over SKUs: how long one showed as sold out although units of it were held for nothing."""
        return sum(self._phantom_seconds(sku, line) for sku, line in self.stock.items())

    def _phantom_seconds(self, sku: str, line: StockLine) -> float:
        ends = [*line.times[1:], self._now()]
        empty = [(start, end) for start, end, level in zip(line.times, ends, line.available, strict=True) if level == 0]
        useless = [hold for hold in self._holds_of[sku] if hold.status != "confirmed"]
        return sum(_covered(start, end, useless, self._now()) for start, end in empty)

    def hold_use(self) -> float:
        """The share of all held unit-seconds that ended in a sale; 1 when nothing was held."""
        total = useful = 0.0
        for hold in self.holds.values():
            held = hold.quantity * ((self._now() if hold.ended_at is None else hold.ended_at) - hold.began_at)
            total += held
            useful += held if hold.status == "confirmed" else 0.0
        return useful / total if total else 1.0


def _covered(start: float, end: float, holds: list[HoldLife], now: float) -> float:
    """Seconds of [start, end) during which at least one of the holds was alive."""
    spans = sorted(
        (max(start, hold.began_at), min(end, now if hold.ended_at is None else hold.ended_at)) for hold in holds
    )
    covered, reached = 0.0, start
    for begin, finish in spans:
        covered += max(0.0, finish - max(begin, reached))
        reached = max(reached, finish)
    return covered
