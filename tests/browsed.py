"""The whole service on real stores in a thread of its own, with a relay beside it, for a browser in front."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import shops
from sanic.config import DEFAULT_CONFIG

from service import app, bootstrap
from service.bootstrap import Shop
from service.catalog.models import NewProduct, NewVariant, Product
from service.config import Config
from service.infra.loops import repeat
from service.inventory.models import Line

PASSWORD = "a long enough pass phrase 7"
STAFF = "staff@example.com"
START_SECONDS_MAX = 100
Result = TypeVar("Result")


class Site:
    """`run` lets the test act behind the pages, on the service's own loop."""

    def __init__(self, shop: Shop, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.shop, self.url, self._loop = shop, url, loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS_MAX)

    def sells(self, name: str, units: int, price: int = 1299, **fields: Any) -> Product:
        """A product on sale with that many of each SKU."""
        return self.run(self._sell(NewProduct(name=name, price=price, **{"category": "mugs", **fields}), units))

    async def _sell(self, new: NewProduct, units: int) -> Product:
        product = await self.shop.catalog.create(new)
        if units:
            await self.shop.inventory.receive([Line(sku, units) for sku in product.skus], "test")
        return product

    def document(self, collection: str, **fields: Any) -> dict[str, Any]:
        """What the database holds."""

        async def find() -> dict[str, Any]:
            return dict(await self.shop.stores.database[collection].find_one(fields))

        return self.run(find())

    def restock(self, sku: str, units: int) -> None:
        self.run(self.shop.inventory.receive([Line(sku, units)], "test"))

    def available(self, sku: str) -> int:
        return self.run(self.shop.inventory.get(sku)).available


@contextmanager
def several_apps() -> Iterator[None]:
    """Sanic rewrites its own classes for the one app of a process; a test process serves many."""
    with patch.dict(DEFAULT_CONFIG, TOUCHUP=False):
        yield


@contextmanager
def open_site(config: Config) -> Iterator[Site]:
    started: Future[Site] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(_serve(config, started, stop),), name="site")
    with several_apps():
        thread.start()
        try:
            yield started.result(START_SECONDS_MAX)
        finally:
            stop.set()
            thread.join()


async def _serve(config: Config, started: "Future[Site]", stop: threading.Event) -> None:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with shops.open_shop(config, shops.MovableClock()) as shop, app.serving(shop, listener):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                await bootstrap.front(shop).auth.accounts.create_admin(STAFF, PASSWORD)
                await _relaying(shop, stop, lambda: started.set_result(Site(shop, url, asyncio.get_running_loop())))
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise


async def _relaying(shop: Shop, stop: threading.Event, ready: Any) -> None:
    background, ended = bootstrap.background(shop), asyncio.Event()
    relaying = asyncio.create_task(repeat("relay", background.relay.step, ended))
    ready()
    await asyncio.to_thread(stop.wait)
    ended.set()
    await relaying
    await background.relay.stop()
    await background.close()


def variants(*names: str) -> tuple[NewVariant, ...]:
    return tuple(NewVariant(name) for name in names)
