"""The catalogue's routes on a wired shop, called as staff, as a customer, or as anyone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from served import STAFF, served

from service.bootstrap import Shop
from service.catalog.routes import routes
from service.web.access import Principal

Client = aiohttp.ClientSession
MUG = {"name": "Red enamel mug", "price": 1299, "category": "mugs"}


@asynccontextmanager
async def catalogue(shop: Shop, caller: Principal | None = STAFF) -> AsyncIterator[Client]:
    blueprint = routes(shop.catalog, shop.search, shop.suggestions, shop.reviews, shop.config)
    async with served([blueprint], caller) as client:
        yield client


async def call(client: Client, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    async with client.request(method, f"/api/products{path}", json=body, headers=headers) as answer:
        text = await answer.read()
        return answer.status, await answer.json(content_type=None) if text else None


async def ok(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    status, answer = await call(client, method, path, body, **headers)
    assert status < 300, answer
    return answer


async def made(client: Client, **fields: Any) -> dict[str, Any]:
    """A product as the API answers it."""
    product: dict[str, Any] = await ok(client, "POST", "", MUG | fields)
    return product
