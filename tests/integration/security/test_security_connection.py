"""The wire: deadlines for slow clients, no second request inside the first, bounds on connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import shops
from secured_app import Guarded, guarded

from service.config import Config
from service.web.http.client_address import ClientAddresses

HEAD = b"GET /api/probe/public HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/probe/public HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
DEADLINE_SECONDS = 1.0


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    limits = replace(
        config,
        request_seconds_max=DEADLINE_SECONDS,
        response_seconds_max=2,
        keep_alive_seconds=0.6,
        connections_max=60,
        connections_per_address_max=50,
    )
    async with guarded(limits, clock) as opened:
        yield opened


async def drip(site: Guarded, first: bytes, rest: bytes, pause_seconds: float = 0.05) -> tuple[float, bytes]:
    """Sends `rest` over and over, byte by byte. Seconds until the server hung up, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    started = time.monotonic()
    writer.write(first)
    answer = asyncio.create_task(reader.read())
    position = 0
    try:
        while not answer.done() and time.monotonic() - started < 5 * DEADLINE_SECONDS:
            writer.write(rest[position % len(rest)].to_bytes())
            position += 1
            await asyncio.sleep(pause_seconds)
        elapsed = time.monotonic() - started
        return elapsed, await answer if answer.done() else b""
    except ConnectionError:
        return time.monotonic() - started, b""
    finally:
        answer.cancel()
        writer.close()


async def test_slow_heads_and_slow_bodies_are_closed_at_the_deadline(site: Guarded) -> None:
    slow_head = drip(site, HEAD, b"X-a: b\r\n")
    slow_body = drip(site, POST + b"Content-Length: 60000\r\n\r\n", b" ")
    slow_chunks = drip(site, CHUNKED, b"1\r\n \r\n")
    for elapsed, answer in await asyncio.gather(slow_head, slow_body, slow_chunks):
        assert DEADLINE_SECONDS * 0.9 <= elapsed <= DEADLINE_SECONDS * 1.5
        assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""


async def test_forty_slow_clients_leave_the_others_alone(site: Guarded) -> None:
    slow = asyncio.gather(*(drip(site, HEAD, b"X-a: b\r\n") for _ in range(40)))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    for _ in range(50):
        assert (await site.call("GET", "/api/probe/public")).status == 200
    assert time.monotonic() - started < DEADLINE_SECONDS
    assert max(elapsed for elapsed, _ in await slow) < DEADLINE_SECONDS * 1.5


async def test_a_connection_that_never_says_anything_is_closed(site: Guarded) -> None:
    started = time.monotonic()
    assert await site.raw(b"", 5) == b""
    assert time.monotonic() - started < DEADLINE_SECONDS * 1.5


async def test_an_idle_connection_is_kept_for_a_while_and_then_closed(site: Guarded) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    for _ in range(2):
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await reader.readexactly(len(b'{"caller":null,"role":null}'))
        await asyncio.sleep(0.3)
    started = time.monotonic()
    assert await reader.read() == b""
    assert time.monotonic() - started < 1.5
    writer.close()


async def test_an_answer_that_is_never_ready_is_given_up(config: Config, clock: shops.MovableClock) -> None:
    async with guarded(replace(config, request_seconds_max=0.2, response_seconds_max=0.15), clock) as site:
        answer = await site.call("GET", "/api/probe/wait")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_pipelined_requests_each_have_their_own_deadline(site: Guarded) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write((HEAD + b"\r\n") * 3 + HEAD[:20])
    await asyncio.sleep(DEADLINE_SECONDS * 0.6)
    writer.write(HEAD[20:] + b"Connection: close\r\n\r\n")
    received = await reader.read()
    assert received.count(b"HTTP/1.1 200 OK") == 4
    writer.close()


SMUGGLED = b"GET /api/probe/public?q=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


DOUBTFUL = [
    POST + b"Content-Length : %d\r\n\r\n" % len(SMUGGLED),
    POST + b" Content-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    POST + b"X: y\nContent-Length: 5\r\n\r\n",
    b"GET /api/probe/public HTTP/1.1\r\n\r\n",
    b"GET /api/probe/public HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /api/probe/public HTTP/9.9\r\nHost: x\r\n\r\n",
    CHUNKED + b"0\r\nX: trailer\r\n\r\n",
    CHUNKED + b"ffffffffffffffff1\r\n",
    CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"2;\nxx\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2;\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    CHUNKED + b"2\r\n{}\n\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0;x\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\n\n\n",
    CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"1_0\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: identity\r\n\r\n",
    POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n",
    POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding:\r\n\r\n",
    POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("size", [b"2", b"02", b"000000000002"])
async def test_chunks_as_the_standard_writes_them_are_read(site: Guarded, size: bytes) -> None:
    body = size + b"\r\n{}\r\n0\r\n\r\n"
    head = CHUNKED.replace(b"Host: x", b"Host: x\r\nContent-Type: application/json\r\nConnection: close")
    assert (await site.raw(head + body)).startswith(b"HTTP/1.1 200 ")
    long = b'{"text":"' + b"a" * 0xABC + b'"}'
    upper = b"%X\r\n%b\r\n0\r\n\r\n" % (len(long), long)
    assert (await site.raw(head + upper)).startswith(b"HTTP/1.1 200 ")


async def test_a_body_larger_than_its_route_takes_is_refused_before_it_is_read(site: Guarded) -> None:
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    received = await site.raw(head + b"Content-Length: 4097\r\n\r\n", 2)
    assert received.startswith(b"HTTP/1.1 413 ")
    received = await site.raw(head + b"Transfer-Encoding: chunked\r\n\r\n2000\r\n", 2)
    assert received.startswith(b"HTTP/1.1 413 ")
    other = POST + b"Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n"
    assert (await site.raw(other, 2)).startswith(b"HTTP/1.1 413 ")


async def test_bodies_of_all_connections_together_are_bounded_and_given_back(
    config: Config, clock: shops.MovableClock
) -> None:
    """Fifty connections send most of a body and wait: what they hold stays within the budget, and the rest is told."""
    limits = replace(config, request_bytes_in_flight_max=200_000, request_seconds_max=2)
    async with guarded(limits, clock) as site:
        head = POST + b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
        opened = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(50)]
        for _, writer in opened:
            writer.write(head + b" " * 59_000)
        await asyncio.sleep(0.3)
        assert 100_000 < site.layers.bodies.held <= 200_000
        answered = [await asyncio.wait_for(reader.read(15), 3) for reader, _ in opened]
        assert answered.count(b"HTTP/1.1 503 Se") >= 40
        assert (await site.call("GET", "/api/probe/public")).status == 200
        for _, writer in opened:
            writer.close()
        await asyncio.sleep(0.1)
        assert site.layers.bodies.held == 0


async def test_connections_of_a_trusted_proxy_are_not_counted_as_one_client(
    config: Config, clock: shops.MovableClock
) -> None:
    behind = replace(config, trusted_proxies="127.0.0.0/8", connections_per_address_max=3)
    async with guarded(behind, clock) as site:
        opened = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(10)]
        assert (await site.call("GET", "/api/probe/public")).status == 200
        for _, writer in opened:
            writer.close()


def test_one_ipv6_customer_is_one_client_to_the_count_of_connections() -> None:
    addresses = ClientAddresses("")
    assert addresses.counted("2001:db8:1:2::1") == addresses.counted("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert ClientAddresses("2001:db8:1::/48").counted("2001:db8:1:2::1") == ""


async def test_no_bytes_after_a_doubtful_head_are_run_as_a_request(site: Guarded) -> None:
    answers = await asyncio.gather(*(site.raw(doubtful + SMUGGLED, 2.5) for doubtful in DOUBTFUL))
    for doubtful, received in zip(DOUBTFUL, answers, strict=True):
        statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
        assert len(statuses) == 1, (doubtful, received)
        assert statuses[0][:1] == b"4", (doubtful, received)


async def test_a_body_that_nobody_wants_any_more_is_not_waited_for(site: Guarded) -> None:
    elapsed, answer = await drip(site, POST.replace(b"probe", b"nothing") + b"Content-Length: 100000\r\n\r\n", b" ")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert elapsed <= DEADLINE_SECONDS * 1.5


async def test_a_head_without_end_is_refused_by_its_size(site: Guarded) -> None:
    received = await site.raw(HEAD + b"X-a: " + b"b" * 100_000)
    assert received.startswith(b"HTTP/1.1 413 ")
    received = await site.raw(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")


async def test_more_connections_of_one_client_than_allowed_are_turned_away(site: Guarded) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(50)]
    received = await site.raw(HEAD + b"\r\n", 1)
    assert received.startswith(b"HTTP/1.1 503 ")
    assert site.registry.get_sample_value("holdfast_connections_refused_total") == 1
    for _, writer in opened:
        writer.close()
    await asyncio.sleep(0.1)
    assert (await site.call("GET", "/api/probe/public")).status == 200


async def test_connections_that_come_and_go_are_counted_back_to_none(site: Guarded) -> None:
    await asyncio.gather(*(site.raw(HEAD + b"Connection: close\r\n\r\n") for _ in range(30)))
    await asyncio.sleep(0.1)
    assert not site.layers.connections_of


async def test_expect_continue_is_answered_and_the_headers_are_on_the_answer_proper(site: Guarded) -> None:
    request = b"POST /api/probe/public HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    received = await site.raw(request + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    interim, _, answer = received.partition(b"\r\n\r\n")
    assert interim == b"HTTP/1.1 100 Continue"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-content-type-options: nosniff\r\n" in answer


async def test_a_head_request_is_answered_like_its_get_without_a_body(site: Guarded) -> None:
    answer = await site.call("HEAD", "/api/probe/public")
    assert answer.status in {200, 405}
    assert answer.text == ""
