"""`holdfast seed`: a shop worth measuring, filled through the shop's own use cases, so that its books are right.

Products are named from a retail trace where one is given or found, and from a few names of our own otherwise.
Orders are placed and paid one by one, in a past that a travelling clock walks through.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.kit import catalogue as catalogue_data
from benchmarks.kit.catalogue import TraceName
from service import bootstrap
from service.auth.models import NewUser
from service.bootstrap import Shop
from service.catalog.models import NewProduct
from service.clock import SystemClock
from service.commands import data_option, with_shop
from service.errors import Problem
from service.inventory.models import Line
from workloads.progress import plain_console, terminal_is_watching

PRODUCTS_TOGETHER, LINES_TOGETHER, BUYERS = 200, 1_000, 64
PAST = timedelta(days=90)
PASSWORD = "a-password-for-load-tests-only"
OWN_NAMES = (
    "PAPER LANTERN SET OF 4",
    "RED SPOTTY MUG",
    "WICKER HEART GARLAND",
    "SMALL CERAMIC BIRD BOWL",
    "VINTAGE TIN SIGN GARDEN",
    "COTTON SHOPPER BAG LEAVES",
    "GLASS CANDLE HOLDER STAR",
    "ENAMEL JUG CREAM LARGE",
    "WOODEN ADVENT REINDEER",
    "NOTEBOOK WITH RIBBON BLUE",
    "LUNCH BAG WOODLAND",
    "CAKE TIN PANTRY RED",
    "SILVER BEAD BRACELET",
    "HERB PLANT MARKER SET",
    "CHILDRENS SKITTLES SPACE",
    "RED PAPER STAR GARLAND",
    "CREAM CERAMIC HEART BOWL",
    "LARGE GARDEN LANTERN TIN",
    "BLUE COTTON BIRD BAG",
    "VINTAGE GLASS JUG SMALL",
)


class TravellingClock(SystemClock):
    """A past that walks towards now."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        return self._now

    def travel_to(self, moment: datetime) -> None:
        self._now = moment


class Seeder:
    """Fills one shop. Every step may be repeated: what is there already is left as it is."""

    def __init__(self, shop: Shop, seed: int, progress: Progress) -> None:
        self._shop, self._chance, self._progress = shop, random.Random(seed), progress

    async def products(self, products: Sequence[NewProduct], stock: int) -> list[str]:
        """Puts them on sale with `stock` units of every SKU. Returns the SKUs."""
        for category in sorted({product.category for product in products}):
            await self._shop.catalog.put_category(category, category.title(), None)
        known = await self._shop.offers.of([str(product.sku) for product in products])
        missing = [product for product in products if product.sku not in known]
        for batch in self._batches("products", missing, PRODUCTS_TOGETHER):
            await self._shop.catalog.create_all(batch)
        skus = [str(product.sku) for product in products]
        if stock:
            await self._receive(skus, stock)
        return skus

    async def _receive(self, skus: Sequence[str], stock: int) -> None:
        for batch in self._batches("stock", [Line(sku, stock) for sku in skus], LINES_TOGETHER):
            await self._shop.inventory.receive(batch, actor="seed", reason="seed")

    async def users(self, count: int) -> list[str]:
        """Customers shopper1@, shopper2@, … who share one password."""
        auth = bootstrap.front(self._shop).auth.accounts
        made: list[str] = []
        for batch in self._batches("users", range(1, count + 1), LINES_TOGETHER):
            made += await auth.bulk_create(
                [NewUser(f"shopper{number}@shoppers.example", f"Shopper {number}") for number in batch], PASSWORD
            )
        return made

    async def orders(self, count: int, users: Sequence[str], skus: Sequence[str]) -> int:
        """Places orders over the past months: most are paid, some are cancelled. Returns how many were placed."""
        clock = TravellingClock()
        past = bootstrap.build(self._shop.config, self._shop.stores, clock, random.Random(self._chance.random()))
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


def _popular(chance: random.Random, skus: Sequence[str]) -> str:
    """A few SKUs sell most: the first ones."""
    return skus[min(int(chance.paretovariate(0.6)) - 1, len(skus) - 1)]


def made_up(count: int, seed: int) -> list[NewProduct]:
    path = catalogue_data.trace_path()
    names = (
        catalogue_data.read_trace_names(path)
        if path.exists()
        else [TraceName(name, 100 - rank, 95 + 40 * rank) for rank, name in enumerate(OWN_NAMES)]
    )
    return [
        NewProduct(
            name=entry.name.title(),
            price=entry.price_minor,
            category=entry.category,
            description=entry.description,
            brand=entry.brand,
            tags=entry.tags,
            sku=f"HF-{number:06d}",
        )
        for number, entry in enumerate(catalogue_data.catalogue(names, count, seed), 1)
    ]


def from_trace(trace: Path) -> list[NewProduct]:
    """One product per stock code of the trace, the most bought first, at its median price."""
    from workloads.traces.retail import read_trace

    return [
        NewProduct(
            name=item.name.title(),
            price=item.price_pence,
            category=catalogue_data.category_of(item.name),
            description=f"{item.name.capitalize()}. Stock code {item.sku}.",
            sku=item.sku,
        )
        for item in read_trace(trace).catalogue()
    ]


async def fill(
    shop: Shop, products: Sequence[NewProduct], stock: int, users: int, orders: int, seed: int
) -> dict[str, int]:
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(), disable=not terminal_is_watching()) as progress:
        seeder = Seeder(shop, seed, progress)
        skus = await seeder.products(products, stock)
        ids = await seeder.users(users)
        placed = await seeder.orders(orders, ids or ["seed"], skus) if orders and skus else 0
    return {"products": len(products), "users": len(ids), "orders": placed, "stock": stock}


@click.command()
@data_option
@click.option("--products", default=0, type=click.IntRange(0, 1_000_000), help="How many made-up products.")
@click.option("--users", default=0, type=click.IntRange(0, 1_000_000))
@click.option("--orders", default=0, type=click.IntRange(0, 1_000_000), help="Placed in the past, most of them paid.")
@click.option("--trace", type=click.Path(exists=True, path_type=Path), help="Catalogue and stock of a retail trace.")
@click.option("--stock", default=1_000, show_default=True, type=click.IntRange(0, 1_000_000_000), help="Of every SKU.")
@click.option("--seed", "seed_", default=1, show_default=True, help="Makes the choices repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def seed(
    data: Path, products: int, users: int, orders: int, trace: Path | None, stock: int, seed_: int, as_json: bool
) -> None:
    """Fill the running stack with products, stock, users and orders."""
    import json

    wanted = (from_trace(trace) if trace else []) + made_up(products, seed_)
    if not wanted and not users:
        wanted = made_up(1_000, seed_)
    filled = with_shop(data, lambda shop: fill(shop, wanted, stock, users, orders, seed_))
    click.echo(json.dumps(filled) if as_json else ", ".join(f"{count:,} {what}" for what, count in filled.items()))
