"""Probes and metrics on a port of their own: no client's connections, limits or credentials stand in their way, and the
open one need not show them. Every API process listens on it, so a probe asks one of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from service.config import Config
from service.infra import json
from service.web.http.health import Health
from service.web.http.operation import Reply

CLOSE_SECONDS_MAX = 1


@asynccontextmanager
async def serving_ops(health: Health, config: Config) -> AsyncIterator[None]:
    """Listens at `ops_host` and `ops_port`, or nowhere when that is 0."""
    if not config.ops_port:
        yield
        return
    app = web.Application(client_max_size=1)
    for path, answer in {
        "/health/live": health.live,
        "/health/ready": health.ready,
        "/metrics": health.metrics,
    }.items():
        app.router.add_get(path, _handler(answer))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS_MAX)
    await runner.setup()
    await web.TCPSite(runner, config.ops_host, config.ops_port, reuse_port=True).start()
    try:
        yield
    finally:
        await runner.cleanup()


def _handler(answer: Callable[[], Awaitable[Reply]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        reply = await answer()
        body = reply.body if isinstance(reply.body, bytes) else json.encode(reply.body)
        headers = {"Content-Type": reply.content_type, "Cache-Control": "no-store"}
        return web.Response(body=body, status=reply.status, headers=headers)

    return handle
