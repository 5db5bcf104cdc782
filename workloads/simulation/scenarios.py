"""What can be simulated: who comes when, wanting what, and how much there is of it.

`steady` is a shop day with the real shop's hours, baskets and popularity; `flash-sale` fifty buyers for 46 units;
`hoarders` the same sale with more on the shelf and customers who would hold all of it and pay for none;
`trace` the invoices of a real trace at their real times; `Drop` is the bench of the what-if studies.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.model.demand import load_profile
from workloads.model.shoppers import Habits, Shop, Visit, buy, flash_buyer, shopper
from workloads.simulation.world.customers import Customer, count_over_and_over, hoard, staff_rounds
from workloads.simulation.world.shop import SimulatedShop
from workloads.traces.names import COMPLETE_JOURNEY

# Pandas and NumPy are loaded by the scenarios that need them: a flash sale starts in half the time without.
if TYPE_CHECKING:
    from workloads.model.arrivals import Schedule
    from workloads.traces.retail import Invoice, ReadOptions

    Sales = tuple[float, list[Invoice]]

VisitMaker = Callable[[random.Random], Visit]
HOARDED_SKUS = 40
SECONDS_PER_DAY = 86_400.0
LATE = Habits(payment_median_seconds=900.0, payment_sigma=0.25, cancel_chance=0.3)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`visits` are (arrival in seconds, visit maker); `stock` is what there is of each SKU at the start; the shop stays
    open for `seconds` at least, and until the last visitor has left."""

    name: str
    stock: dict[str, int]
    visits: Iterable[tuple[float, VisitMaker]]
    seconds: float = 0.0
    staff_every_seconds: float = 0.0
    refund_share: float = 0.5
    hoarders: int = 0
    coupons: int = 0  # each may be used once
    counted: tuple[str, ...] = ()  # SKUs that somebody counts over and over, rightly
    limited: bool = True  # whether what one customer may hold is bounded, or lifted as for a load test


@dataclass(frozen=True, slots=True)
class FlashSale:
    """Buyers of a few SKUs, most of the first; more demand than stock. Some settle about when their hold ends, before
    or after it was swept, while others come back for what was freed: the moment at which shops go wrong."""

    buyers: int = 50
    hot_stock: int = 30
    other_stock: int = 8
    seconds: float = 6.0
    two_line_share: float = 0.3
    late_share: float = 0.3
    back_share: float = 0.2
    back_after_seconds: float = 900.0
    hoarders: int = 0
    coupons: int = 0
    counted: tuple[str, ...] = ()
    habits: Habits = field(default_factory=Habits)
    late_habits: Habits = field(default_factory=lambda: LATE)

    def scenario(self, seed: int) -> Scenario:
        chance = random.Random(f"flash-sale {seed}")
        prompt, late = (Shop(("hot", "warm", "cold"), habits=habits) for habits in (self.habits, self.late_habits))
        times = sorted(self._arrival(chance) for _ in range(self.buyers))
        visits = [(at, self._visit(chance, late if chance.random() < self.late_share else prompt)) for at in times]
        stock = {"hot": self.hot_stock, "warm": self.other_stock, "cold": self.other_stock}
        stock |= {f"shelf-{number}": 2 * self.hoarders for number in range(HOARDED_SKUS if self.hoarders else 0)}
        return Scenario(
            "flash-sale",
            stock,
            visits,
            staff_every_seconds=60.0,
            hoarders=self.hoarders,
            coupons=self.coupons,
            counted=self.counted,
        )

    def _arrival(self, chance: random.Random) -> float:
        if chance.random() < self.back_share:
            return self.back_after_seconds * (1 + chance.random() / 2)
        return chance.expovariate(3.0 / self.seconds)

    def _visit(self, chance: random.Random, shop: Shop) -> VisitMaker:
        if chance.random() < self.two_line_share:
            other = chance.choice(("warm", "cold", "hot"))
            lines = (("hot", chance.randint(1, 2)), (other, 1))
            return lambda random: buy(random, shop, lines)
        return lambda random: flash_buyer(random, shop, "hot")


HOARDED_SALE = FlashSale(buyers=20, hoarders=2)
COUNTED_SALE = FlashSale(counted=("hot", "warm"))
COUPON_SALE = FlashSale(hot_stock=60, late_share=0.6, back_share=0.5, coupons=6)


@dataclass(frozen=True, slots=True)
class Drop:
    """More buyers than goods over some hours, one unit each; who is refused does not come back.

    `shape` is `poisson`, `even`, or `rush` (most come at once and the crowd thins out)."""

    buyers: int = 200
    hours: float = 2.0
    skus: int = 5
    units: int = 20
    zipf_exponent: float = 0.8
    shape: str = "poisson"
    habits: Habits = field(default_factory=lambda: Habits(walk_away_chance=0.25))

    @property
    def stock(self) -> int:
        return self.skus * self.units

    def scenario(self, seed: int) -> Scenario:
        chance = random.Random(f"drop {seed}")
        skus = tuple(f"sku-{number}" for number in range(self.skus))
        shop = Shop(skus, habits=self.habits, zipf_exponent=self.zipf_exponent)
        visits = [(float(at), _wants_one(shop, shop.pick_sku(chance))) for at in self._arrivals(seed)]
        return Scenario("drop", dict.fromkeys(skus, self.units), visits)

    def _arrivals(self, seed: int) -> "Schedule":
        from workloads.model import arrivals

        seconds = self.hours * 3600
        rate = self.buyers / seconds
        match self.shape:
            case "poisson":
                return arrivals.poisson(rate, seconds, seed)
            case "even":
                return arrivals.constant(rate, seconds)
            case "rush":
                return arrivals.flash_sale(rate / 10, self.buyers / 120, seconds, seed, decay_seconds=120)
        raise ValueError(f"arrivals are poisson, even or rush, not {self.shape!r}")


@dataclass(frozen=True, slots=True)
class Steady:
    """Visits over whole days; baskets and popularity as in the demand profile."""

    visits_per_day: float = 300.0
    days: float = 1.0
    skus: int = 500
    units: int = 200
    habits: Habits = field(default_factory=Habits)

    def scenario(self, seed: int) -> Scenario:
        from workloads.model import arrivals

        profile = load_profile()
        skus = tuple(f"sku-{number}" for number in range(self.skus))
        shop = Shop(skus, profile=profile, habits=self.habits)
        times = arrivals.daily(profile, self.visits_per_day, self.days, seed)
        stock = dict.fromkeys(skus, self.units)
        visits = ((float(at), lambda random: shopper(random, shop)) for at in times)
        seconds = self.days * SECONDS_PER_DAY
        return Scenario("steady", stock, visits, seconds, staff_every_seconds=3600.0, limited=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """Every invoice of the trace's first `days` days is one checkout; `stock_share` of what they want is in stock."""

    trace: str | Path = COMPLETE_JOURNEY
    options: "ReadOptions | None" = None
    days: float = 1.0
    stock_share: float = 0.9
    sales: "Sales | None" = None
    habits: Habits = field(default_factory=Habits)

    def scenario(self, seed: int) -> Scenario:
        begins_at, invoices = self.sales or _sales(self.trace, self.options, self.days)
        asked = Counter[str]()
        for invoice in invoices:
            asked.update(invoice.units_by_sku())
        stock = {sku: max(1, round(units * self.stock_share)) for sku, units in asked.items()}
        shop = Shop(tuple(stock), habits=self.habits)
        visits = [(begins_at + invoice.at_seconds, _purchase(shop, invoice)) for invoice in invoices]
        return Scenario("trace", stock, visits, seconds=self.days * SECONDS_PER_DAY, limited=False)

    def read(self) -> "Trace":
        """Reads it now, once for all seeds: its faults are told before anything is simulated. Raises TraceError."""
        return replace(self, sales=_sales(self.trace, self.options, self.days))


def _sales(trace: str | Path, options: "ReadOptions | None", days: float) -> "Sales":
    """When the first begins, in seconds after midnight, and the sales of the wanted days."""
    from workloads.traces.retail import ReadOptions, TraceError, read_with

    found = read_with([trace], options or ReadOptions())
    midnight = found.begins_at.replace(hour=0, minute=0, second=0, microsecond=0)
    begins_at = (found.begins_at - midnight).total_seconds()
    wanted = found.first_seconds(days * SECONDS_PER_DAY - begins_at).invoices()
    sales = [invoice for invoice in wanted if not invoice.is_return]
    if not sales:
        raise TraceError(f"nothing was sold in the first {days:g} days of {trace}")
    return begins_at, sales


def _wants_one(shop: Shop, sku: str) -> VisitMaker:
    return lambda random: buy(random, shop, ((sku, 1),))


def _purchase(shop: Shop, invoice: "Invoice") -> VisitMaker:
    lines = tuple((line.sku, line.quantity) for line in invoice.lines)
    return lambda random: buy(random, shop, lines)


async def play(scenario: Scenario, shop: SimulatedShop) -> None:
    """Opens the shop, lets everybody come, and waits until all is settled."""
    await shop.open(scenario.stock, _coupons(scenario))
    staff = asyncio.ensure_future(_staff(scenario, shop))
    visitors = [
        asyncio.ensure_future(_visitor(f"user-{number}", at, visit, shop, _coupon_of(scenario, number)))
        for number, (at, visit) in enumerate(scenario.visits)
    ]
    shelf = [sku for sku in scenario.stock if sku.startswith("shelf-")]
    hoarders = [hoard(f"hoarder-{number}", shop.desk, shelf) for number in range(scenario.hoarders)]
    counters = [asyncio.ensure_future(count_over_and_over(shop.desk, sku)) for sku in scenario.counted]
    await asyncio.gather(*visitors, *hoarders, asyncio.sleep(scenario.seconds))
    for task in (staff, *counters):
        task.cancel()
    await shop.rest()


def _coupons(scenario: Scenario) -> list[str]:
    return [f"ONCE-{number}" for number in range(scenario.coupons)]


def _coupon_of(scenario: Scenario, number: int) -> str | None:
    coupons = _coupons(scenario)
    return coupons[number % len(coupons)] if coupons else None


async def _visitor(name: str, at: float, visit: VisitMaker, shop: SimulatedShop, coupon: str | None) -> None:
    await asyncio.sleep(at)
    await Customer(name, shop.desk, coupon).carry_out(visit(random.Random(f"{name} {shop.seed}")))


async def _staff(scenario: Scenario, shop: SimulatedShop) -> None:
    if scenario.staff_every_seconds:
        await staff_rounds(
            shop.desk,
            f"staff {shop.seed}",
            shop.paid_orders,
            scenario.staff_every_seconds,
            refund_share=scenario.refund_share,
        )
