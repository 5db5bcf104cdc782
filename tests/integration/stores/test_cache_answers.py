"""The cache on a real Redis: shared by processes, ended by changes, bounded, and absent while Redis is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
import redis

from service.bootstrap import Shop
from service.config import Config
from service.events import OrderPlaced, ProductChanged
from service.infra.redis.cache_version import Generation
from service.infra.redis.response_cache import ENTRY_OVERHEAD_BYTES, Cache, CachedResponse, LruCache
from service.messaging.cache_invalidation import end_on_change
from service.messaging.outbox import Fact

KEY = b"gzip /api/products"
Process = Callable[[], Cache]


@dataclass
class Kitchen:
    """Makes answers, counts them, and can be told to wait."""

    says: bytes = b"said"
    made: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def quick(self) -> CachedResponse:
        self.made += 1
        return CachedResponse(self.says, "gzip", "tag")

    async def slow(self) -> CachedResponse:
        """What is said when it begins, however late it ends."""
        ready = await self.quick()
        self.begun.set()
        await self.go_on.wait()
        return ready


@pytest.fixture
async def process(shop: Shop) -> AsyncIterator[Process]:
    """Each call is another process on the same Redis."""
    opened: list[Cache] = []

    def another(**changes: object) -> Cache:
        config = replace(shop.config, **{"cache_ttl_seconds": 30.0, **changes})
        generation = Generation(shop.stores.redis, shop.clock, shop.ids, config)
        opened.append(Cache(shop.stores.redis, generation, shop.clock, config))
        return opened[-1]

    yield another
    for cache in opened:
        await cache.close()


async def said(cache: Cache, make: Callable[[], Awaitable[CachedResponse]]) -> bytes:
    return (await cache.get(KEY, make)).body


async def test_what_one_process_made_is_every_process_answer(process: Process) -> None:
    one, other, kitchen = process(), process(), Kitchen()
    assert [await said(cache, kitchen.quick) for cache in (one, one, other, other)] == [b"said"] * 4
    assert (kitchen.made, one.made, one.hits, other.found, other.hits) == (1, 1, 1, 1, 1)


async def test_many_who_wait_share_one_making(process: Process) -> None:
    cache, kitchen = process(), Kitchen()
    waiting = [asyncio.create_task(said(cache, kitchen.slow)) for _ in range(50)]
    await kitchen.begun.wait()
    kitchen.go_on.set()
    assert await asyncio.gather(*waiting) == [b"said"] * 50
    assert kitchen.made == 1


async def test_a_change_ends_what_every_process_held(process: Process) -> None:
    one, other, kitchen = process(), process(), Kitchen(b"old")
    await said(one, kitchen.quick)
    await said(other, kitchen.quick)
    kitchen.says = b"new"
    await one.generation.end()
    assert [await said(cache, kitchen.quick) for cache in (other, one)] == [b"new", b"new"]


async def test_an_answer_begun_before_a_change_is_never_given_after_it(process: Process) -> None:
    one, other, kitchen = process(), process(), Kitchen(b"old")
    early = asyncio.create_task(said(one, kitchen.slow))
    await kitchen.begun.wait()
    kitchen.says = b"new"
    await other.generation.end()
    assert await said(one, kitchen.quick) == b"new", "nobody joins a making from before the change"
    kitchen.go_on.set()
    assert await early == b"old", "its own request came before the change"
    assert [await said(cache, kitchen.quick) for cache in (one, other)] == [b"new", b"new"]


async def test_of_two_processes_making_at_once_both_answer_what_redis_took_first(process: Process) -> None:
    one, other, slow, quick = process(), process(), Kitchen(b"older"), Kitchen(b"newer")
    early = asyncio.create_task(said(one, slow.slow))
    await slow.begun.wait()
    assert await said(other, quick.quick) == b"newer"
    slow.go_on.set()
    assert await early == b"newer"
    assert await said(one, slow.quick) == b"newer"


async def test_a_redis_that_was_wiped_brings_nothing_old_back(process: Process, redis_url: str) -> None:
    cache, kitchen = process(), Kitchen(b"old")
    await said(cache, kitchen.quick)
    kitchen.says = b"new"
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    assert await said(cache, kitchen.quick) == b"new"


async def test_an_error_is_told_to_all_who_wait_and_kept_for_nobody(process: Process) -> None:
    cache, kitchen = process(), Kitchen()

    async def fails() -> CachedResponse:
        await kitchen.slow()
        raise LookupError("no such product")

    waiting = [asyncio.create_task(said(cache, fails)) for _ in range(3)]
    await kitchen.begun.wait()
    kitchen.go_on.set()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [LookupError] * 3
    assert await said(cache, kitchen.quick) == b"said"


async def test_who_hangs_up_does_not_stop_the_making_for_the_others(process: Process) -> None:
    cache, kitchen = process(), Kitchen()
    first = asyncio.create_task(said(cache, kitchen.slow))
    await kitchen.begun.wait()
    second = asyncio.create_task(said(cache, kitchen.slow))
    await asyncio.sleep(0.01)
    first.cancel()
    kitchen.go_on.set()
    assert await second == b"said"
    assert kitchen.made == 1


async def test_no_process_keeps_an_answer_longer_than_redis_does(process: Process) -> None:
    one, other, kitchen = process(cache_ttl_seconds=0.4), process(cache_ttl_seconds=0.4), Kitchen(b"old")
    await said(one, kitchen.quick)
    await asyncio.sleep(0.25)
    assert await said(other, kitchen.quick) == b"old"
    kitchen.says = b"new"
    await asyncio.sleep(0.3)
    assert [await said(cache, kitchen.quick) for cache in (other, one)] == [b"new", b"new"]


async def test_an_answer_slower_than_the_ttl_or_too_big_is_given_and_not_kept(process: Process) -> None:
    slow, small, kitchen = process(cache_ttl_seconds=1e-6), process(cache_body_max_bytes=3), Kitchen()
    for cache in (slow, small):
        assert [await said(cache, kitchen.quick) for _ in range(2)] == [b"said"] * 2
        assert (cache.made, len(cache.lru)) == (2, 0)


async def test_without_redis_every_request_reads_for_itself_and_none_waits(shop: Shop, config: Config) -> None:
    away = replace(config, redis_url="redis://127.0.0.1:1/0", redis_pause_seconds=30)
    cache = Cache(shop.stores.redis, Generation(shop.stores.redis, shop.clock, shop.ids, away), shop.clock, away)
    kitchen = Kitchen()
    assert [await said(cache, kitchen.quick) for _ in range(3)] == [b"said"] * 3
    assert (kitchen.made, len(cache.lru), cache.current) == (3, 0, b"")
    await cache.close()


async def test_a_change_that_redis_could_not_be_told_of_is_told_before_the_next_answer(
    process: Process, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, kitchen = process(), Kitchen(b"old")
    await said(cache, kitchen.quick)
    with monkeypatch.context() as away:
        away.setattr(shop.stores.redis, "set", _away)
        await cache.generation.end()
    kitchen.says = b"new"
    assert [await said(cache, kitchen.quick) for _ in range(2)] == [b"new", b"new"]
    assert kitchen.made == 2, "it is told once"


async def _away(*arguments: object) -> None:
    raise redis.ConnectionError


async def test_a_relayed_change_of_a_product_ends_the_generation_and_other_facts_do_not(process: Process) -> None:
    cache, kitchen = process(), Kitchen()
    follow = end_on_change(cache.generation)
    now = cache._clock.now()
    await said(cache, kitchen.quick)
    await follow([Fact("1", OrderPlaced("o", "u"), now)])
    await said(cache, kitchen.quick)
    assert kitchen.made == 1
    await follow([Fact("2", OrderPlaced("o", "u"), now), Fact("3", ProductChanged("p", 2), now)])
    await said(cache, kitchen.quick)
    assert kitchen.made == 2


def test_a_shelf_is_bounded_in_number_and_bytes_and_keeps_what_is_used() -> None:
    ready = CachedResponse(b"x" * 1_000, "gzip", "tag")
    lru = LruCache(entries_max=3, bytes_max=1_000_000)
    for key in (b"a", b"b", b"c"):
        lru.put(key, ready, until=9)
    assert lru.get(b"a", now=1) is ready
    lru.put(b"d", ready, until=9)
    assert [key for key in (b"a", b"b", b"c", b"d") if lru.get(key, now=1)] == [b"a", b"c", b"d"]
    assert lru.bytes == 3 * (1_001 + ENTRY_OVERHEAD_BYTES)
    lru.put(b"a", CachedResponse(b"y", "gzip", "tag"), until=9)
    assert (len(lru), lru.bytes) == (3, 2 * (1_001 + ENTRY_OVERHEAD_BYTES) + 2 + ENTRY_OVERHEAD_BYTES)
    assert lru.get(b"c", now=9) is None, "its time has come"
    narrow = LruCache(entries_max=100, bytes_max=2 * (1_001 + ENTRY_OVERHEAD_BYTES))
    for key in (b"a", b"b", b"c"):
        narrow.put(key, ready, until=9)
    assert len(narrow) == 2
