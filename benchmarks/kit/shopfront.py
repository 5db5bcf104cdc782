"""What there is to ask a shop for, found out as a stranger would: over its own HTTP interface."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.wire import Answer, Wire, request

PASSWORD = "a long enough pass phrase 7"
PRODUCTS_MAX = 2_000
PAGE_SIZE = 100
RECEIVE_LINES_MAX = 500


@dataclass(slots=True)
class Shopfront:
    """A shop's products and some signed-in buyers. SKUs are those that can be bought, variants included."""

    url: str
    slugs: list[str] = field(default_factory=list)
    skus: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def bearer(self, randomness: random.Random) -> dict[str, str]:
        return {"Authorization": f"Bearer {randomness.choice(self.tokens)}"}


async def discover(url: str, buyers: int = 8, products_max: int = PRODUCTS_MAX) -> Shopfront:
    """Reads the catalogue page by page and signs `buyers` new customers in."""
    shop = Shopfront(url)
    async with Wire(url) as wire:
        await _read_catalogue(shop, wire, products_max)
        for _ in range(buyers):
            await sign_up(shop, wire, f"buyer-{uuid4().hex}@example.com")
    return shop


async def _read_catalogue(shop: Shopfront, wire: Wire, products_max: int) -> None:
    cursor = ""
    for _ in range(-(-products_max // PAGE_SIZE)):
        page = expect(await wire.send(request("GET", f"/api/products?limit={PAGE_SIZE}{cursor}")), 200).json()
        for product in page["items"]:
            shop.slugs.append(product["slug"])
            shop.skus += skus_of(product)
            shop.words += [word for word in product["name"].lower().split() if word.isalpha() and len(word) > 3]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    if not shop.skus:
        raise RunInvalid(f"{shop.url} sells nothing")


async def sign_up(shop: Shopfront, wire: Wire, email: str) -> None:
    body = {"email": email, "password": PASSWORD, "name": "Buyer"}
    answer = expect(await wire.send(request("POST", "/api/auth/register", body=body)), 201)
    shop.emails.append(email)
    shop.tokens.append(answer.json()["accessToken"])


async def sign_in(wire: Wire, email: str, password: str) -> str:
    body = {"email": email, "password": password}
    token: str = expect(await wire.send(request("POST", "/api/auth/login", body=body)), 200).json()["accessToken"]
    return token


async def receive(wire: Wire, staff_token: str, skus: Sequence[str], quantity: int) -> None:
    """Goods in, as staff."""
    for start in range(0, len(skus), RECEIVE_LINES_MAX):
        lines = [{"sku": sku, "quantity": quantity} for sku in skus[start : start + RECEIVE_LINES_MAX]]
        headers = {"Authorization": f"Bearer {staff_token}"}
        expect(await wire.send(request("POST", "/api/inventory/receive", body={"lines": lines}, headers=headers)), 200)


async def adjust(wire: Wire, staff_token: str, sku: str, delta: int) -> None:
    """A correction of the stock, as staff."""
    if delta:
        headers = {"Authorization": f"Bearer {staff_token}"}
        body = {"delta": delta, "reason": "benchmark"}
        expect(await wire.send(request("POST", f"/api/inventory/{sku}/adjust", body=body, headers=headers)), 200)


def skus_of(product: dict[str, Any]) -> list[str]:
    variants = product.get("variants") or []
    return [variant["sku"] for variant in variants] or [product["sku"]]


def expect(answer: Answer, *statuses: int) -> Answer:
    if answer.status not in statuses:
        raise RunInvalid(f"answered {answer.status} instead of {statuses}: {answer.decoded()[:500]!r}")
    return answer
