"""`holdfast seed`: a shop worth measuring, filled through the shop's own use cases.

Products are named from a retail trace: the one given, else the packaged year. Where that package is not installed their
names are made up, and that is said."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from pymongo.errors import PyMongoError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.kit import catalogue as catalogue_data
from benchmarks.kit.title_case import title_case
from benchmarks.seeding.made_up_names import made_up_names
from benchmarks.seeding.seeder import ACTOR, Seeder
from service.bootstrap import Shop
from service.catalog.models import NewProduct
from service.commands import with_shop
from service.errors import Problem
from service.options import as_json, data_option
from workloads.progress import plain_console, terminal_is_watching
from workloads.traces import names as trace_names
from workloads.traces.command_options import TRACE_HELP, as_words, guarded, read_options, trace_options
from workloads.traces.options import ReadOptions

PRODUCTS_DEFAULT = 1_000
NAME_LENGTH_MAX = 200


class SeedingRefused(click.ClickException):
    """The shop refused a step. What was added before stays, and the same command goes on from there."""

    exit_code = 2


def named_products(count: int, seed: int) -> list[NewProduct]:
    """Products with the vocabulary of the default trace, or with made-up names, which is said. Raises TraceError."""
    if not count:
        return []
    if trace_names.default_is_there():
        names = catalogue_data.read_trace_names()
    else:
        names = made_up_names(count, seed)
        click.echo("the products' names are made up: for real ones, pip install 'holdfast[data]'", err=True)
    return [
        NewProduct(
            name=title_case(entry.name),
            price=entry.price_minor,
            category=entry.category,
            description=entry.description,
            brand=entry.brand,
            tags=entry.tags,
            sku=f"HF-{number:06d}",
        )
        for number, entry in enumerate(catalogue_data.catalogue(names, count, seed), 1)
    ]


def from_trace(trace: str, options: ReadOptions) -> list[NewProduct]:
    """One product per stock code of the trace, the most bought first, at its median price. Raises TraceError."""
    from workloads.traces.retail import read_with

    return [
        NewProduct(
            name=title_case(item.name)[:NAME_LENGTH_MAX],
            price=item.price_minor,
            category=catalogue_data.category_id(item.category) or catalogue_data.category_of(item.name.upper()),
            description=f"{item.name.capitalize()}. Stock code {item.sku}.",
            brand=item.brand,
            sku=item.sku,
        )
        for item in read_with([trace], options).catalogue()
    ]


async def fill(
    shop: Shop, products: Sequence[NewProduct], stock: int, users: int, orders: int, seed: int
) -> dict[str, Any]:
    """Returns what there is now of what was asked for, and what had to be added."""
    if users and shop.config.production:
        raise click.UsageError(
            "--users makes customers who share a published password: not in production, where anybody could be them"
        )
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(), disable=not terminal_is_watching()) as progress:
        seeder = Seeder(shop, seed, progress)
        skus = await seeder.products(products, stock)
        ids = await seeder.users(users)
        placed = await seeder.orders(orders, ids or [ACTOR], skus) if orders and skus else 0
    there = {"products": len(products), "users": len(ids), "orders": placed, "stock": stock}
    return there | {"added": asdict(seeder.added)}


@contextmanager
def refusals_told() -> Iterator[None]:
    """One sentence for what the shop or its database refuses; never what the driver says, which quotes documents."""
    try:
        yield
    except Problem as problem:
        errors = "; ".join(f"{each['path']}: {each['message']}" for each in problem.extra.get("errors", ()))
        raise SeedingRefused(f"the shop refused: {problem.detail}" + (f" ({errors})" if errors else "")) from None
    except PyMongoError as error:
        raise SeedingRefused(
            f"the database refused ({type(error).__name__}); run the same command again: what is there is kept"
        ) from None


@click.command()
@data_option
@click.option("--products", default=0, type=click.IntRange(0, 1_000_000), help="So many named like real ones.")
@click.option("--users", default=0, type=click.IntRange(0, 1_000_000))
@click.option("--orders", default=0, type=click.IntRange(0, 1_000_000), help="Placed in the past, most of them paid.")
@click.option("--trace", help=f"Its catalogue. {TRACE_HELP}")
@trace_options
@click.option("--stock", default=1_000, show_default=True, type=click.IntRange(0, 1_000_000_000), help="Of every SKU.")
@click.option("--seed", "seed_", default=1, show_default=True, help="Makes the choices repeatable.")
@as_json
def seed(
    data: Path,
    products: int,
    users: int,
    orders: int,
    trace: str | None,
    stock: int,
    seed_: int,
    as_json: bool,
    said: dict[str, Any],
) -> None:
    """Fill the running stack with products, stock, users and orders. A second time it changes nothing."""
    if trace is None and (about_trace := as_words(said)):
        raise click.UsageError(f"{about_trace[0]} is about a trace: say which with --trace")
    wanted = guarded(lambda: from_trace(trace, read_options(said))) if trace else []
    more = products or (0 if wanted or users else PRODUCTS_DEFAULT)
    wanted += guarded(lambda: named_products(more, seed_))
    with refusals_told():
        filled = with_shop(data, lambda shop: fill(shop, wanted, stock, users, orders, seed_))
    click.echo(json.dumps(filled) if as_json else in_words(filled))


def in_words(filled: Mapping[str, Any]) -> str:
    there = ", ".join(f"{filled[what]:,} {what}" for what in ("products", "users", "orders"))
    added = ", ".join(f"{count:,} {what}" for what, count in filled["added"].items() if count)
    return f"{there}, {filled['stock']:,} of every SKU: " + (f"added {added}" if added else "all there, nothing added")
