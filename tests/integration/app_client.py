"""Blueprints behind a bare server, called over real HTTP by whoever the test says is calling."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp
from sanic import Blueprint, Request, Sanic

from service.web.http import problems
from service.web.http.access import Principal
from service.web.http.shield import Shield

STAFF = Principal("staff-1", "staff", "session-1", "bearer")
CUSTOMER = Principal("customer-1", "customer", "session-2", "bearer")


@asynccontextmanager
async def served(
    blueprints: Sequence[Blueprint], caller: Principal | None = STAFF
) -> AsyncIterator[aiohttp.ClientSession]:
    """The caller of a request is `caller`, or the customer its X-Customer header names."""
    app = Sanic(f"test-{uuid4().hex}", configure_logging=False, log_config=None, env_prefix=None)
    app.config.ACCESS_LOG = app.config.TOUCHUP = False
    app.error_handler.add(Exception, problems.respond)
    app.ctx.shield = Shield()
    for blueprint in blueprints:
        app.blueprint(blueprint)

    @app.on_request
    async def identify(request: Request) -> None:
        name = request.headers.get("x-customer")
        request.ctx.principal = Principal(name, "customer", "session", "bearer") if name else caller

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await app.create_server(sock=listener, return_asyncio_server=True, access_log=False)
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.abort()
        await server.after_stop()
