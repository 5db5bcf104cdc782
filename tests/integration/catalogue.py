"""The catalogue's routes on a wired shop, called as staff, as a customer, or as anyone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from app_client import STAFF, served

from service.bootstrap import Shop
from service.catalog.routes import routes
from service.infra.redis.cache_version import Generation
from service.infra.redis.response_cache import Cache
from service.web.http.access import Principal
from service.web.http.compress import build_codecs
from service.web.http.ready import ReadyReplies

Client = aiohttp.ClientSession
MUG = {"name": "Red enamel mug", "price": 1299, "category": "mugs"}


@asynccontextmanager
async def catalogue(shop: Shop, caller: Principal | None = STAFF) -> AsyncIterator[Client]:
    """Without its cache: what a test has just sold shows at once."""
    config = replace(shop.config, cache_body_max_bytes=1)
    cache = Cache(shop.stores.redis, Generation(shop.stores.redis, shop.clock, shop.ids, config), shop.clock, config)
    ready = ReadyReplies(cache, build_codecs())
    blueprint = routes(shop.catalog, shop.search, shop.suggestions, shop.reviews, ready, shop.config)
    async with served([blueprint], caller) as client:
        yield client
    await cache.close()


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
