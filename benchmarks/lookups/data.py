"""A shop's worth of documents, skewed like a real one's and the same for the same seed, inserted in bulk.

The documents are made by the repositories' own functions, so they are what the service would have written."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from benchmarks.kit.catalogue import CatalogueEntry, TraceName, catalogue
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import INDEXES
from service.cart.models import CartLine, Owner
from service.cart.repository import CartRepository
from service.catalog.models import Product, slugify
from service.catalog.repository import to_document
from service.catalog.search.vocabulary import Vocabulary
from service.infra.mongo.indexes import create_all
from service.inventory.models import HoldStatus
from service.orders.models import Order, OrderLine, OrderStatus, ReservationState, StatusChange
from service.orders.repository import order_document

BATCH = 2_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_BETWEEN_ORDERS = 30
LINES_MAX = 8

CARTS_AT_ONCE = 64

Thing = TypeVar("Thing")
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    products: int = 100_000
    orders: int = 1_000_000
    users: int = 200_000
    carts: int = 50_000

    def scaled(self, factor: float) -> "Sizes":
        return Sizes(
            max(500, round(self.products * factor)),
            max(1_000, round(self.orders * factor)),
            max(500, round(self.users * factor)),
            max(200, round(self.carts * factor)),
        )


async def fill(database: Any, sizes: Sizes, names: Sequence[TraceName], seed: int, step: Step) -> None:
    """Documents first, then all the indexes that the service declares on them."""
    entries = list(catalogue(list(names), sizes.products, seed))
    await fill_catalogue(database, entries)
    step("products")
    await _insert(database["orders"], _orders(entries, sizes, random.Random(seed)))
    step("orders")
    for users in _batches(map(_user, range(sizes.users))):
        await UserRepository(database).add_many(users)
    await _fill_carts(CartRepository(database), entries, sizes, random.Random(seed))
    step("users and carts")
    await _index(database, {"orders", "users", "carts"})
    step("indexes")


async def fill_catalogue(database: Any, entries: Sequence[CatalogueEntry]) -> None:
    await _insert(database["products"], (to_document(_product(*each)) for each in enumerate(entries)))
    await _index(database, {"products", "search_terms"})
    vocabulary = Vocabulary(database)
    await vocabulary.learn(text for entry in entries for text in (entry.name, entry.description))
    await vocabulary.recount()


async def _index(database: Any, collections: set[str]) -> None:
    await create_all(database, [index for index in INDEXES if index.collection in collections])


async def _insert(collection: Any, documents: Iterable[dict[str, Any]]) -> None:
    for batch in _batches(documents):
        await collection.insert_many(batch, ordered=False)


def _batches(things: Iterable[Thing], size: int = BATCH) -> Iterator[list[Thing]]:
    source = iter(things)
    while batch := list(islice(source, size)):
        yield batch


def user_id(number: int) -> str:
    return f"user-{number:08d}"


def email(number: int) -> str:
    return f"shopper{number}@example.com"


def sku(number: int) -> str:
    return f"SKU-{number:07d}"


def some_user(sizes: Sizes, chance: random.Random) -> int:
    """A few buy often, most of them rarely."""
    return min(sizes.users - 1, int(sizes.users * chance.random() ** 3))


def cart_owner(number: int) -> Owner:
    return Owner.user(user_id(number))


def _product(number: int, entry: CatalogueEntry) -> Product:
    at = EPOCH + timedelta(seconds=number)
    return Product(
        id=f"{number:028x}",
        slug=f"{slugify(entry.name)}-{number:x}",
        name=entry.name,
        description=entry.description,
        category=entry.category,
        brand=entry.brand,
        tags=entry.tags,
        price=entry.price_minor,
        currency="GBP",
        images=(),
        variants=(),
        sku=sku(number),
        created_at=at,
        updated_at=at,
        popularity=entry.popularity,
    )


def _orders(entries: Sequence[CatalogueEntry], sizes: Sizes, chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(sizes.orders):
        buyer = user_id(some_user(sizes, chance))
        lines = tuple(_line(entries, chance) for _ in range(chance.randint(1, LINES_MAX)))
        yield {"_id": f"{number:028x}", **order_document(_order(number, buyer, lines))}


def _order(number: int, buyer: str, lines: tuple[OrderLine, ...]) -> Order:
    at = EPOCH + timedelta(seconds=SECONDS_BETWEEN_ORDERS * number)
    total = sum(line.quantity * line.unit_price for line in lines)
    return Order(
        id=f"{number:028x}",
        number=f"HF-{number:010d}",
        user_id=buyer,
        status=OrderStatus.DELIVERED,
        lines=lines,
        subtotal=total,
        discount=0,
        total=total,
        currency="GBP",
        created_at=at,
        reservation=ReservationState(HoldStatus.CONFIRMED, at + timedelta(minutes=15)),
        history=(StatusChange(OrderStatus.PENDING, at, buyer), StatusChange(OrderStatus.PAID, at, buyer)),
    )


def _line(entries: Sequence[CatalogueEntry], chance: random.Random) -> OrderLine:
    number = int(len(entries) * chance.random() ** 4)
    entry = entries[number]
    return OrderLine(sku(number), f"{number:028x}", entry.name, chance.randint(1, 12), entry.price_minor)


def _user(number: int) -> User:
    at = EPOCH + timedelta(seconds=number)
    return User(user_id(number), email(number), f"Shopper {number}", "customer", "$2b$12$" + "x" * 53, at, at, True)


async def _fill_carts(
    carts: CartRepository, entries: Sequence[CatalogueEntry], sizes: Sizes, chance: random.Random
) -> None:
    for numbers in _batches(range(sizes.carts), CARTS_AT_ONCE):
        filled = [(cart_owner(number), _cart_lines(entries, chance)) for number in numbers]
        await asyncio.gather(*(carts.replace(owner, lines, EPOCH, None) for owner, lines in filled))


def _cart_lines(entries: Sequence[CatalogueEntry], chance: random.Random) -> list[CartLine]:
    chosen = {line.sku: line for line in (_line(entries, chance) for _ in range(chance.randint(1, LINES_MAX)))}
    return [CartLine(line.sku, line.quantity, line.unit_price, EPOCH) for line in chosen.values()]
