"""What buyers see of an edit while several API processes answer from their caches."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import shops
from browsed import several_apps
from redis.asyncio import Redis

from service import app, bootstrap
from service.bootstrap import Shop
from service.catalog.models import NewProduct, Product
from service.config import Config
from service.infra.loops import repeat
from service.inventory.models import Line

STAFF, PASSWORD = "staff@example.com", "a long enough pass phrase 7"
EDITS = 12
VISIBLE_SECONDS_MAX = 1.0
Client = aiohttp.ClientSession
Price = Callable[[Client], Awaitable[int]]


@pytest.fixture
async def shop(config: Config, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    changes = getattr(request, "param", {})
    async with shops.open_shop(replace(config, rate_limit_scale=1_000, **changes), shops.MovableClock()) as opened:
        yield opened


@pytest.fixture
async def processes(shop: Shop) -> AsyncIterator[Sequence[Client]]:
    """Two applications that share the stores and nothing else."""
    async with AsyncExitStack() as stack:
        clients = []
        stack.enter_context(several_apps())
        for _ in range(2):
            mine = await stack.enter_async_context(shops.open_shop(shop.config, shops.MovableClock()))
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            await stack.enter_async_context(app.serving(mine, listener))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            clients.append(await stack.enter_async_context(Client(url)))
        yield clients


async def on_sale(shop: Shop, price: int) -> Product:
    product = await shop.catalog.create(NewProduct(name="Cobalt mug", price=price, category="mugs"))
    await shop.inventory.receive([Line(product.skus[0], 5)], "test")
    return product


def in_list(product: Product) -> Price:
    async def price(client: Client) -> int:
        async with client.get("/api/products", params={"category": product.category}) as answer:
            return int((await answer.json())["items"][0]["price"])

    return price


def on_its_own(product: Product) -> Price:
    async def price(client: Client) -> int:
        async with client.get(f"/api/products/{product.slug}") as answer:
            return int((await answer.json())["price"])

    return price


def in_search(product: Product) -> Price:
    async def price(client: Client) -> int:
        async with client.get("/api/products/search", params={"q": product.name}) as answer:
            return int((await answer.json())["items"][0]["price"])

    return price


async def staff(client: Client) -> dict[str, str]:
    async with client.post("/api/auth/login", json={"email": STAFF, "password": PASSWORD}) as answer:
        return {"Authorization": f"Bearer {(await answer.json())['accessToken']}"}


@pytest.mark.parametrize("shop", [{"cache_ttl_seconds": 60}], indirect=True)
@pytest.mark.parametrize("where", [in_list, on_its_own, in_search])
async def test_no_buyer_sees_an_old_price_after_a_newer_one(
    shop: Shop, processes: Sequence[Client], where: Callable[[Product], Price]
) -> None:
    """Prices only rise here, so a price below one that any buyer was shown before is an old one."""
    await bootstrap.http_edge(shop).auth.accounts.create_admin(STAFF, PASSWORD)
    product, ended = await on_sale(shop, price=1), asyncio.Event()
    price_at, bearer, shown, seen = where(product), await staff(processes[0]), 1, {1}

    async def buyer(client: Client) -> None:
        nonlocal shown
        while not ended.is_set():
            at_least = shown
            price = await price_at(client)
            assert price >= at_least, "an old price after a newer one"
            shown = max(shown, price)
            seen.add(price)

    buyers = [asyncio.create_task(buyer(processes[n % 2])) for n in range(8)]
    for price in range(2, EDITS + 2):
        async with processes[price % 2].patch(
            f"/api/products/{product.id}", json={"price": price}, headers=bearer
        ) as answer:
            assert answer.status == 200
        shown = max(shown, price)
        await asyncio.sleep(0.03)
    ended.set()
    await asyncio.gather(*buyers)
    assert shown == EDITS + 1
    assert len(seen) > EDITS / 2, "buyers were looking all the while"


@pytest.mark.parametrize("shop", [{"cache_ttl_seconds": 60}], indirect=True)
async def test_an_edit_made_elsewhere_is_seen_in_every_process_within_a_second(
    shop: Shop, processes: Sequence[Client]
) -> None:
    """Through the outbox alone: answers live for a minute here."""
    product, ended = await on_sale(shop, price=100), asyncio.Event()
    background = bootstrap.background(shop)
    relaying = asyncio.create_task(repeat("relay", background.relay.step, ended))
    prices = in_list(product), on_its_own(product), in_search(product)
    for price in (200, 300):
        assert {await read(client) for read in prices for client in processes} == {price - 100}
        await shop.catalog.edit(product.id, {"price": price})
        async with asyncio.timeout(VISIBLE_SECONDS_MAX):
            while {await read(client) for read in prices for client in processes} != {price}:
                pass
    ended.set()
    await relaying
    await background.relay.stop()
    await background.close()


async def test_a_second_request_is_answered_from_the_cache_with_the_same_tag(
    shop: Shop, processes: Sequence[Client]
) -> None:
    for number in range(8):
        await shop.catalog.create(NewProduct(name=f"Mug {number}", price=100, category="mugs", description="d" * 200))
    found = [await fetch(client, "gzip") for client in (*processes, processes[0])]
    assert {tag for _, tag, _ in found} == {found[0][1]}
    assert {body for _, _, body in found} == {found[0][2]}, "the very bytes the first process made"
    assert json.loads(gzip.decompress(found[0][2]))["items"]
    plain = await fetch(processes[0], "identity")
    assert json.loads(plain[2]) == json.loads(gzip.decompress(found[0][2]))
    async with processes[1].get("/api/products", headers={"If-None-Match": found[0][1]}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


async def fetch(client: Client, coding: str) -> tuple[int, str, bytes]:
    async with client.get("/api/products", headers={"Accept-Encoding": coding}, auto_decompress=False) as answer:
        return answer.status, answer.headers["ETag"], await answer.read()


async def test_stock_in_lists_is_at_most_a_second_old_and_availability_is_never(
    shop: Shop, processes: Sequence[Client]
) -> None:
    product = await on_sale(shop, price=100)
    sku = product.skus[0]
    assert await listed(processes[0]) == 5
    await shop.inventory.receive([Line(sku, 1)], "test")
    async with processes[0].get("/api/inventory/availability", params={"sku": sku}) as answer:
        assert (await answer.json())["items"][0]["available"] == 6
    async with asyncio.timeout(shop.config.cache_ttl_seconds + 0.5):
        while await listed(processes[0]) != 6:
            pass


async def listed(client: Client) -> Any:
    async with client.get("/api/products") as answer:
        return (await answer.json())["items"][0]["availability"]["available"]


async def test_staff_see_archived_products_and_buyers_do_not(shop: Shop, processes: Sequence[Client]) -> None:
    await bootstrap.http_edge(shop).auth.accounts.create_admin(STAFF, PASSWORD)
    product, bearer = await on_sale(shop, price=100), await staff(processes[0])
    assert await on_its_own(product)(processes[1]) == 100
    async with processes[0].delete(f"/api/products/{product.id}", headers=bearer) as answer:
        assert answer.status == 204
    for headers, status in ((bearer, 200), ({}, 404), (bearer, 200)):
        for client in processes:
            async with client.get(f"/api/products/{product.slug}", headers=headers) as answer:
                assert answer.status == status


async def test_a_wiped_redis_costs_nobody_an_answer(shop: Shop, processes: Sequence[Client]) -> None:
    product = await on_sale(shop, price=100)
    prices = in_list(product), in_search(product)
    assert [await price(processes[0]) for price in prices] == [100, 100]
    async with Redis.from_url(shop.config.redis_url) as client:
        await client.flushdb()
    await shop.catalog.edit(product.id, {"price": 200})
    assert {await price(process) for price in prices for process in processes} == {200}
