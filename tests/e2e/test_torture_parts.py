"""What torture is made of has to work, and its judge has to be able to say no."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from workloads.client.accounts import Account
from workloads.client.exchange import Exchange
from workloads.torture.buyers import DONE, REFUSED, Buyer, BuyerOperation
from workloads.torture.command import _document, _plan
from workloads.torture.moved_clock import MovedClock
from workloads.torture.proxy import Proxy
from workloads.torture.rounds import Round, complaints_of

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Proxy], Awaitable[Streams]]


@asynccontextmanager
async def echo_behind_a_proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connections that are closed when the test is over."""
    writers: list[asyncio.StreamWriter] = []

    async def opened(proxy: Proxy) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield opened
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def said_back(streams: Streams, line: bytes = b"hello\n") -> bytes:
    """Nothing once the connection is gone."""
    reader, writer = streams
    try:
        writer.write(line)
        await writer.drain()
        return await reader.readline()
    except OSError:
        return b""


async def test_a_proxy_left_alone_passes_everything_on(connect: Connect) -> None:
    async with echo_behind_a_proxy() as proxy:
        assert await said_back(await connect(proxy)) == b"hello\n"
        assert proxy.accepted == 1


async def test_a_cut_ends_open_connections_and_new_ones_until_it_is_healed(connect: Connect) -> None:
    async with echo_behind_a_proxy() as proxy:
        old = await connect(proxy)
        assert await said_back(old) == b"hello\n"
        proxy.cut()
        assert await said_back(old) == b""
        assert await said_back(await connect(proxy)) == b""
        proxy.heal()
        assert await said_back(await connect(proxy)) == b"hello\n"


async def test_a_slow_proxy_delays_every_chunk_both_ways(connect: Connect) -> None:
    async with echo_behind_a_proxy() as proxy:
        streams = await connect(proxy)
        proxy.slow(0.05)
        started = time.monotonic()
        assert await said_back(streams) == b"hello\n"
        assert time.monotonic() - started >= 0.1


async def test_a_half_open_connection_looks_alive_says_nothing_and_is_closed_by_healing(connect: Connect) -> None:
    async with echo_behind_a_proxy() as proxy:
        streams = await connect(proxy)
        assert await said_back(streams) == b"hello\n"
        proxy.half_open()
        waiting = asyncio.ensure_future(said_back(streams))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        proxy.heal()
        assert await waiting == b""
        assert await said_back(await connect(proxy)) == b"hello\n"


def test_the_clock_of_the_named_process_moves_and_no_other(tmp_path: Path) -> None:
    clock = MovedClock(tmp_path)
    clock.move("api-2", 100)

    def ahead(process: str) -> float:
        program = "import time; print(time.time_ns() / 1e9 - time.time())"
        environment = clock.environment | {"HOLDFAST_APP_NAME": f"holdfast-1/{process}/1"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert ahead("api-2") == pytest.approx(100, abs=1)
    assert ahead("api-1") == pytest.approx(0, abs=1)


def buyer(*operations: BuyerOperation) -> Buyer:
    return Buyer(Account("a@shop"), cast(Exchange, None), list(operations))


def placed(order_id: str, **changes: Any) -> BuyerOperation:
    return BuyerOperation("checkout", f"key of {order_id}", order_id=order_id, **{"outcome": DONE, **changes})


def paid(order_id: str, **changes: Any) -> BuyerOperation:
    return BuyerOperation("pay", f"payment of {order_id}", order_id=order_id, **{"outcome": DONE, **changes})


def test_the_judge_is_content_with_what_was_acknowledged_and_is_there() -> None:
    assert complaints_of(buyer(placed("1"), paid("1"), placed("2")), {"1": {"status": "paid"}, "2": {}}) == []


@pytest.mark.parametrize(
    ("operations", "orders", "complaint"),
    [
        ((placed("1"),), {}, "acknowledged and is gone"),
        ((placed("1"), placed("1")), {"1": {}}, "given one order"),
        ((placed("1"),), {"1": {}, "2": {}}, "nobody was told of"),
        ((placed("1"), paid("1")), {"1": {"status": "cancelled"}}, "order is cancelled"),
        ((placed("1"), paid("1", outcome=REFUSED, code="payment_declined")), {"1": {"status": "paid"}}, "is paid"),
    ],
)
def test_the_judge_says_what_the_shop_no_longer_says(
    operations: tuple[BuyerOperation, ...], orders: dict[str, Any], complaint: str
) -> None:
    (said,) = complaints_of(buyer(*operations), orders)
    assert complaint in said


def test_a_checkout_that_stayed_unknown_may_have_become_one_order_and_no_more() -> None:
    unknown = buyer(BuyerOperation("checkout", "k"))
    assert complaints_of(unknown, {"1": {}}) == []
    assert complaints_of(unknown, {"1": {}, "2": {}}) != []


def test_the_rounds_are_shared_out_and_none_is_lost() -> None:
    for rounds in (1, 2, 7, 200):
        assert sum(_plan("all", rounds).values()) == rounds
    assert _plan("proxied", 5) == {"proxied": 5}


def test_one_complaint_in_any_round_or_at_the_end_makes_the_run_fail() -> None:
    good, bad = Round(1, "embedded", "kill redis"), Round(2, "embedded", "kill mongod", complaints=["lost"])
    assert _document([good], [], 1)["ok"]
    assert not _document([good, bad], [], 1)["ok"]
    assert not _document([good], ["lost at the end"], 1)["ok"]
