"""A worker says whether it lives, on a port of its own."""

import socket
from dataclasses import replace

import aiohttp
import shops

from service import bootstrap, worker
from service.config import Config


async def test_a_worker_answers_probes_where_it_was_told_to(config: Config, clock: shops.MovableClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with shops.open_shop(replace(config, worker_ops_port=port), clock) as shop:
        background = bootstrap.background(shop)
        async with worker._serving_ops(shop, background), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in ("/health/live", "/health/ready", "/metrics"):
                async with client.get(path) as answer:
                    assert answer.status == 200, path
        await background.close()


async def test_without_a_port_it_listens_nowhere(config: Config, clock: shops.MovableClock) -> None:
    async with shops.open_shop(config, clock) as shop:
        background = bootstrap.background(shop)
        async with worker._serving_ops(shop, background):
            pass
        await background.close()
