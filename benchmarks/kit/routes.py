"""The measured routes, and what a request of each looks like. The same for Holdfast and for the peer beside it."""

import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from benchmarks.kit.shopfront import PASSWORD, Shopfront, expect
from benchmarks.kit.wire import Wire, request

ORDERS_PER_BUYER = 20
MakeRequests = Callable[[Shopfront, int, random.Random], Awaitable[list[bytes]]]


@dataclass(frozen=True, slots=True)
class Route:
    """`make` gives as many requests as asked for. `once`: each may be sent one time only. `hashes`: bound by bcrypt."""

    name: str
    make: MakeRequests
    succeeds: int = 200
    once: bool = False
    hashes: bool = False


async def products(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [request("GET", "/api/products?limit=24")] * count


async def product(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [request("GET", f"/api/products/{randomness.choice(shop.slugs)}") for _ in range(count)]


async def search(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [request("GET", f"/api/products/search?q={randomness.choice(shop.words)}&limit=24") for _ in range(count)]


async def availability(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [request("GET", f"/api/inventory/availability?sku={randomness.choice(shop.skus)}") for _ in range(count)]


async def history(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    """Every buyer has a page of orders to look at, placed first and unmeasured."""
    async with Wire(shop.url) as wire:
        for token in shop.tokens:
            await _fill_history(shop, wire, {"Authorization": f"Bearer {token}"}, randomness)
    return [request("GET", "/api/orders", headers=shop.bearer(randomness)) for _ in range(count)]


async def _fill_history(shop: Shopfront, wire: Wire, bearer: dict[str, str], randomness: random.Random) -> None:
    page = expect(await wire.send(request("GET", "/api/orders", headers=bearer)), 200).json()
    for _ in range(ORDERS_PER_BUYER - len(page["items"])):
        expect(await wire.send(checkout_of(randomness.choice(shop.skus), bearer)), 201)


async def login(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    emails = itertools.islice(itertools.cycle(shop.emails), count)
    return [request("POST", "/api/auth/login", body={"email": email, "password": PASSWORD}) for email in emails]


async def register(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    people = [{"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "name": "Buyer"} for _ in range(count)]
    return [request("POST", "/api/auth/register", body=person) for person in people]


async def checkout(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [checkout_of(randomness.choice(shop.skus), shop.bearer(randomness)) for _ in range(count)]


async def checkout_hot(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    return [checkout_of(shop.skus[0], shop.bearer(randomness)) for _ in range(count)]


def checkout_of(sku: str, headers: dict[str, str]) -> bytes:
    """As a careful client sends it: with an idempotency key of its own."""
    keyed = {**headers, "Idempotency-Key": uuid4().hex}
    return request("POST", "/api/orders", body={"items": [{"sku": sku, "quantity": 1}]}, headers=keyed)


async def pay(shop: Shopfront, count: int, randomness: random.Random) -> list[bytes]:
    """Places the orders first, unmeasured, since each can be paid once."""
    payments: list[bytes] = []
    async with Wire(shop.url) as wire:
        for token in itertools.islice(itertools.cycle(shop.tokens), count):
            headers = {"Authorization": f"Bearer {token}"}
            placed = expect(await wire.send(checkout_of(randomness.choice(shop.skus), headers)), 201).json()
            keyed = {**headers, "Idempotency-Key": uuid4().hex}
            path = f"/api/orders/{placed['order']['id']}/pay"
            payments.append(request("POST", path, body={"paymentMethod": "card-ok"}, headers=keyed))
    return payments


ROUTES: Sequence[Route] = (
    Route("GET /api/products", products),
    Route("GET /api/products/{slug}", product),
    Route("GET /api/products/search", search),
    Route("GET /api/inventory/availability", availability),
    Route("GET /api/orders", history),
    Route("POST /api/orders", checkout, succeeds=201, once=True),
    Route("POST /api/orders (one hot SKU)", checkout_hot, succeeds=201, once=True),
    Route("POST /api/orders/{id}/pay", pay, once=True),
    Route("POST /api/auth/login", login, hashes=True),
    Route("POST /api/auth/register", register, succeeds=201, once=True, hashes=True),
)
