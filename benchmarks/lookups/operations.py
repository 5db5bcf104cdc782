"""The four documented operations, each as the service's own code runs it, on a database given to it."""

import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmarks.kit.catalogue import TraceName
from benchmarks.kit.search_queries import query_mix
from benchmarks.lookups import data
from benchmarks.lookups.data import Sizes
from benchmarks.lookups.scanning import ScanningDatabase
from service.auth.repository import UserRepository
from service.cart.models import CartLine
from service.cart.repository import CartRepository
from service.catalog.product_reads import ProductReads
from service.catalog.repository import ACTIVE, CatalogRepository
from service.catalog.search.cache import SearchCache
from service.catalog.search.repository import SearchRepository
from service.catalog.search.usecases import Search
from service.catalog.search.vocabulary import Vocabulary
from service.clock import SystemClock
from service.config import Config
from service.infra.mongo.commands import ThreadedCommandRunner
from service.orders.repository import OrderRepository

PAGE = 24
ORDERS_READ = 25

Run = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is documented, in milliseconds, and what is required: a p95 this many times better, and this fast.
    `scans` is how often "before" is run: reading a million orders takes a while."""

    before_ms: float
    after_ms: float
    required_ratio: float
    required_after_ms: float
    scans: int


@dataclass(frozen=True, slots=True)
class LookupOperation:
    name: str
    target: Target
    after: Run
    before: Run
    small_after: Run
    inputs: Sequence[Any]
    small_inputs: Sequence[Any]


TARGETS = {
    "product search": Target(450, 45, required_ratio=10, required_after_ms=45, scans=60),
    "order history": Target(280, 30, required_ratio=100, required_after_ms=30, scans=20),
    "cart operations": Target(150, 20, required_ratio=20, required_after_ms=20, scans=40),
    "user lookup": Target(100, 5, required_ratio=100, required_after_ms=5, scans=40),
}


def product_search(database: Any, walked: Any = None) -> Run:
    """Only the walks along the term index are without it in "before"; the page is read by its ids in both."""
    config = Config()
    walks = SearchRepository(database if walked is None else walked, config.search_window_max)
    products, memory = ProductReads(CatalogRepository(database), config), SearchCache(SystemClock(), config)
    search = Search(walks, products, Vocabulary(database), memory, config)
    return lambda query: search.find(query, None, PAGE)  # of no generation: nothing is remembered


def order_history(database: Any, runner: Any = None) -> Run:
    orders = OrderRepository(database, runner or ThreadedCommandRunner(database), Config())
    return lambda user_id: orders.newest(user_id, None, None, ORDERS_READ)


def cart_operations(database: Any) -> Run:
    """A shopper changes the quantity of a line and sees the cart."""
    carts = CartRepository(database)

    async def change(owner: Any) -> None:
        cart = await carts.find(owner)
        line = cart.lines[0]
        more = CartLine(line.sku, line.quantity % 12 + 1, line.unit_price, line.added_at)
        assert await carts.change_line(owner, more, None, None) is not None

    return change


def user_lookup(database: Any) -> Run:
    users = UserRepository(database)

    async def look_up(email: str) -> None:
        assert await users.by_email(email) is not None

    return look_up


def operations(
    large: Any, small: Any, sizes: Sizes, small_sizes: Sizes, names: Sequence[TraceName], seed: int, samples: int
) -> list[LookupOperation]:
    scanning = ScanningDatabase(large)
    inputs, small_inputs = (_inputs(each, names, seed, samples) for each in (sizes, small_sizes))
    runs = {
        "product search": (product_search(large), product_search(large, scanning), product_search(small)),
        "order history": (order_history(large), order_history(large, scanning), order_history(small)),
        "cart operations": (cart_operations(large), cart_operations(scanning), cart_operations(small)),
        "user lookup": (user_lookup(large), user_lookup(scanning), user_lookup(small)),
    }
    return [LookupOperation(name, TARGETS[name], *runs[name], inputs[name], small_inputs[name]) for name in TARGETS]


def _inputs(sizes: Sizes, names: Sequence[TraceName], seed: int, samples: int) -> dict[str, Sequence[Any]]:
    """Who asks for what: heavy buyers more often than others, any cart, any account, its address in capitals."""
    chance = random.Random(seed)
    return {
        "product search": query_mix(names, samples, seed),
        "order history": [data.user_id(data.some_user(sizes, chance)) for _ in range(samples)],
        "cart operations": [data.cart_owner(chance.randrange(sizes.carts)) for _ in range(samples)],
        "user lookup": [data.email(chance.randrange(sizes.users)).upper() for _ in range(samples)],
    }


def plain_scan(database: Any) -> Run:
    """What a shop without any search does: one pass with a regular expression over name and description."""
    products = database["products"]

    async def scan(query: str) -> None:
        words = [re.compile(re.escape(word), re.IGNORECASE) for word in query.split()]
        found = [{"$or": [{"name": word}, {"description": word}]} for word in words]
        await products.find({**ACTIVE, "$and": found}).sort("popularity", -1).limit(PAGE).to_list(PAGE)

    return scan


def text_search(database: Any) -> Run:
    """The plain weighted text index, sorted by its own score."""
    walks = SearchRepository(database, Config().search_window_max)
    return lambda query: walks.text(query, None, PAGE)


def around(values: Sequence[Any]) -> Callable[[], Any]:
    """The values one after the other, again and again."""
    endless = cycle(values)
    return lambda: next(endless)
