"""The bare HTTP client of the benchmarks and the closed loop on it, against a server of a few lines."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from itertools import count

import pytest

from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.wire import Wire, WireAnswer, WireError, request

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


class Scripted:
    """Answers each request with the next of its answers, over and over, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [PLAIN]
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in count():
            try:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            answer = self.answers[number % len(self.answers)]
            if not answer:
                break
            writer.write(answer)
        writer.close()


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
async def url(script: Scripted) -> AsyncIterator[str]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_every_byte_of_an_answer_is_counted(url: str):
    async with Wire(url) as wire:
        answer = await wire.send(request("GET", "/"))
    assert (answer.status, answer.body, answer.wire_bytes) == (200, b"ok", len(PLAIN))


async def test_a_chunked_answer_is_put_together(script: Scripted, url: str):
    script.answers = [CHUNKED]
    async with Wire(url) as wire:
        answer = await wire.send(request("GET", "/"))
    assert (answer.status, answer.body) == (201, b"abcde")


async def test_one_connection_serves_many_requests(script: Scripted, url: str):
    script.answers = [PLAIN, CHUNKED]
    async with Wire(url) as wire:
        assert [(await wire.send(request("GET", "/"))).status for _ in range(4)] == [200, 201, 200, 201]


async def test_a_server_that_hangs_up_is_an_error_and_not_a_hang(script: Scripted, url: str):
    script.answers = [PLAIN, b""]
    async with Wire(url) as wire:
        await wire.send(request("GET", "/"))
        with pytest.raises(WireError):
            await wire.send(request("GET", "/"))
        with pytest.raises(WireError):
            await wire.send(request("GET", "/"))


def test_a_request_with_a_body_says_how_long_it_is():
    wire = request("POST", "/api/orders", body={"a": 1}, headers={"Authorization": "Bearer x"})
    assert wire.startswith(b"POST /api/orders HTTP/1.1\r\n")
    assert b"Content-Length: 7\r\n" in wire
    assert wire.endswith(b'\r\n\r\n{"a":1}')


def test_load_never_leaves_this_machine():
    with pytest.raises(AssertionError):
        Wire("http://192.0.2.1:80")


def test_a_compressed_answer_is_decoded_on_demand():
    assert WireAnswer(headers={"content-encoding": "gzip"}, body=gzip.compress(b'{"a":1}')).json() == {"a": 1}
    assert WireAnswer(body=b"{}").decoded() == b"{}"


async def test_a_closed_loop_sends_as_many_requests_as_asked_and_counts_what_comes_back(script: Scripted, url: str):
    script.answers = [PLAIN, CHUNKED]
    async with Wire(url, connections=3) as crowd:
        tally = await drive(crowd, lambda: request("GET", "/"), Tally(), requests=30)
    assert (tally.requests, sum(tally.statuses.values()), len(script.requests)) == (30, 30, 30)
    assert set(tally.statuses) == {200, 201}
    assert tally.per_second > 0
    assert tally.percentile_ms(50) <= tally.percentile_ms(99)


async def test_a_closed_loop_ends_after_its_seconds_and_turns_add_up(url: str):
    tally = Tally()
    async with Wire(url) as wire:
        for _ in range(2):
            await drive(wire, lambda: request("GET", "/"), tally, seconds=0.05)
    assert 0.1 <= tally.wall_seconds < 1
    assert tally.share(200) == 1
