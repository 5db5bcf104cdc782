"""Clients that go on although they were refused: cheap to answer, answered no worse, and nobody else's concern."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import shops
from secured_app import Guarded, guarded

from service.config import Config
from service.web.security.connection import HOLD_OFF_SECONDS

QUOTA = 12  # of the default class, at this scale
GET = b"GET /api/probe/public?q=x HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER_CLASS = b"POST /api/probe/checkout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(replace(config, rate_limit_scale=QUOTA / 1_200, request_seconds_max=2), clock) as opened:
        yield opened


async def use_up(site: Guarded, **given: Any) -> None:
    for _ in range(QUOTA):
        assert (await site.call("GET", "/api/probe/public", **given)).status == 200
    assert (await site.call("GET", "/api/probe/public", **given)).status == 429


class Line:
    """One connection, read answer by answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, site: Guarded, source: str = "127.0.0.1") -> "Line":
        line = cls(*await asyncio.open_connection("127.0.0.1", site.port, local_addr=(source, 0)))
        line.send(GET)  # a connection's first request finds Sanic still setting up: it goes the long way
        await line.answer()
        return line

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *fields = head.strip().split("\r\n")
            headers = dict(field.lower().split(": ", 1) for field in fields)
            assert len(headers) == len(fields), "a field twice"
            length = 0 if head_only else int(headers["content-length"])
            return int(status.split(" ")[1]), headers, await self._reader.readexactly(length)

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self._reader.read() == b""

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def flooder(site: Guarded) -> AsyncIterator[Line]:
    await use_up(site)
    line = await Line.open(site)
    yield line
    line.close()


async def test_who_goes_on_is_refused_without_redis_and_counted(site: Guarded, flooder: Line) -> None:
    asked, counted = site.layers.gate.group.items, site.events("rate_limited")
    flooder.send(GET * 50)
    assert {(await flooder.answer())[0] for _ in range(50)} == {429}
    assert (await site.call("GET", "/api/probe/public")).status == 429
    assert site.layers.gate.group.items == asked
    assert site.events("rate_limited") == counted + 51


async def test_the_quick_refusal_says_all_that_the_slow_one_says(site: Guarded, flooder: Line) -> None:
    slow = await site.call("GET", "/api/probe/public", headers={"Accept-Encoding": "identity"})
    flooder.send(GET)
    status, headers, body = await flooder.answer()
    assert status == slow.status == 429
    assert headers.keys() == {name.lower() for name in slow.headers}
    told_apart = {"x-request-id", "retry-after", "ratelimit", "content-length"}
    assert {name: headers[name] for name in headers.keys() - told_apart} == {
        name.lower(): value.lower() for name, value in slow.headers.items() if name.lower() not in told_apart
    }
    assert 1 <= int(headers["retry-after"]) <= 66
    quick, known = json.loads(body), slow.json
    assert quick.pop("requestId") == headers["x-request-id"] != known.pop("requestId")
    assert quick == known


async def test_requests_sent_in_one_go_are_answered_one_by_one(flooder: Line) -> None:
    flooder.send(GET + GET.replace(b"GET", b"HEAD") + GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: my-own-id\r\n\r\n"))
    assert (await flooder.answer())[0] == 429
    status, headers, _ = await flooder.answer(head_only=True)
    assert (status, int(headers["content-length"]) > 0) == (429, True)
    status, headers, body = await flooder.answer()
    assert (status, headers["x-request-id"], json.loads(body)["requestId"]) == (429, "my-own-id", "my-own-id")


async def test_routes_of_another_limit_are_still_served(flooder: Line) -> None:
    flooder.send(GET + OTHER_CLASS + GET)
    assert [(await flooder.answer())[0] for _ in range(3)] == [429, 401, 429]


async def test_a_route_that_does_not_exist_counts_by_default(flooder: Line) -> None:
    flooder.send(GET.replace(b"/api/probe/public", b"/api/nothing"))
    assert (await flooder.answer())[0] == 429


@pytest.mark.parametrize("field", [b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Connection: close"])
async def test_what_would_have_to_be_read_on_ends_the_connection(flooder: Line, field: bytes) -> None:
    flooder.send(b"POST /api/probe/public HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")
    status, headers, _ = await flooder.answer()
    assert (status, headers["connection"]) == (429, "close")
    assert await flooder.ended()


async def test_a_doubtful_head_is_refused_as_one(flooder: Line) -> None:
    flooder.send(b"GET /api/probe/public HTTP/1.1\r\nContent-Length : 40\r\nHost: x\r\n\r\n" + GET)
    assert (await flooder.answer())[0] == 400
    assert await flooder.ended()


async def test_a_head_that_comes_in_pieces_is_refused_too(flooder: Line) -> None:
    flooder.send(GET[:20])
    await asyncio.sleep(0.05)
    flooder.send(GET[20:])
    assert (await flooder.answer())[0] == 429
    flooder.send(GET)
    assert (await flooder.answer())[0] == 429


async def test_who_goes_on_is_read_only_now_and_then(flooder: Line) -> None:
    started = time.monotonic()
    for _ in range(5):
        flooder.send(GET)
        assert (await flooder.answer())[0] == 429
    assert time.monotonic() - started >= 4 * HOLD_OFF_SECONDS


async def test_another_address_is_served_meanwhile(site: Guarded, flooder: Line) -> None:
    flooder.send(GET * 200)
    other = await Line.open(site, "127.0.0.2")
    other.send(GET)
    assert (await other.answer())[0] == 200
    other.close()


async def test_behind_a_proxy_only_the_client_that_was_refused_is(config: Config, clock: shops.MovableClock) -> None:
    limits = replace(config, rate_limit_scale=QUOTA / 1_200, trusted_proxies="127.0.0.1")
    async with guarded(limits, clock) as site:
        await use_up(site, headers={"X-Forwarded-For": "203.0.113.5"})
        for client, status in (("203.0.113.5", 429), ("203.0.113.6", 200)):
            answer = await site.call("GET", "/api/probe/public", headers={"X-Forwarded-For": client})
            assert answer.status == status
