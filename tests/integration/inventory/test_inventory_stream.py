"""The stock stream over HTTP: committed changes, resumable, alive without Redis, cheap to wait on."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from app_client import served
from msgspec import Raw
from shops import stock

from service import bootstrap
from service.bootstrap import Background, Shop
from service.config import Config
from service.errors import TooMany, Unavailable
from service.infra.redis import client as redis
from service.inventory.routes import stream_routes
from service.inventory.tasks import STREAM
from service.messaging.sse_feed import FeedWriter, SseBroadcaster, State, parse_id


@pytest.fixture
async def background(shop: Shop) -> AsyncIterator[Background]:
    wired = bootstrap.background(shop)
    yield wired
    await wired.close()


@pytest.fixture
async def client(background: Background) -> AsyncIterator[aiohttp.ClientSession]:
    async with served([stream_routes(background.feed)], caller=None) as opened:
        yield opened


@dataclass
class Event:
    id: str
    event: str
    data: Any


class Listening:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event:
        """The next event, comments left out."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(5):
            while True:
                line = (await self.response.content.readline()).decode().rstrip("\n")
                if not line and fields:
                    return Event(fields["id"], fields["event"], json.loads(fields["data"]))
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value

    async def available(self) -> list[tuple[str, int]]:
        event = await self.next()
        items = event.data["items"] if event.event == "snapshot" else [event.data]
        return [(item["sku"], item["available"]) for item in items]


@asynccontextmanager
async def listening(client: aiohttp.ClientSession, *skus: str, after: str | None = None) -> AsyncIterator[Listening]:
    query = "&".join(f"sku={sku}" for sku in skus)
    headers = {"Last-Event-ID": after} if after else {}
    async with client.get(f"/api/inventory/stream?{query}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield Listening(response)


async def sell(shop: Shop, background: Background, sku: str, quantity: int = 1) -> None:
    await shop.inventory.adjust(sku, -quantity, "sold by hand", "staff")
    while await background.relay.relay():
        pass


async def test_a_listener_is_shown_what_is_there_and_then_each_change(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9, CUP=4, POT=2)
    async with listening(client, "TEA", "CUP") as stream:
        first = await stream.next()
        assert first.event == "snapshot"
        assert [(item["sku"], item["available"]) for item in first.data["items"]] == [("TEA", 9), ("CUP", 4)]
        await sell(shop, background, "POT")
        await sell(shop, background, "TEA")
        change = await stream.next()
        assert change.event == "stock"
        assert change.data == {
            "sku": "TEA",
            "available": 8,
            "inStock": True,
            "lowStock": False,
            "action": "add_to_cart",
            "version": 2,
            "epoch": 0,
        }


async def test_made_up_skus_are_not_asked_for_again_and_again(
    shop: Shop, background: Background, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(shop, TEA=9)
    feed, asked = background.feed, list[str]()
    snapshot = feed._snapshot

    async def noting(topics: Any) -> Any:
        asked.extend(topics)
        return await snapshot(topics)

    async with listening(client, "TEA", *(f"MADE-UP-{n}" for n in range(99))) as stream:
        await stream.next()
        monkeypatch.setattr(feed, "_snapshot", noting)
        await feed._resync()
        assert set(asked) == {"TEA"}
        await stock(shop, **{"MADE-UP-7": 3})
        while await background.relay.relay():
            pass
        assert await stream.available() == [("MADE-UP-7", 3)], "one that begins to be is told all the same"
        asked.clear()
        await feed._resync()
        assert set(asked) == {"TEA", "MADE-UP-7"}


async def test_every_committed_state_comes_once_however_often_it_is_relayed(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9)
    async with listening(client, "TEA") as stream:
        await stream.next()
        for _ in range(3):
            await sell(shop, background, "TEA")
        await shop.stores.database["outbox"].update_many({}, {"$set": {"waiting": True}, "$unset": {"done": 1}})
        await sell(shop, background, "TEA")
        assert [await stream.available() for _ in range(4)] == [[("TEA", n)] for n in (8, 7, 6, 5)]


async def test_a_client_that_comes_back_gets_what_it_missed(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9, CUP=9)
    async with listening(client, "TEA") as stream:
        await stream.next()
        await sell(shop, background, "TEA")
        seen = await stream.next()
    for sku in ("TEA", "CUP", "TEA"):
        await sell(shop, background, sku)
    async with listening(client, "TEA", after=seen.id) as stream:
        events = [await stream.next() for _ in range(2)]
        assert [(event.event, event.data["available"]) for event in events] == [("stock", 7), ("stock", 6)]


async def test_a_client_that_comes_back_to_another_process_gets_what_it_missed(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9)
    async with listening(client, "TEA") as stream:
        await stream.next()
        await sell(shop, background, "TEA")
        seen = await stream.next()
    await sell(shop, background, "TEA")
    async with (
        served([stream_routes(bootstrap.background(shop).feed)], caller=None) as other,
        listening(other, "TEA", after=seen.id) as stream,
    ):
        assert await stream.available() == [("TEA", 7)]


async def test_a_client_that_was_away_longer_than_the_stream_remembers_gets_the_present_state(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9)
    async with listening(client, "TEA", after="1000-0-0") as stream:
        assert await stream.available() == [("TEA", 9)]


@pytest.mark.parametrize("given", ["nonsense", "1-0", "-1-0-0", "9" * 40 + "-0-0", "1-0-0\n"])
def test_an_id_that_is_none_of_ours_is_as_none(given: str) -> None:
    assert parse_id(given) is None


@pytest.mark.parametrize("fields", [{"states": b"[[7]]"}, {"states": b"{"}, {"other": b"[]"}])
async def test_what_another_version_wrote_into_the_stream_is_passed_over(
    shop: Shop, background: Background, client: aiohttp.ClientSession, fields: dict[str, bytes]
) -> None:
    await stock(shop, TEA=5)
    await shop.stores.redis.xadd(STREAM, fields)
    async with listening(client, "TEA") as stream:
        assert await stream.available() == [("TEA", 5)]
        await shop.stores.redis.xadd(STREAM, fields)
        await sell(shop, background, "TEA")
        assert await stream.available() == [("TEA", 4)]


async def test_a_wiped_redis_does_not_end_the_stream(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9)
    async with listening(client, "TEA") as stream:
        await stream.next()
        await sell(shop, background, "TEA")
        await stream.next()
        await shop.stores.redis.flushall()
        await sell(shop, background, "TEA")
        assert await stream.available() == [("TEA", 7)]


async def test_without_redis_changes_come_from_the_store_of_truth(shop: Shop) -> None:
    config = replace(shop.config, redis_url="redis://127.0.0.1:1/0", stream_poll_seconds=0.05)
    await stock(shop, TEA=9)
    async with redis.connect(config) as nowhere:
        stores = bootstrap.Stores(shop.stores.client, shop.stores.database, nowhere)
        without = bootstrap.background(replace(shop, config=config, stores=stores))
        async with served([stream_routes(without.feed)], caller=None) as client, listening(client, "TEA") as stream:
            assert await stream.available() == [("TEA", 9)]
            await shop.inventory.adjust("TEA", -1, "sold by hand", "staff")
            assert await stream.available() == [("TEA", 8)]


async def test_a_change_no_relay_told_of_is_found_by_the_healer(shop: Shop) -> None:
    quick = replace(shop, config=replace(shop.config, stream_heal_seconds=0.05))
    await stock(shop, TEA=9)
    async with (
        served([stream_routes(bootstrap.background(quick).feed)], caller=None) as client,
        listening(client, "TEA") as stream,
    ):
        await stream.next()
        await shop.inventory.adjust("TEA", -1, "sold by hand", "staff")
        assert await stream.available() == [("TEA", 8)]


async def test_an_idle_stream_is_kept_alive(shop: Shop) -> None:
    quick = replace(shop, config=replace(shop.config, stream_heartbeat_seconds=1))
    await stock(shop, TEA=9)
    async with (
        served([stream_routes(bootstrap.background(quick).feed)], caller=None) as client,
        listening(client, "TEA") as stream,
    ):
        await stream.next()
        async with asyncio.timeout(4):
            while await stream.response.content.readline() != b": \n":
                pass


async def test_a_client_that_leaves_is_forgotten(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=9)
    async with listening(client, "TEA") as stream:
        await stream.next()
        assert len(background.feed.listeners) == 1
        stream.response.close()
    async with asyncio.timeout(5):
        while background.feed.listeners:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert background.feed._by_topic == {}


async def test_a_server_that_stops_ends_its_streams(shop: Shop) -> None:
    await stock(shop, TEA=9)
    feed = bootstrap.background(shop).feed
    async with served([stream_routes(feed)], caller=None) as client, listening(client, "TEA") as stream:
        await stream.next()
        await feed.close()
        async with asyncio.timeout(5):
            assert await stream.response.content.read() == b""


@asynccontextmanager
async def feed_of(shop: Shop, config: Config, states: dict[str, State]) -> AsyncIterator[SseBroadcaster]:
    async def snapshot(topics: Any) -> list[State]:
        return [states[topic] for topic in topics if topic in states]

    feed = SseBroadcaster(shop.stores.redis, STREAM, "stock", snapshot, shop.clock, config)
    feed.start()
    try:
        yield feed
    finally:
        await feed.close()


async def test_a_listener_too_slow_to_keep_up_is_dropped(shop: Shop) -> None:
    config = replace(shop.config, stream_backlog_max=20)
    async with feed_of(shop, config, {}) as feed, feed.listen(["TEA"], None) as slow:
        for version in range(1, 60):
            feed._push_to_all((version, 0, 0), State("TEA", version, Raw(b"{}")))
        assert not slow.open
        assert len(slow.backlog) <= config.stream_backlog_max + 1
        assert [piece async for piece in slow.frames()] == []


async def test_an_older_state_and_a_repeated_one_are_not_sent(shop: Shop) -> None:
    async with feed_of(shop, shop.config, {}) as feed, feed.listen(["TEA"], None) as listener:
        for version in (5, 3, 5, 6, 6, 1):
            feed._push_to_all((version, 0, 0), State("TEA", version, Raw(b"{}")))
        assert sorted(state.version for state in listener.seen.values()) == [6]
        assert len(listener.backlog) == 3


async def test_no_more_listeners_than_allowed(shop: Shop) -> None:
    config = replace(shop.config, stream_listeners_max=1)
    async with feed_of(shop, config, {}) as feed, feed.listen(["TEA"], None):
        with pytest.raises(Unavailable):
            async with feed.listen(["TEA"], None):
                pass


async def test_five_thousand_listeners_idle_for_next_to_nothing_and_all_hear_of_a_change(shop: Shop) -> None:
    """Costs are this process's own processor time, so that a busy machine does not decide."""
    states = {f"S{n}": State(f"S{n}", 1, Raw(b'{"sku":"S"}')) for n in range(100)}
    config = replace(shop.config, stream_heartbeat_seconds=60)
    async with feed_of(shop, config, states) as feed, asyncio.TaskGroup() as group:
        heard, ready = asyncio.Semaphore(0), asyncio.Semaphore(0)

        async def listen(sku: str) -> None:
            async with feed.listen([sku], None) as listener:
                pieces = listener.frames()
                assert b"event: snapshot" in await anext(pieces)
                ready.release()
                async for piece in pieces:
                    if b"event: stock" in piece:
                        break
                heard.release()

        for n in range(5_000):
            group.create_task(listen(f"S{n % 100}"))
        for _ in range(5_000):
            await ready.acquire()
        await asyncio.sleep(0.5)
        gc.freeze()  # as the service does once everything is in place: what other tests left behind is not looked at
        idle = await seconds_of_processor(asyncio.sleep(2))
        writer = FeedWriter(shop.stores.redis, STREAM, shop.config)
        await writer.publish([State(f"S{n}", 2, Raw(b'{"sku":"S"}')) for n in range(100)])

        async def all_hear() -> None:
            for _ in range(5_000):
                await heard.acquire()

        busy = await seconds_of_processor(all_hear())
    gc.unfreeze()
    assert idle < 0.2
    assert busy < 1


async def seconds_of_processor(work: Coroutine[Any, Any, None]) -> float:
    began = time.process_time()
    await work
    return time.process_time() - began


async def test_the_stream_of_all_states_does_not_grow_for_ever(shop: Shop) -> None:
    writer = FeedWriter(shop.stores.redis, STREAM, replace(shop.config, stream_entries_kept_max=100))
    for version in range(500):
        await writer.publish([State("TEA", version, Raw(b"{}"))])
    assert await shop.stores.redis.xlen(STREAM) < 300


async def test_a_stream_ends_in_time_and_goes_on_where_it_ended(shop: Shop, config: Config) -> None:
    short = replace(config, stream_seconds_max=0.3)
    async with feed_of(shop, short, {}) as feed:
        async with asyncio.timeout(3), feed.listen(["TEA"], None) as listener:
            frames = [frame async for frame in listener.frames()]
        last = parse_id(frames[-1].split(b"id: ")[-1].split(b"\n")[0].decode())
        assert last is not None
        async with feed.listen(["TEA"], last):
            assert len(feed.listeners) == 1
        assert not feed.listeners


async def test_one_client_holds_few_streams_and_leaves_the_others_theirs(shop: Shop, config: Config) -> None:
    few = replace(config, streams_per_client_max=3)
    async with feed_of(shop, few, {}) as feed, AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(feed.listen(["TEA"], None, "203.0.113.9"))
        with pytest.raises(TooMany):
            await held.enter_async_context(feed.listen(["TEA"], None, "203.0.113.9"))
        await held.enter_async_context(feed.listen(["TEA"], None, "198.51.100.1"))
        await held.aclose()
        await held.enter_async_context(feed.listen(["TEA"], None, "203.0.113.9"))


async def test_one_client_never_has_more_than_a_quarter_of_all_connections(shop: Shop, config: Config) -> None:
    async with feed_of(shop, replace(config, connections_max=8), {}) as feed, AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(feed.listen(["TEA"], None, "203.0.113.9"))
        with pytest.raises(TooMany):
            await held.enter_async_context(feed.listen(["TEA"], None, "203.0.113.9"))
