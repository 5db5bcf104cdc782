"""What can be simulated: who comes when, wanting what, and how much there is of it.

`steady` is a shop day with the real shop's hours, baskets and popularity; `flash-sale` fifty buyers for forty units;
`trace` the invoices of a real trace at their real times.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workloads import arrivals
from workloads.demand import load_profile
from workloads.shoppers import Habits, Shop, Visit, buy, flash_buyer, shopper
from workloads.simulation.customers import Customer, staff_rounds
from workloads.simulation.shop import SimulatedShop

VisitMaker = Callable[[random.Random], Visit]
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`visits` are (arrival in seconds, visit maker); `stock` is what there is of each SKU at the start."""

    name: str
    stock: dict[str, int]
    visits: Iterable[tuple[float, VisitMaker]]
    staff_every_seconds: float = 0.0
    refund_share: float = 0.5


@dataclass(frozen=True, slots=True)
class FlashSale:
    """Buyers of a few SKUs, most of the first; more demand than stock."""

    buyers: int = 50
    hot_stock: int = 30
    other_stock: int = 8
    seconds: float = 20.0
    two_line_share: float = 0.3
    habits: Habits = field(default_factory=Habits)

    def scenario(self, seed: int) -> Scenario:
        chance = random.Random(f"flash-sale {seed}")
        shop = Shop(("hot", "warm", "cold"), habits=self.habits)
        times = sorted(chance.expovariate(3.0 / self.seconds) for _ in range(self.buyers))
        visits = [(at, self._visit(chance, shop)) for at in times]
        stock = {"hot": self.hot_stock, "warm": self.other_stock, "cold": self.other_stock}
        return Scenario("flash-sale", stock, visits, staff_every_seconds=60.0)

    def _visit(self, chance: random.Random, shop: Shop) -> VisitMaker:
        if chance.random() < self.two_line_share:
            other = chance.choice(("warm", "cold", "hot"))
            lines = (("hot", chance.randint(1, 2)), (other, 1))
            return lambda random: buy(random, shop, lines)
        return lambda random: flash_buyer(random, shop, "hot")


@dataclass(frozen=True, slots=True)
class Steady:
    """Visits over whole days; baskets and popularity as in the demand profile."""

    visits_per_day: float = 300.0
    days: float = 1.0
    skus: int = 500
    units: int = 200
    habits: Habits = field(default_factory=Habits)

    def scenario(self, seed: int) -> Scenario:
        profile = load_profile()
        skus = tuple(f"sku-{number}" for number in range(self.skus))
        shop = Shop(skus, profile=profile, habits=self.habits)
        times = arrivals.daily(profile, self.visits_per_day, self.days, seed)
        stock = dict.fromkeys(skus, self.units)
        visits = ((float(at), lambda random: shopper(random, shop)) for at in times)
        return Scenario("steady", stock, visits, staff_every_seconds=3600.0)


@dataclass(frozen=True, slots=True)
class Trace:
    """Every invoice of the trace's first `days` days is one checkout, with `stock_share` of what was sold in stock."""

    path: Path
    days: float = 1.0
    stock_share: float = 0.9
    lines_max: int = 1_000
    habits: Habits = field(default_factory=Habits)

    def scenario(self, seed: int) -> Scenario:
        baskets = self._baskets()
        sold: dict[str, int] = {}
        for _, lines in baskets:
            for sku, quantity in lines:
                sold[sku] = sold.get(sku, 0) + quantity
        stock = {sku: max(1, round(quantity * self.stock_share)) for sku, quantity in sold.items()}
        shop = Shop(tuple(stock), habits=self.habits)
        visits = [(at, _purchase(shop, lines)) for at, lines in baskets]
        return Scenario("trace", stock, visits)

    def _baskets(self) -> list[tuple[float, tuple[tuple[str, int], ...]]]:
        from workloads.trace import read_trace

        rows = read_trace(self.path).rows
        sales = rows[~rows["returned"] & (rows["quantity"] > 0)]
        start = sales["at"].min().normalize()
        seconds = (sales["at"] - start).dt.total_seconds()
        sales = sales[seconds < self.days * SECONDS_PER_DAY]
        return [
            (
                (invoice["at"].iloc[0] - start).total_seconds(),
                tuple(zip(invoice["sku"], (int(q) for q in invoice["quantity"]), strict=True))[: self.lines_max],
            )
            for _, invoice in sales.groupby("invoice", sort=False)
        ]


def _purchase(shop: Shop, lines: tuple[tuple[str, int], ...]) -> VisitMaker:
    return lambda random: buy(random, shop, lines)


async def play(scenario: Scenario, shop: SimulatedShop) -> None:
    """Opens the shop, lets everybody come, and waits until all is settled."""
    await shop.open(scenario.stock)
    staff = asyncio.ensure_future(_staff(scenario, shop))
    visitors = [
        asyncio.ensure_future(_visitor(f"user-{number}", at, visit, shop))
        for number, (at, visit) in enumerate(scenario.visits)
    ]
    await asyncio.gather(*visitors)
    staff.cancel()
    await shop.rest()


async def _visitor(name: str, at: float, visit: VisitMaker, shop: SimulatedShop) -> None:
    await asyncio.sleep(at)
    await Customer(name, shop.desk).carry_out(visit(random.Random(f"{name} {shop.seed}")))


async def _staff(scenario: Scenario, shop: SimulatedShop) -> None:
    if scenario.staff_every_seconds:
        await staff_rounds(
            shop.desk,
            f"staff {shop.seed}",
            shop.paid_orders,
            scenario.staff_every_seconds,
            refund_share=scenario.refund_share,
        )
