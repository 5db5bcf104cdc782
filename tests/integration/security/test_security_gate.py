"""Rate limits on a real Redis: exact under concurrency, sliding, all or none, in bounded memory."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from prometheus_client import CollectorRegistry

from service.clock import SystemClock
from service.config import Config
from service.ids import Ids
from service.infra.redis.cache_version import KEY, Generation
from service.web.security.gate import SLOTS, Answer, Gate, StoreDown
from service.web.security.metrics import SecurityMetrics


def new_gate(config: Config) -> Gate:
    clock = SystemClock()
    return Gate(clock, Ids(clock), config, SecurityMetrics(CollectorRegistry()))


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[Gate]:
    opened = new_gate(Config(redis_url=redis_url))
    yield opened
    opened.close()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as opened:
        yield opened


def admitted(answers: list[Answer]) -> int:
    return sum(answer.refused == 0 for answer in answers)


async def test_of_three_hundred_at_once_exactly_the_quota_is_admitted(gate: Gate) -> None:
    answers = await asyncio.gather(*(gate.ask("", ("k", 100, 60_000)) for _ in range(300)))
    assert admitted(answers) == 100
    assert sorted(answer.remaining for answer in answers if not answer.refused) == list(range(100))


async def test_what_costs_more_takes_more_and_what_does_not_fit_takes_nothing(gate: Gate) -> None:
    limits = ("k", 100, 60_000)
    assert (await gate.ask("", limits, 60)).remaining == 40
    assert (await gate.ask("", limits, 60)).refused == 1
    assert (await gate.ask("", limits, 40)).refused == 0
    assert (await gate.ask("", limits)).refused == 1


async def test_what_costs_more_than_the_whole_quota_passes_alone(gate: Gate) -> None:
    limits = ("k", 100, 60_000)
    assert (await gate.ask("", limits, 1_000)).refused == 0
    assert (await gate.ask("", limits)).refused == 1


async def test_asking_alone_counts_nothing(gate: Gate) -> None:
    limits = ("k", 2, 60_000)
    for _ in range(5):
        assert (await gate.ask("", limits, 0)).remaining == 2
    await gate.ask("", limits, 2)
    assert (await gate.ask("", limits, 0)).refused == 1


async def test_two_processes_share_one_count(redis_url: str) -> None:
    gates = [new_gate(Config(redis_url=redis_url, gate_batch_max=3)) for _ in range(2)]
    answers = await asyncio.gather(*(gate.ask("", ("k", 100, 60_000)) for gate in gates for _ in range(150)))
    assert admitted(answers) == 100
    for gate in gates:
        gate.close()


async def test_waiting_requests_share_a_round_trip(gate: Gate) -> None:
    await asyncio.gather(*(gate.ask("", ("k", 1_000, 60_000)) for _ in range(200)))
    assert gate.group.batches <= 3


async def test_the_window_slides_so_no_span_of_its_length_holds_more_than_the_quota(gate: Gate) -> None:
    window_ms, quota, taken = 400, 10, []
    loop = asyncio.get_running_loop()
    started = loop.time()
    while loop.time() - started < 1.6:
        before = loop.time()
        answer = await gate.ask("", ("k", quota, window_ms))
        if not answer.refused:
            taken.append((before, loop.time()))
        await asyncio.sleep(0.002)
    for position, (first_sent, _) in enumerate(taken[:-quota]):
        eleventh_answered = taken[position + quota][1]
        assert eleventh_answered - first_sent > window_ms / 1_000
    assert len(taken) >= 3 * quota  # and it opens again: each slot leaves by itself


async def test_a_client_that_waits_as_told_is_admitted(gate: Gate) -> None:
    for _ in range(3):
        answer = await gate.ask("", ("k", 3, 1_000))
    refused = await gate.ask("", ("k", 3, 1_000))
    assert (answer.refused, refused.refused) == (0, 1)
    await asyncio.sleep(refused.reset_seconds)
    assert (await gate.ask("", ("k", 3, 1_000))).refused == 0


async def test_a_request_refused_by_one_limit_is_counted_in_none(gate: Gate) -> None:
    for _ in range(5):
        await gate.ask("", ("wide", 100, 60_000, "narrow", 2, 60_000))
    last = await gate.ask("", ("wide", 100, 60_000))
    assert last.remaining == 97


async def test_the_limit_that_will_refuse_first_is_the_one_told(gate: Gate) -> None:
    answer = await gate.ask("", ("wide", 100, 60_000, "narrow", 2, 60_000))
    assert (answer.tightest, answer.remaining) == (2, 1)
    await gate.ask("", ("narrow", 2, 60_000))
    refused = await gate.ask("", ("wide", 100, 60_000, "narrow", 2, 60_000))
    assert (refused.refused, refused.remaining) == (2, 0)


async def test_a_limit_takes_a_few_numbers_whatever_its_quota(gate: Gate, store: redis.asyncio.Redis) -> None:
    for _ in range(25):
        await asyncio.gather(*(gate.ask("", ("k", 10**9, 300)) for _ in range(100)))
        await asyncio.sleep(0.02)
    assert await store.hlen("k") <= SLOTS + 2
    await asyncio.sleep(0.5)
    assert await store.exists("k") == 0


async def test_a_session_is_looked_up_in_the_same_trip(gate: Gate, store: redis.asyncio.Redis) -> None:
    await store.hset("session:s1", mapping={"user": "u1", "role": "staff"})
    known, unknown = await asyncio.gather(gate.ask("s1", ("k", 9, 1_000)), gate.ask("s2", ("k", 9, 1_000)))
    assert (known.user_id, known.role) == ("u1", "staff")
    assert (unknown.user_id, unknown.role) == ("", "")
    assert gate.group.batches == 1


async def test_a_script_that_redis_forgot_is_sent_again(gate: Gate, store: redis.asyncio.Redis) -> None:
    await gate.ask("", ("k", 9, 1_000))
    await store.script_flush()
    assert (await gate.ask("", ("k", 9, 1_000))).remaining == 7


async def test_a_connection_cut_while_idle_is_made_anew_unseen(gate: Gate, store: redis.asyncio.Redis) -> None:
    await gate.ask("", ("k", 9, 1_000))
    await store.client_kill_filter(_type="normal", skipme=True)
    assert (await gate.ask("", ("k", 9, 1_000))).refused == 0


async def test_after_a_failure_nobody_waits_for_redis_for_a_moment(redis_url: str) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never says a word
    url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
    gate = new_gate(Config(redis_url=url, redis_timeout_seconds=0.1))
    loop = asyncio.get_running_loop()
    with pytest.raises(StoreDown):
        await gate.ask("", ("k", 9, 1_000))
    started = loop.time()
    for _ in range(1_000):
        with pytest.raises(StoreDown):
            await gate.ask("", ("k", 9, 1_000))
    assert loop.time() - started < 0.5
    gate.close()
    silent.close()


async def test_a_password_and_a_database_number_in_the_url_are_used(store: redis.asyncio.Redis, redis_url: str) -> None:
    await store.acl_setuser("gatekeeper", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"])
    gate = new_gate(Config(redis_url=as_user(redis_url, "gatekeeper:s3cret")))
    assert (await gate.ask("", ("k", 9, 1_000))).refused == 0
    assert await store.exists("k") == 1  # in the database of the URL
    gate.close()
    wrong = new_gate(Config(redis_url=as_user(redis_url, "gatekeeper:wrong")))
    with pytest.raises(StoreDown):
        await wrong.ask("", ("k", 9, 1_000))
    wrong.close()
    await store.acl_deluser("gatekeeper")


async def test_a_private_authority_and_a_client_certificate_in_the_url_are_used(redis_url: str, tmp_path: Path) -> None:
    """TLS ends in front of the real Redis, as a sidecar does it, and asks for a certificate."""
    certified(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    behind = urlsplit(redis_url)
    server = await asyncio.start_server(carrying_to(behind.hostname, behind.port), "127.0.0.1", 0, ssl=context)
    account = f":{behind.password}@" if behind.password else ""
    base = f"rediss://{account}localhost:{server.sockets[0].getsockname()[1]}{behind.path}"
    options = f"ssl_ca_certs={tmp_path}/ca.pem&ssl_certfile={tmp_path}/server.pem&ssl_keyfile={tmp_path}/server.key"
    async with server:
        trusting = new_gate(Config(redis_url=f"{base}?{options}", redis_timeout_seconds=5))
        assert (await trusting.ask("", ("k", 9, 1_000))).refused == 0
        trusting.close()
        strange = new_gate(Config(redis_url=base))
        with pytest.raises(StoreDown):
            await strange.ask("", ("k", 9, 1_000))


def certified(folder: Path) -> None:
    """An authority, and a certificate of localhost by it."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority = ["-subj", "/CN=ours", "-keyout", "ca.key", "-out", "ca.pem"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.pem"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    for made in (authority, [*subject, *signed]):
        subprocess.run(["openssl", "req", "-x509", *key, *made], cwd=folder, check=True, capture_output=True)


def carrying_to(host: str | None, port: int | None) -> Callable[..., Coroutine[Any, Any, None]]:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    return carry


async def test_whoever_passes_learns_the_generation_of_the_catalogue(
    gate: Gate, store: redis.asyncio.Redis, redis_url: str
) -> None:
    clock, config = SystemClock(), Config(redis_url=redis_url)
    generation = Generation(store, clock, Ids(clock), config, told=lambda: gate.generation)
    assert gate.generation == b""
    await gate.ask("", ())
    first = gate.generation
    assert first == await store.get(KEY) == await generation.now()
    await generation.end()
    assert await generation.now() == first, "nobody has passed since"
    await gate.ask("", ())
    assert gate.generation == await generation.now() == await store.get(KEY) != first


async def test_a_redis_that_was_emptied_gets_a_generation_that_never_was(
    gate: Gate, store: redis.asyncio.Redis
) -> None:
    seen = set()
    for _ in range(3):
        await store.delete(KEY)
        await gate.ask("", ())
        seen.add(gate.generation)
    assert len(seen) == 3


async def test_while_redis_is_down_no_generation_is_known(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    await gate.ask("", ())
    assert gate.generation

    async def away(argument: bytes) -> bytes:
        raise redis.ConnectionError

    monkeypatch.setattr(gate._line, "call", away)
    with pytest.raises(StoreDown):
        await gate.ask("", ())
    assert gate.generation == b""


async def test_a_session_that_has_ended_spends_nothing_of_its_accounts_quota(
    gate: Gate, store: redis.asyncio.Redis
) -> None:
    limits = ("of-the-client", 100, 60_000, "of-the-account", 3, 60_000)
    for _ in range(10):
        assert (await gate.ask("ended", limits, always=3)).refused == 0
    assert await store.exists("of-the-account") == 0
    await store.hset("session:living", mapping={"user": "u1", "role": "customer", "seal": "s"})
    refused = [(await gate.ask("living", limits, always=3)).refused for _ in range(4)]
    assert refused == [0, 0, 0, 2]


def as_user(url: str, credentials: str) -> str:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return urlsplit(url)._replace(netloc=f"{credentials}@{host}").geturl()
