"""What went wrong on our side can be found by the id that its client was told."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from shops import MovableClock
from whole_site import whole_site

from service.config import Config
from service.infra import log as logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The log as it is written, one object a line."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", written)
    logs.configure(Config())
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_an_error_is_logged_with_the_id_of_its_request(config: Config, clock: MovableClock, lines: Any) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    async with whole_site(config, clock, callers=["customer"]) as site:
        site.shop.catalog._repository.brands = breaks  # type: ignore[method-assign]
        status, problem = await site.call("GET", "/api/products/brands")
        assert status == 500
        [line] = [line for line in lines() if line["level"] == "error"]
        assert (line["requestId"], "the disk is full" in line["exception"]) == (problem["requestId"], True)


async def test_what_goes_wrong_after_its_client_has_left_is_logged_with_the_id_too(
    config: Config, clock: MovableClock, lines: Any
) -> None:
    begun = asyncio.Event()

    async def breaks(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        raise RuntimeError("the disk is full")

    async with whole_site(config, clock, callers=["customer"]) as site:
        site.shop.orders.checkout = breaks  # type: ignore[method-assign]
        headers = {"X-Request-ID": "left-early-1", "Authorization": f"Bearer {site.tokens['customer']}"}
        body = {"items": [{"sku": "TEA", "quantity": 1}]}
        timeout = aiohttp.ClientTimeout(total=0.15)
        with pytest.raises(TimeoutError):
            await site.client.post("/api/orders/", json=body, headers=headers, timeout=timeout)
        assert begun.is_set()
        await asyncio.sleep(0.4)
        assert "left-early-1" in [line.get("requestId") for line in lines() if line["level"] == "error"]
