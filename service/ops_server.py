"""Probes and metrics on a port of their own: no client's connections, limits or credentials stand in their way, and the
open one need not show them. Every API process listens on it, so a probe asks one of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from service.config import Config
from service.infra import json
from service.web.http.health import Health, MetricsPart
from service.web.http.operation import Reply

CLOSE_SECONDS_MAX = 1
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving_ops(health: Health, config: Config) -> AsyncIterator[None]:
    """Listens at `ops_host` and `ops_port`, or nowhere when that is 0."""
    if not config.ops_port:
        yield
        return
    app = web.Application(client_max_size=1)
    for path, answer in {"/health/live": health.live, "/health/ready": health.ready}.items():
        app.router.add_get(path, _handler(answer))
    app.router.add_get("/metrics", _metrics(health))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS_MAX)
    await runner.setup()
    await web.TCPSite(runner, config.ops_host, config.ops_port, reuse_port=True).start()
    try:
        yield
    finally:
        await runner.cleanup()


def _handler(answer: Callable[[], Awaitable[Reply]]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return _response(await answer())

    return handle


def _metrics(health: Health) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            part = MetricsPart(request.query.get("part", MetricsPart.ALL))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"part is one of {', '.join(MetricsPart)}") from error
        return _response(await health.metrics(part))

    return handle


def _response(reply: Reply) -> web.Response:
    body = reply.body if isinstance(reply.body, bytes) else json.encode(reply.body)
    headers = {"Content-Type": reply.content_type, "Cache-Control": "no-store"}
    return web.Response(body=body, status=reply.status, headers=headers)
