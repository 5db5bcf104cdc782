"""One API process of a comparison, on an inherited socket: python -m benchmarks.layers.api KIND --fd FD

framework  Sanic, and routes that answer with as many bytes as they are asked for: /bytes/N
bare       the shop's own routes on Sanic's own server: no layer, and who calls is believed
layers     the service as it is
uncached   the service, where every answer is made anew"""

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jwt
import uvloop
from sanic import HTTPResponse, Request, Sanic

from benchmarks.layers.sampling import Sampler
from service import app as service_app
from service import bootstrap, config
from service.config import Config
from service.infra import garbage
from service.infra.redis.response_cache import Cache, CachedResponse, Make
from service.web.http.access import Principal


async def framework(settings: Config, listener: socket.socket, sizes: Sequence[int]) -> None:
    app: Sanic[Any, Any] = Sanic("framework", configure_logging=False, log_config=None, env_prefix=None)
    app.config.ACCESS_LOG = False
    for size in sizes:
        app.add_route(_constant(b"x" * size), f"/bytes/{size}", name=f"bytes_{size}")
    async with _served(app, listener):
        await _told_to_stop()


def _constant(body: bytes) -> Any:
    async def handle(request: Request) -> HTTPResponse:
        return HTTPResponse(body, 200, None, "application/json")

    return handle


async def bare(settings: Config, listener: socket.socket, sizes: Sequence[int]) -> None:
    async with bootstrap.shop(settings) as shop:
        app = service_app.create_app(shop, bootstrap.http_edge(shop), bootstrap.background(shop))
        of_callers = [route.name for route in app.router.routes if route.path.startswith("api/orders")]
        app.register_named_middleware(_believe, of_callers, "request")
        async with _served(app, listener):
            await _told_to_stop()


async def _believe(request: Request) -> None:
    request.ctx.principal = _named(request.headers["authorization"])


@lru_cache
def _named(authorization: str) -> Principal:
    claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
    return Principal(claims["sub"], "customer", claims["sid"], "bearer")


async def layers(settings: Config, listener: socket.socket, sizes: Sequence[int]) -> None:
    await service_app.run(settings, listener)


async def uncached(settings: Config, listener: socket.socket, sizes: Sequence[int]) -> None:
    with _no_cache():
        await service_app.run(settings, listener)


@contextmanager
def _no_cache() -> Iterator[None]:
    async def make_anew(self: Cache, key: bytes, make: Make) -> CachedResponse:
        return await make()

    with patch.object(Cache, "get", make_anew):
        yield


@asynccontextmanager
async def _served(app: Sanic[Any, Any], listener: socket.socket) -> AsyncIterator[None]:
    """On Sanic's own protocol, as `Sanic.create_server` has it."""
    server = await app.create_server(sock=listener, return_asyncio_server=True, access_log=False)
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    garbage.freeze_gc()  # as the service does, or the comparison would be of collectors
    try:
        yield
    finally:
        server.close()
        for connection in list(server.connections):
            connection.abort()


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


KINDS = {each.__name__: each for each in (framework, bare, layers, uncached)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=())
    arguments = parser.parse_args()
    Sampler(arguments.profile).install()
    with contextlib.closing(socket.socket(fileno=arguments.fd)) as listener:
        uvloop.run(KINDS[arguments.kind](config.load(), listener, arguments.sizes))


if __name__ == "__main__":
    main()
