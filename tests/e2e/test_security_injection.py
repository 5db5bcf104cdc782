"""NoSQL injection over every parameter of every route, by the caller who may do most: nothing gets through, nothing
breaks, no document changes. HOLDFAST_INJECTIONS sets how many payloads are tried; 0 tries all there are."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import shops
from injections import STRINGS, Attack, attacks
from whole_site import PASSWORD, Route, WholeSite, whole_site

from service.config import Config
from service.web.openapi.schemas import components, example

PAYLOADS = int(os.environ.get("HOLDFAST_INJECTIONS", "2200"))
AT_ONCE = 16
ENDS_SESSIONS = {"/api/auth/logout", "/api/auth/sessions/end"}
STREAM = "/api/inventory/stream"
FOREIGN = "/api/orders/webhooks/payment"  # a provider's signed document: its keys are its own
OF_THE_LAYERS = {"audit_log", "audit_heads"}


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[WholeSite]:
    async with whole_site(replace(config, rate_limit_scale=10_000), clock) as opened:
        await shops.stock(opened.shop, TEA=10)
        yield opened


def attacks_on(route: Route, source: random.Random) -> list[Attack]:
    takes = route.operation.takes
    if route.path in ENDS_SESSIONS | {STREAM, FOREIGN}:
        return []
    fields = [field.encode_name for field in msgspec.structs.fields(takes)]
    body = None
    if route.operation.takes_body:
        (schema,), named = components([takes])
        body = example(schema, named)
    return list(attacks(route.method, route.path, fields, body, source))


async def state(site: WholeSite) -> dict[str, Any]:
    database = site.shop.stores.database
    names = set(await database.list_collection_names()) - OF_THE_LAYERS
    return {name: await database[name].find().sort("_id", 1).to_list(None) for name in sorted(names)}


async def fire(site: WholeSite, attack: Attack) -> int:
    headers = {"Authorization": f"Bearer {site.tokens['admin']}", "Content-Type": "application/json"}
    target = attack.path
    async with site.client.request(
        attack.method, _encoded(site.url + target), data=attack.body, headers=headers
    ) as response:
        await response.read()
        return response.status


def _encoded(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)


async def test_no_operator_gets_through_anywhere(site: WholeSite) -> None:
    source = random.Random(20_260_501)
    found = [attack for route in site.routes() for attack in attacks_on(route, source)]
    chosen = found if PAYLOADS == 0 else source.sample(found, min(PAYLOADS, len(found)))
    assert len(chosen) >= min(PAYLOADS or 2_000, 2_000)
    before = await state(site)
    wrong: list[tuple[int, str, str, str]] = []
    queue = iter(chosen)

    async def work() -> None:
        for attack in queue:
            status = await fire(site, attack)
            if status >= 500 or (status < 400 and not attack.text):
                wrong.append((status, attack.method, attack.path, attack.what))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    assert wrong == []
    assert await state(site) == before


async def test_no_string_logs_anybody_in(site: WholeSite) -> None:
    for text in STRINGS:
        for body in ({"email": text, "password": PASSWORD}, {"email": "admin@example.com", "password": text}):
            status, _ = await site.call("POST", "/api/auth/login", body)
            assert status in {400, 401, 422, 429}, (body, status)
