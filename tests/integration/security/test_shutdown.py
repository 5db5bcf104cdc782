"""A process that is told to stop: unready first, everybody who comes meanwhile is served, nothing is reset."""

import asyncio
import json
import socket
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import shops
from sanic import Sanic

from service import bootstrap
from service.app import health_of, leave, serving
from service.bootstrap import Shop
from service.config import Config
from service.web.http.health import MetricsPart


@pytest.fixture
def listener() -> socket.socket:
    Sanic.test_mode = True  # lets one process start several applications after another
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
async def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def test_a_client_with_kept_connections_loses_no_request_when_the_process_stops(
    shop: Shop, listener: socket.socket
) -> None:
    """Eight clients ask as fast as they can while it leaves; each connection ends with an answer that says so."""
    port = listener.getsockname()[1]
    answers: list[int] = []
    lost: list[Exception] = []
    closed = 0
    stop = asyncio.Event()

    async def ask() -> None:
        nonlocal closed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                answers.append(int(head[9:12]))
                length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
                await reader.readexactly(length)
                if b"connection: close" in head:
                    closed += 1
                    assert await reader.read() == b""
                    writer.close()
                    if stop.is_set():
                        return
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, asyncio.IncompleteReadError) as error:
            lost.append(error)
        finally:
            writer.close()

    async with serving(shop, listener) as app:
        clients = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.sleep(0.2)
        before = len(answers)
        leaving = asyncio.create_task(leave(app, 0.3))
        await asyncio.sleep(0.2)
        stop.set()  # whoever is told `close` from here on goes elsewhere
        await leaving
    await asyncio.gather(*clients)
    assert lost == []
    assert set(answers) == {200}
    assert len(answers) > before
    assert closed >= 8


async def test_a_process_that_leaves_is_unready_at_once_and_still_serves_who_comes(
    shop: Shop, listener: socket.socket
) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(shop, listener) as app, aiohttp.ClientSession(url) as client:
        assert (await client.get("/health/ready")).status == 200
        await leave(app, 0)
        async with client.get("/health/ready") as ready:
            assert (ready.status, (await ready.json())["status"]) == (503, "not ready")
            assert ready.headers["Connection"] == "close"
        assert (await client.get("/api/products")).status == 200


async def test_a_connection_nobody_uses_does_not_keep_the_process(shop: Shop, listener: socket.socket) -> None:
    async with serving(shop, listener) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        await asyncio.sleep(0.05)
        await leave(app, 0)
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()


async def test_probes_and_metrics_have_a_port_of_their_own_that_no_client_can_fill(
    config: Config, clock: shops.MovableClock, listener: socket.socket, free_port: int
) -> None:
    narrow = replace(config, ops_port=free_port, connections_max=1, production=True)
    async with shops.open_shop(narrow, clock) as shop, serving(shop, listener):
        _, filling = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        await asyncio.sleep(0.05)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{free_port}") as probe:
            assert (await probe.get("/health/live")).status == 200
            assert json.loads(await (await probe.get("/health/ready")).text())["stores"] == {
                "mongodb": "up",
                "redis": "up",
            }
            metrics = await (await probe.get("/metrics")).text()
            assert "holdfast_shared_metrics_up 1.0" in metrics
            own = await (await probe.get("/metrics?part=process")).text()
            shared = await (await probe.get("/metrics?part=shared")).text()
            assert set(names(own)) | set(names(shared)) == set(names(metrics))
            assert not set(names(own)) & set(names(shared)), "or sums over processes count it more than once"
            assert "holdfast_outbox_waiting" in names(shared)
            assert "holdfast_ledger_batches" in names(own)
            assert (await probe.get("/metrics?part=half")).status == 400
            assert (await probe.get("/api/products")).status == 404
            assert (await probe.post("/health/live")).status == 405
        filling.close()


def names(exposed: str) -> list[str]:
    return [line.split()[2].removesuffix("_total") for line in exposed.splitlines() if line.startswith("# TYPE")]


async def test_the_figures_of_a_process_wait_for_no_store(
    config: Config, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shops.open_shop(config, clock) as shop:
        background = bootstrap.background(shop)
        health = health_of(shop, bootstrap.http_edge(shop), background)

        async def frozen() -> list[Any]:
            await asyncio.sleep(60)
            return []

        monkeypatch.setattr(health, "_lasting", frozen)
        monkeypatch.setattr("service.web.http.health.SHARED_SECONDS_MAX", 0.2)
        async with asyncio.timeout(0.1):
            assert b"holdfast_ledger_batches" in (await health.metrics(MetricsPart.PROCESS)).body
        assert b"holdfast_shared_metrics_up 0.0" in (await health.metrics()).body
        await background.close()


@pytest.mark.parametrize("settings", [{"production": True}, {"ops_port": 1}])
async def test_in_production_the_figures_of_trade_are_not_shown_to_everybody(
    config: Config, clock: shops.MovableClock, listener: socket.socket, settings: dict[str, int], free_port: int
) -> None:
    closed = replace(config, **settings | ({"ops_port": free_port} if "ops_port" in settings else {}))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with shops.open_shop(closed, clock) as shop, serving(shop, listener), aiohttp.ClientSession(url) as client:
        assert (await client.get("/metrics")).status == 401
        assert (await client.get("/health/live")).status == 200


async def test_a_probe_is_never_limited(config: Config, clock: shops.MovableClock, listener: socket.socket) -> None:
    tight = replace(config, rate_limit_scale=0.001)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with shops.open_shop(tight, clock) as shop, serving(shop, listener), aiohttp.ClientSession(url) as client:
        assert {(await client.get("/health/live")).status for _ in range(20)} == {200}
        assert 429 in {(await client.get("/api/products")).status for _ in range(5)}
