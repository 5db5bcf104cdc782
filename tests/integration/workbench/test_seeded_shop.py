"""Seeding a real shop: what is there already is left as it is."""

from typing import Any

from pymongo import MongoClient
from rich.progress import Progress

from benchmarks.seeding.command import fill
from benchmarks.seeding.made_up_names import made_up_names
from benchmarks.seeding.seeder import ACTOR, Seeder
from service.bootstrap import Shop
from service.catalog.models import NewProduct
from service.inventory.models import Line

Database = dict[str, Any]
COLLECTIONS = ("products", "inventory", "stock_history", "users", "orders", "reservations", "categories")


def products(count: int) -> list[NewProduct]:
    return [
        NewProduct(name=each.name, price=each.price_minor, category="home", sku=f"HF-{number:06d}")
        for number, each in enumerate(made_up_names(count, 1), 1)
    ]


def documents(mongo: MongoClient[Database], database: str) -> dict[str, list[Database]]:
    return {name: list(mongo[database][name].find().sort("_id", 1)) for name in COLLECTIONS}


async def stock_of(shop: Shop, wanted: list[NewProduct]) -> set[int]:
    return {each.on_hand for each in (await shop.inventory.availability([str(p.sku) for p in wanted])).values()}


async def test_a_second_run_changes_nothing_and_says_so(
    shop: Shop, mongo: MongoClient[Database], indexed_database: str
) -> None:
    wanted = products(12)
    first = await fill(shop, wanted, stock=50, users=5, orders=8, seed=1)
    assert first["added"] == {"products": 12, "users": 5, "orders": 8, "units": 600}
    before = documents(mongo, indexed_database)
    second = await fill(shop, wanted, stock=50, users=5, orders=8, seed=1)
    assert documents(mongo, indexed_database) == before
    assert second == first | {"added": {"products": 0, "users": 0, "orders": 0, "units": 0}}


async def test_every_sku_is_given_so_many_units_once_and_sales_are_not_made_up_for(shop: Shop) -> None:
    wanted = products(3)
    await fill(shop, wanted, stock=0, users=0, orders=0, seed=1)
    assert await stock_of(shop, wanted) == {0}
    await fill(shop, wanted, stock=7, users=0, orders=0, seed=1)
    assert await stock_of(shop, wanted) == {7}
    await shop.inventory.adjust("HF-000002", -4, "broken", "staff")
    assert (await fill(shop, wanted, stock=7, users=0, orders=0, seed=1))["added"]["units"] == 0
    await fill(shop, wanted, stock=9, users=0, orders=0, seed=1)
    assert await stock_of(shop, wanted) == {9, 5}


async def test_stock_that_others_brought_in_counts_for_them(shop: Shop) -> None:
    wanted = products(1)
    await fill(shop, wanted, stock=0, users=0, orders=0, seed=1)
    await shop.inventory.receive([Line("HF-000001", 3)], actor="staff")
    await fill(shop, wanted, stock=5, users=0, orders=0, seed=1)
    assert await stock_of(shop, wanted) == {8}
    assert await shop.inventory.received_from(ACTOR, ["HF-000001", "none"]) == {"HF-000001": 5}


async def test_more_of_everything_adds_only_what_is_missing(shop: Shop) -> None:
    await fill(shop, products(2), stock=1_000, users=2, orders=3, seed=1)
    more = await fill(shop, products(4), stock=1_000, users=3, orders=5, seed=1)
    assert more["added"] == {"products": 2, "users": 1, "orders": 2, "units": 2_000}


async def test_orders_of_the_same_seed_for_other_buyers_do_not_collide(shop: Shop) -> None:
    await fill(shop, products(2), stock=1_000, users=2, orders=3, seed=1)
    found = await fill(shop, products(2), stock=1_000, users=0, orders=3, seed=1)
    assert found["added"]["orders"] == 3


async def test_a_shopper_who_is_there_already_keeps_their_password(
    shop: Shop, mongo: MongoClient[Database], indexed_database: str
) -> None:
    seeder = Seeder(shop, 1, Progress(disable=True))
    await seeder.users(2)
    before = documents(mongo, indexed_database)["users"]
    ids = await seeder.users(3)
    after = documents(mongo, indexed_database)["users"]
    assert [user for user in after if user in before] == before
    assert len(set(ids)) == 3
    assert seeder.added.users == 3


async def test_a_shop_that_is_sold_out_ends_the_seeding_of_orders(shop: Shop) -> None:
    """Bounded rounds: 40 orders of what there is 6 of."""
    found = await fill(shop, products(2), stock=3, users=3, orders=40, seed=1)
    assert 0 < found["orders"] < 40
    assert await stock_of(shop, products(2)) <= set(range(4))
