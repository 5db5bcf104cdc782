"""Carries out what the shopper model intends, at the desk of the simulated shop.

The catalogue is not simulated (the mock knows no text search), so browsing and searching only take their time; a cart
holds no stock and is the customer's own list here.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from workloads.model.actions import Action, Cancel, CheckOut, Pay, Reply, Restock, View, Wait
from workloads.model.shoppers import Visit
from workloads.simulation.world.desk import Desk

HOARDS, HOARD_AGAIN_SECONDS = 2, 905.0
COUNTING_SECONDS = 2.0
GOOD_CARD, BAD_CARD = "card", "card-decline"


class Customer:
    """One visit of one person; every request has a key of its own."""

    def __init__(self, name: str, desk: Desk, coupon: str | None = None) -> None:
        self.name, self._desk, self._coupon = name, desk, coupon
        self._requests = 0

    async def carry_out(self, visit: Visit) -> None:
        try:
            action = next(visit)
            while True:
                action = visit.send(await self._do(action))
        except StopIteration:
            return

    async def _do(self, action: Action) -> Reply:
        match action:
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case View(sku):
                return await self._desk.availability(sku)
            case CheckOut(lines):
                return await self._desk.check_out(self.name, self._next_key(), lines, self._coupon)
            case Pay(order_id, card_is_good):
                return await self._pay(order_id, GOOD_CARD if card_is_good else BAD_CARD)
            case Cancel(order_id):
                return await self._desk.cancel(self.name, self._next_key(), order_id)
            case Restock(lines):
                return await self._desk.restock(self._next_key(), lines)
        return Reply()

    async def _pay(self, order_id: str, method: str) -> Reply:
        return await self._desk.pay(self.name, self._next_key(), order_id, method)

    def _next_key(self) -> str:
        self._requests += 1
        return f"{self.name}-{self._requests}"


async def hoard(name: str, desk: Desk, skus: Sequence[str]) -> None:
    """One customer who would hold a unit of everything, all at once and again when the holds have run out, and never
    pays. No two of these checkouts meet at a SKU: only the customer is the same."""
    for round_ in range(HOARDS):
        await asyncio.gather(*(desk.check_out(name, f"{name}-{round_}-{sku}", ((sku, 1),)) for sku in skus))
        await asyncio.sleep(HOARD_AGAIN_SECONDS)


async def count_over_and_over(desk: Desk, sku: str) -> None:
    """A member of staff who notes the version, counts what lies there, and says so when others have bought."""
    number = 0
    while True:
        number += 1
        if (stock := await desk.shelf(sku)) is not None:
            await asyncio.sleep(COUNTING_SECONDS)
            await desk.count(f"count-{sku}-{number}", sku, *stock)
        await asyncio.sleep(COUNTING_SECONDS)


async def staff_rounds(
    desk: Desk, seed: str, paid_orders: Callable[[], list[str]], every_seconds: float, *, refund_share: float
) -> None:
    """A member of staff who ships or refunds orders that were paid, some more than once, for ever."""
    chance, number = random.Random(seed), 0
    while True:
        await asyncio.sleep(chance.expovariate(1.0 / every_seconds))
        orders = paid_orders()
        if not orders:
            continue
        number += 1
        order_id = chance.choice(orders)
        if chance.random() < refund_share:
            await desk.refund(f"refund-{number}", order_id, restock=chance.random() < 0.5)
        else:
            await desk.ship(f"ship-{number}", order_id)
