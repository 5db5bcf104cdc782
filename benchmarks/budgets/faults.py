"""Faults to plant in the service, one for each way a budget can break. A gate that has never gone red is not a gate.

Each is a patch around a running piece of code; `index_dropped` is done to the database instead."""

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from pymongo import MongoClient

from benchmarks.kit.served_stack import Served

SLEEP_SECONDS = 0.05
ROUND_TRIPS_ADDED = 8
Planted = Callable[[], AbstractContextManager[None]]


@contextmanager
def gzip_off() -> Iterator[None]:
    from service.web.http import compress

    def no_codecs(**_: Any) -> compress.Codecs:
        return compress.Codecs({}, minimum_bytes=0, maximum_bytes=0)

    with patch.object(compress, "build_codecs", no_codecs):
        yield


@contextmanager
def gzip_slow() -> Iterator[None]:
    """zlib at its slowest in place of the chosen codec."""
    from zlib_ng import zlib_ng

    def slow(body: bytes, level: int, wbits: int) -> bytes:
        return zlib.compress(body, 9, wbits)

    with patch.object(zlib_ng, "compress", slow):
        yield


@contextmanager
def sleep_added() -> Iterator[None]:
    """Every request below /api/ waits first."""

    async def sleep(request: Any) -> None:
        if request.path.startswith("/api/"):
            await asyncio.sleep(SLEEP_SECONDS)

    with _request_middleware(lambda shop: sleep):
        yield


@contextmanager
def round_trips_added() -> Iterator[None]:
    """Every request below /api/ asks both stores something first, one question after the other."""

    def asking(shop: Any) -> Any:
        async def ask(request: Any) -> None:
            if request.path.startswith("/api/"):
                for _ in range(ROUND_TRIPS_ADDED):
                    await shop.stores.redis.get("nothing")
                    await shop.stores.database["nothing"].find_one()

        return ask

    with _request_middleware(asking):
        yield


@contextmanager
def group_commit_off() -> Iterator[None]:
    """Each posting in a transaction of its own, all at once: the textbook."""
    from service.inventory.ledger import Ledger

    async def post_alone(self: Any, posting: Any) -> Any:
        [decision] = await self._commit([posting])
        if isinstance(decision, Exception):
            raise decision
        return decision

    with patch.object(Ledger, "post", post_alone):
        yield


@contextmanager
def guard_removed() -> Iterator[None]:
    """Nobody asks whether there is enough. The ledger's assertions, a second guard, go with WITHOUT_ASSERTIONS."""
    from service.inventory.decisions import _Step

    with patch.object(_Step, "_require", lambda *_: None):
        yield


def drop_indexes(stack: Served) -> None:
    """Those by which an order history, a product page and a login find their documents."""
    with MongoClient[dict[str, Any]](stack.mongodb_uri) as client:
        for collection, first in (("orders", "userId"), ("products", "slug"), ("users", "email")):
            indexes = client[stack.database][collection].index_information()
            names = [name for name, index in indexes.items() if index["key"][0][0] == first]
            assert names, f"no index of {collection} begins with {first}"
            for name in names:
                client[stack.database][collection].drop_index(name)


@contextmanager
def _request_middleware(make: Callable[[Any], Any]) -> Iterator[None]:
    from service import app

    create_app = app.create_app

    def with_middleware(shop: Any, *others: Any) -> Any:
        created = create_app(shop, *others)
        created.register_middleware(make(shop), "request")
        return created

    with patch.object(app, "create_app", with_middleware):
        yield


PATCHES: Mapping[str, Planted] = {
    "gzip_off": gzip_off,
    "gzip_slow": gzip_slow,
    "sleep_added": sleep_added,
    "round_trips_added": round_trips_added,
    "group_commit_off": group_commit_off,
    "guard_removed": guard_removed,
}
DONE_TO_THE_STACK: Mapping[str, Callable[[Served], None]] = {"index_dropped": drop_indexes}
WITHOUT_ASSERTIONS = frozenset({"guard_removed"})
FAULTS = frozenset(PATCHES) | frozenset(DONE_TO_THE_STACK)


def planted(fault: str) -> AbstractContextManager[None]:
    """The patch of `fault`, or nothing for one that is done to a running stack."""
    assert fault in FAULTS, f"{fault} is not a fault"
    return PATCHES[fault]() if fault in PATCHES else nullcontext()
