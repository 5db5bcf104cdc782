"""The security layers in front of accounts and of routes that only say who called: everything real but the shop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry
from sanic import Blueprint, Sanic
from sanic.server.async_server import AsyncioServer

from service.auth.accounts import Accounts
from service.auth.api_key_routes import routes as api_key_routes
from service.auth.api_keys import ApiKeys
from service.auth.indexes import INDEXES
from service.auth.repository import UserRepository
from service.auth.routes import routes as auth_routes
from service.auth.tokens import Tokens, mail_token
from service.auth.usecases import Auth
from service.auth.wiring import key_reader, wire
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.mongo import client as mongo
from service.infra.mongo.client import Transactions
from service.infra.mongo.indexes import create_all
from service.infra.redis import client as redis
from service.infra.stores import Stores
from service.messaging.outbox import Outbox
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime
from service.web.audit.log import AuditLog
from service.web.audit.routes import routes as audit_routes
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, Wire, operation
from service.web.http.shield import Shield
from service.web.security.credentials import CredentialReaders
from service.web.security.layers import Layers, setup_layers
from service.web.security.metrics import SecurityMetrics

PASSWORD = "correct horse battery"


class Body(Wire):
    text: str = ""
    extra: Any = None


class Query(Wire):
    q: str = ""


@dataclass
class Answer:
    status: int
    headers: Any
    text: str
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Guarded:
    """A running server and what is behind it."""

    config: Config
    database: Any
    redis: Any
    auth: Auth
    accounts: Accounts
    api_keys: ApiKeys
    layers: Layers
    audit_log: AuditLog
    registry: CollectorRegistry
    server: AsyncioServer
    port: int
    client: aiohttp.ClientSession
    done: list[str]

    async def call(self, method: str, path: str, body: Any = None, token: str = "", **given: Any) -> Answer:
        headers = dict(given.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.request(method, path, json=body, headers=headers, **given) as response:
            cookies = {name: morsel.value for name, morsel in response.cookies.items()}
            return Answer(response.status, response.headers, await response.text(), cookies)

    async def register(self, email: str = "ada@example.com", name: str = "Ada") -> dict[str, Any]:
        answer = await self.call("POST", "/api/auth/register", {"email": email, "password": PASSWORD, "name": name})
        assert answer.status == 201, answer.text
        return dict(answer.json)

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD) -> Answer:
        return await self.call("POST", "/api/auth/login", {"email": email, "password": password})

    async def token(self, role: str, email: str = "") -> str:
        """The access token of a new user of that role."""
        made = await self.register(email or f"{role}-{uuid4().hex[:8]}@example.com")
        if role != "customer":
            await self.accounts.change_role(made["user"]["id"], role)
        return str(made["accessToken"])

    async def mailed_token(self, template: str, email: str) -> str:
        """The newest mail of that kind to that address, and the token in its link."""
        for _ in range(100):
            entries = await self.database["outbox"].find().sort("_id", -1).to_list(None)
            facts = [fact for entry in entries for fact in entry["facts"]]
            for fact in facts:
                if fact.get("template") == template and fact["to"] == email:
                    return mail_token(self.config.key("mail token"), fact["values"]["ticket"])
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {template} mail to {email}")

    def events(self, event: str) -> float:
        return self.registry.get_sample_value("holdfast_security_events_total", {"event": event}) or 0.0

    async def raw(self, data: bytes, seconds: float = 5) -> bytes:
        """What comes back for exactly these bytes, until the server closes or falls silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            writer.write(data)
            async with asyncio.timeout(seconds):
                while chunk := await reader.read(65_536):
                    received += chunk
        except TimeoutError:
            pass
        finally:
            writer.close()
        return received


def probe_routes(done: list[str]) -> Blueprint:
    """`/api/probe/<who>` for every access level, by GET and by POST; handlers that take their time."""
    blueprint = Blueprint("probe", url_prefix="/api/probe")
    for access in Access:
        _probe(blueprint, access, "GET", Query)
        _probe(blueprint, access, "POST", Body)
    _probe(blueprint, Access.STAFF, "GET", Query, "/stock", scope="stock:read")
    _probe(blueprint, Access.STAFF, "POST", Body, "/stock", scope="stock:write")
    _probe(blueprint, Access.PUBLIC, "POST", Body, "/guest", guest=True)
    _probe(blueprint, Access.CUSTOMER, "POST", Body, "/checkout", limit="checkout")

    @operation(blueprint, "POST", "/slow", "Takes a moment", returns={200: None}, access=Access.PUBLIC)
    async def slow(call: Call[Nothing]) -> Reply:
        await asyncio.sleep(0.3)
        done.append("slow")
        return Reply(200)

    @operation(blueprint, "GET", "/wait", "Takes a moment", returns={200: None}, access=Access.PUBLIC)
    async def wait(call: Call[Nothing]) -> Reply:
        await asyncio.sleep(0.3)
        done.append("wait")
        return Reply(200)

    return blueprint


def _probe(
    blueprint: Blueprint, access: Access, method: str, takes: type[Wire], path: str = "", **options: Any
) -> None:
    async def probe(call: Call[Any]) -> Reply:
        caller = call.caller
        return Reply(200, {"caller": caller and caller.user_id, "role": caller and caller.role})

    path = path or f"/{access.name.lower()}"
    probe.__name__ = f"probe_{method}_{path[1:]}".lower()
    declare = operation(
        blueprint, method, path, "Who called", takes=takes, returns={200: None}, access=access, **options
    )
    declare(probe)


@asynccontextmanager
async def guarded(config: Config, clock: Clock) -> AsyncIterator[Guarded]:
    client, redis_client = mongo.connect(config), redis.connect(config)
    database, ids = client[config.database], Ids(clock)
    tokens, shield = Tokens(clock, ids, config), Shield()
    audit_log, registry = AuditLog(database, clock, ids, config), CollectorRegistry()
    stores, runtime = Stores(client, database, redis_client), Runtime(clock, ids, config)
    readers = CredentialReaders(tokens, key_reader(runtime, stores))
    layers = Layers(config, clock, ids, readers, audit_log, SecurityMetrics(registry))
    work = UnitOfWork(Transactions(client, clock, ids, config), Outbox(database, clock, ids))
    domain = wire(runtime, stores, work, UserRepository(database), tokens, layers.gate)
    await create_all(database, INDEXES)
    done: list[str] = []
    app: Sanic[Any, Any] = Sanic(f"guarded-{uuid4().hex}", configure_logging=False, log_config=None, env_prefix=None)
    app.config.ACCESS_LOG = app.config.TOUCHUP = False
    app.config.REQUEST_MAX_SIZE = config.request_body_file_bytes
    app.ctx.shield = shield
    app.error_handler.add(Exception, layers.answer)
    app.blueprint(auth_routes(domain, layers, shield, config))
    app.blueprint(api_key_routes(domain.api_keys))
    app.blueprint(audit_routes(audit_log))
    app.blueprint(probe_routes(done))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await app.create_server(
        sock=listener, protocol=setup_layers(app, layers), return_asyncio_server=True, access_log=False
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    jar = aiohttp.DummyCookieJar()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as http:
            yield Guarded(
                config,
                database,
                redis_client,
                domain.auth,
                domain.accounts,
                domain.api_keys,
                layers,
                audit_log,
                registry,
                server,
                port,
                http,
                done,
            )
    finally:
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.abort()
        await shield.drain(1)
        await layers.close()
        await server.after_stop()
        domain.passwords.close()
        await asyncio.to_thread(client.close)  # it says goodbye to a store that may be a proxy in this loop
        await redis_client.aclose()
