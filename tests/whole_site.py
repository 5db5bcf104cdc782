"""The complete application on a socket of its own, called over HTTP by callers of every role."""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import shops
from sanic import Sanic

from service import bootstrap
from service.app import serving
from service.auth.models import NewUser
from service.bootstrap import Shop
from service.config import Config
from service.web.http.access import ROLES, Access
from service.web.http.operation import Operation

PASSWORD = "correct horse battery"
RANKS: dict[str, Access] = {"nobody": Access.PUBLIC, **ROLES}


@dataclass
class Route:
    method: str
    path: str
    operation: Operation


@dataclass
class WholeSite:
    shop: Shop
    app: Sanic[Any, Any]
    client: aiohttp.ClientSession
    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        found = [(route, route.ctx.operation) for route in self.app.router.routes]
        listed = [Route(operation.method, f"/{route.path}", operation) for route, operation in found]
        return sorted(listed, key=lambda route: (route.path, route.method))

    async def call(self, method: str, path: str, body: Any = None, caller: str = "", **given: Any) -> tuple[int, Any]:
        """`caller` is a role, or the name of somebody who logged in."""
        headers = dict(given.pop("headers", {}))
        if self.tokens.get(caller):
            headers["Authorization"] = f"Bearer {self.tokens[caller]}"
        async with self.client.request(method, path, json=body, headers=headers, **given) as response:
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, await response.json(content_type=None) if is_json else await response.text()

    async def log_in(self, name: str, role: str = "customer") -> None:
        email = f"{name}@example.com"
        auth = bootstrap.http_edge(self.shop).auth.accounts
        await auth.bulk_create([NewUser(email, name.title(), role)], PASSWORD)
        status, made = await self.call("POST", "/api/auth/login", {"email": email, "password": PASSWORD})
        assert status == 200, made
        self.tokens[name] = made["accessToken"]


@asynccontextmanager
async def whole_site(
    config: Config, clock: shops.MovableClock, callers: Iterable[str] = tuple(ROLES), epoch: int = 0
) -> AsyncIterator[WholeSite]:
    """One user of each role is logged in under the role's name. `epoch` is what a process has read at its start."""
    Sanic.test_mode = True  # lets one process start several applications after another
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with shops.open_shop(config, clock) as shop:
        shop.schema.epoch = epoch
        async with serving(shop, listener) as app:
            jar = aiohttp.DummyCookieJar()
            async with aiohttp.ClientSession(url, cookie_jar=jar) as client:
                site = WholeSite(shop, app, client, url)
                for role in callers:
                    await site.log_in(role, role)
                yield site
