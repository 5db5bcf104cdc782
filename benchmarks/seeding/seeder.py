"""Fills one shop through its own use cases, so that its books are right. Every step may be repeated: what is there
already is left as it is, so a second run of the same seeding changes nothing.

Orders are placed and paid one by one, in a past that a travelling clock walks through."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.progress import Progress

from benchmarks.kit.title_case import title_case
from service import bootstrap
from service.auth.models import NewUser
from service.bootstrap import Shop
from service.catalog.models import CategoryNode, NewProduct
from service.clock import SystemClock
from service.errors import Problem
from service.inventory.models import Line

PRODUCTS_TOGETHER, LINES_TOGETHER, BUYERS = 200, 1_000, 64
# A basket that is refused is followed by others: so many rounds, then what cannot be placed stays out.
ROUNDS_MAX = 5
PAST = timedelta(days=90)
PASSWORD = "a-password-for-load-tests-only"
ACTOR = "seed"


@dataclass(slots=True)
class Added:
    """What a seeding found missing and added."""

    products: int = 0
    users: int = 0
    orders: int = 0
    units: int = 0

    def __bool__(self) -> bool:
        return any((self.products, self.users, self.orders, self.units))


class TravellingClock(SystemClock):
    """A past that walks towards now."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        return self._now

    def travel_to(self, moment: datetime) -> None:
        self._now = moment


class Seeder:
    def __init__(self, shop: Shop, seed: int, progress: Progress) -> None:
        self._shop, self._chance, self._progress = shop, random.Random(seed), progress
        self.added = Added()

    async def products(self, products: Sequence[NewProduct], stock: int) -> list[str]:
        """Puts them on sale with `stock` units of every SKU. Returns the SKUs."""
        skus = [str(product.sku) for product in products]
        known = await self._known(skus)
        missing = [product for product in products if product.sku not in known]
        await self._categories({product.category for product in missing})
        for batch in self._batches("products", missing, PRODUCTS_TOGETHER):
            await self._shop.catalog.create_all(batch)
            self.added.products += len(batch)
        if stock:
            await self._receive(skus, stock)
        return skus

    async def _known(self, skus: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for start in range(0, len(skus), LINES_TOGETHER):
            known |= set(await self._shop.inventory.availability(skus[start : start + LINES_TOGETHER]))
        return known

    async def _categories(self, wanted: set[str]) -> None:
        there = set(_ids_of(await self._shop.catalog.categories())) if wanted else set()
        for category in sorted(wanted - there):
            await self._shop.catalog.put_category(category, title_case(category.replace("-", " ")), None)

    async def _receive(self, skus: Sequence[str], stock: int) -> None:
        """Brings in what is missing of the `stock` units that seeding has ever given each SKU; what was sold of them is
        not made up for."""
        for batch in self._batches("stock", skus, LINES_TOGETHER):
            given = await self._shop.inventory.received_from(ACTOR, batch)
            lines = [Line(sku, stock - given.get(sku, 0)) for sku in batch if given.get(sku, 0) < stock]
            if lines:
                await self._shop.inventory.receive(lines, actor=ACTOR, reason="seed")
                self.added.units += sum(line.quantity for line in lines)

    async def users(self, count: int) -> list[str]:
        """Customers shopper1@, shopper2@, … who share one password. Returns the ids of them all."""
        auth, ids = bootstrap.front(self._shop).auth.accounts, list[str]()
        for batch in self._batches("users", range(1, count + 1), LINES_TOGETHER):
            users = [NewUser(f"shopper{number}@shoppers.example", f"Shopper {number}") for number in batch]
            known = await auth.ids_by_email([user.email for user in users])
            missing = [user for user in users if user.email not in known]
            made = await auth.bulk_create(missing, PASSWORD) if missing else []
            self.added.users += len(made)
            known |= {user.email: user_id for user, user_id in zip(missing, made, strict=True)}
            ids += [known[user.email] for user in users]
        return ids

    async def orders(self, count: int, users: Sequence[str], skus: Sequence[str]) -> int:
        """Places orders over the past months until these users have `count`: most are paid, some are cancelled. Returns
        how many they have."""
        there = await self._shop.orders.count_of(users)
        for _ in range(ROUNDS_MAX):
            placed = await self._place(count - there, users, skus) if there < count else 0
            self.added.orders += placed
            there += placed
            if not placed:
                break
        return there

    async def _place(self, count: int, users: Sequence[str], skus: Sequence[str]) -> int:
        clock = TravellingClock()
        # Only choices are repeatable: ids drawn from the same seed would be those of an earlier run's orders.
        past = bootstrap.build(self._shop.config, self._shop.stores, clock, random.SystemRandom())
        numbers = iter(range(count))
        task = self._progress.add_task("orders", total=count)
        start = clock.now() - PAST

        async def buyer() -> int:
            placed = 0
            for number in numbers:
                clock.travel_to(start + PAST * (number / count))
                if await self._order(past, self._chance.choice(users), skus):
                    placed += 1
                self._progress.advance(task)
            return placed

        return sum(await asyncio.gather(*(buyer() for _ in range(BUYERS))))

    async def _order(self, shop: Shop, user: str, skus: Sequence[str]) -> bool:
        chosen = {_popular(self._chance, skus) for _ in range(self._chance.choice((1, 1, 2, 3, 5)))}
        lines = [Line(sku, self._chance.choice((1, 1, 2, 4))) for sku in sorted(chosen)]
        try:
            order = (await shop.orders.checkout(user, lines)).order
            if self._chance.random() < 0.9:
                await shop.settlement.pay(order, "pm_card_visa")
            else:
                await shop.orders.cancel(order, user)
        except Problem:  # sold out: as in any shop
            return False
        return True

    def _batches(self, what: str, items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
        for start in self._progress.track(range(0, len(items), size), description=what):
            yield items[start : start + size]


def _ids_of(nodes: Sequence[CategoryNode]) -> Iterator[str]:
    for node in nodes:
        yield node.category.id
        yield from _ids_of(node.children)


def _popular(chance: random.Random, skus: Sequence[str]) -> str:
    """A few SKUs sell most: the first ones."""
    return skus[min(int(chance.paretovariate(0.6)) - 1, len(skus) - 1)]
