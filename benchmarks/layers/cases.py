"""The read routes that are compared, as anonymous and as logged-in callers ask for them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.kit.routes import ROUTES
from benchmarks.kit.shopfront import Shopfront, expect
from benchmarks.kit.wire import Wire, request

AVAILABILITY, PRODUCTS, ORDERS = "GET /api/inventory/availability", "GET /api/products", "GET /api/orders"
ANONYMOUS, BEARER = "anonymous", "bearer"
POOL = 512


@dataclass(frozen=True, slots=True)
class Case:
    """`size` is of an answer's body as it is sent."""

    route: str
    caller: str
    requests: Sequence[bytes]
    size: int

    def of_framework(self) -> Sequence[bytes]:
        """The same heads for the constant answer."""
        return [b" ".join((b"GET", b"/bytes/%d" % self.size, wire.split(b" ", 2)[2])) for wire in self.requests]


async def cases(shop: Shopfront, randomness: random.Random) -> list[Case]:
    """`shop` must be served behind all layers."""
    reads = [route for route in ROUTES if route.name.startswith("GET ")]
    async with Wire(shop.url) as wire:
        made = []
        for route in reads:
            requests = await route.make(shop, POOL, randomness)
            made.append(await _case(wire, route.name, BEARER if route.name == ORDERS else ANONYMOUS, requests))
        signed_in = [_availability(shop, randomness) for _ in range(POOL)]
        made.append(await _case(wire, AVAILABILITY, BEARER, signed_in))
    return made


async def _case(wire: Wire, route: str, caller: str, requests: Sequence[bytes]) -> Case:
    answer = expect(await wire.send(requests[0]), 200)
    return Case(route, caller, requests, len(answer.body))


def _availability(shop: Shopfront, randomness: random.Random) -> bytes:
    path = f"/api/inventory/availability?sku={randomness.choice(shop.skus)}"
    return request("GET", path, headers=shop.bearer(randomness))
