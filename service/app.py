"""The HTTP service: `create_app` makes it from a wired shop, `serve` runs it on a socket until told to stop.

Run by the supervisor as `python -m service.app --fd FD`, one process per worker on a shared listening socket.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import uvloop
from sanic import Blueprint, Sanic
from sanic.server.async_server import AsyncioServer

from service import bootstrap, startup
from service.alerts.routes import routes as alerts_routes
from service.auth.api_key_routes import routes as api_key_routes
from service.auth.routes import routes as auth_routes
from service.bootstrap import Background, HttpEdge, Shop
from service.cart.routes import routes as cart_routes
from service.cart.routes import wishlist_routes
from service.catalog.routes import routes as catalog_routes
from service.config import Config
from service.infra import garbage, json
from service.inventory.metrics import LedgerMetrics
from service.inventory.routes import routes as inventory_routes
from service.inventory.routes import stream_routes
from service.jobs.routes import routes as jobs_routes
from service.migration.metrics import SchemaMetrics
from service.ops_server import serving_ops
from service.orders.buyers import Buyers
from service.orders.coupon_routes import routes as coupon_routes
from service.orders.guest_links import GuestLinks
from service.orders.overview import Overview
from service.orders.return_routes import routes as return_routes
from service.orders.routes import routes as orders_routes
from service.orders.routes import webhook_routes
from service.orders.simulator_routes import routes as simulator_routes
from service.pages import account, buying, docs, notices, ops, second_factor, security_txt, storefront
from service.pages.account import Account
from service.pages.api import Api
from service.pages.buying import Buying
from service.pages.errors import ErrorPages
from service.pages.errors import routes as error_pages
from service.pages.ops import Ops
from service.pages.render import Pages
from service.pages.static_files import StaticFiles
from service.pages.storefront import Storefront
from service.payments.simulator import SimulatedGateway
from service.presence import presence
from service.web.audit.routes import routes as audit_routes
from service.web.http.access import Access
from service.web.http.compress import setup_compress
from service.web.http.health import Health
from service.web.http.health import routes as health_routes
from service.web.openapi.routes import Published
from service.web.openapi.routes import routes as openapi_routes
from service.web.security.guest import Guests
from service.web.security.layers import setup_layers

App = Sanic[Any, Any]

_app_numbers = itertools.count()
BACKLOG = 4_096
IDLE_SECONDS = 0.5


def create_app(shop: Shop, edge: HttpEdge, background: Background, health: Health | None = None) -> App:
    """The application on a wired shop. Nothing is shared between two of them, so a process may hold several."""
    app = Sanic(
        f"holdfast-{next(_app_numbers)}", configure_logging=False, dumps=json.encode, log_config=None, env_prefix=None
    )
    _limit(app, shop.config)
    app.error_handler.add(Exception, edge.layers.answer)
    app.ctx.shield = edge.shield
    app.ctx.health = health = health or health_of(shop, edge, background)
    for blueprint in (*_blueprints(app, shop, edge, background), health_routes(health, _metrics_for(shop.config))):
        app.blueprint(blueprint)
    setup_compress(app, edge.codecs)
    return app


def _blueprints(app: App, shop: Shop, edge: HttpEdge, background: Background) -> list[Blueprint]:
    static_files = StaticFiles()
    pages = Pages(static_files, edge.layers.csrf, shop.clock, shop.ids, shop.config)
    app.ctx.problem_page = pages.problem
    guests = Guests(shop.ids, shop.config)
    buyers = Buyers(shop.orders, guests, GuestLinks(shop.config))
    return [
        alerts_routes(background.alerts, background.notices),
        audit_routes(shop.audit_log),
        api_key_routes(edge.auth.api_keys),
        auth_routes(edge.auth, edge.layers, edge.shield, shop.config),
        catalog_routes(shop.catalog, shop.search, shop.suggestions, shop.reviews, edge.ready, shop.config),
        inventory_routes(shop.inventory, shop.clock, shop.config),
        jobs_routes(background.jobs, background.dead_letters),
        stream_routes(background.feed),
        *_pages(shop, edge, background, pages, static_files, guests, buyers),
        cart_routes(shop.carts, guests),
        wishlist_routes(background.wishlists),
        return_routes(shop.returns, buyers, shop.clock, shop.config),
        orders_routes(shop.orders, shop.settlement, shop.refunds, buyers, shop.clock, shop.config),
        webhook_routes(shop.settlement, shop.webhooks),
        *_simulator(shop),
        coupon_routes(shop.coupons),
    ]


def _simulator(shop: Shop) -> list[Blueprint]:
    gateway = shop.gateway
    return [simulator_routes(gateway, shop.settlement)] if isinstance(gateway, SimulatedGateway) else []


def health_of(shop: Shop, edge: HttpEdge, background: Background) -> Health:
    edge.registry.register(LedgerMetrics(shop.ledger, shop.transactions))
    edge.registry.register(SchemaMetrics(shop.schema))
    pings = {"mongodb": lambda: shop.stores.client.admin.command("ping"), "redis": shop.stores.redis.ping}
    return Health(pings, edge.registry, background.backlogs.families)


def _metrics_for(settings: Config) -> Access:
    """Figures of the shop's trade are nobody's business: in production they are on the ops port, and here for staff."""
    return Access.STAFF if settings.production or settings.ops_port else Access.PUBLIC


def _pages(
    shop: Shop,
    edge: HttpEdge,
    background: Background,
    pages: Pages,
    static_files: StaticFiles,
    guests: Guests,
    buyers: Buyers,
) -> list[Blueprint]:
    """The pages, and the document of the API with the page that shows it."""

    def counters() -> dict[str, int]:
        group = shop.ledger.group
        return {"batches": group.batches, "postings": group.items, "retries": shop.transactions.retries}

    api, config = Api(), shop.config
    accounts = Account(pages, api, shop.carts, guests)
    overview = Overview(shop.stores.database, shop.clock, config.reservation_ttl_seconds)
    published = Published(edge.layers.cookies.names, metadata.version("holdfast"), edge.codecs)
    return [
        static_files.routes(),
        storefront.routes(Storefront(shop.catalog, shop.search, api, pages, config)),
        buying.routes(Buying(pages, api, shop.carts, guests, shop.orders, shop.offers, buyers, config)),
        account.routes(accounts),
        second_factor.routes(accounts),
        ops.routes(Ops(overview, counters, shop.inventory, background.alerts, api, pages)),
        docs.routes(published, pages),
        error_pages(ErrorPages(pages)),
        notices.routes(background.notices, pages),
        openapi_routes(published),
        security_txt.routes(shop.clock, shop.config),
    ]


def _limit(app: App, settings: Config) -> None:
    app.config.REQUEST_MAX_SIZE = settings.request_body_file_bytes
    app.config.REQUEST_MAX_HEADER_SIZE = settings.request_head_max_bytes
    app.config.REQUEST_TIMEOUT = settings.request_seconds_max
    app.config.RESPONSE_TIMEOUT = settings.request_seconds_max
    app.config.ACCESS_LOG = False
    app.config.FALLBACK_ERROR_FORMAT = "json"


@asynccontextmanager
async def serving(shop: Shop, listener: socket.socket) -> AsyncIterator[App]:
    """Serves on `listener`; at the end stops accepting and lets running requests finish."""
    edge = bootstrap.http_edge(shop)
    background = bootstrap.background(shop)
    health = health_of(shop, edge, background)
    app = create_app(shop, edge, background, health)
    server = await app.create_server(
        sock=listener,
        protocol=setup_layers(app, edge.layers),
        return_asyncio_server=True,
        access_log=False,
        backlog=BACKLOG,
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    try:
        async with serving_ops(health, shop.config):
            yield app
    finally:
        await server.before_stop()
        server.close()
        await _finish_requests(server, shop.config.shutdown_grace_seconds)
        await edge.drain(shop.config.shutdown_grace_seconds)
        await background.close()
        await server.after_stop()


async def leave(app: App, notice_seconds: float) -> None:
    """Tells everybody before anything is closed: unready for the balancer, and each answer the last of its
    connection; meanwhile whoever comes is still served."""
    app.ctx.health.stopping = app.ctx.layers.stopping = True
    await asyncio.sleep(notice_seconds)


async def _finish_requests(server: AsyncioServer, grace_seconds: float) -> None:
    """A connection that has just been used may carry the next request already: it goes when that has been answered,
    or when nothing has come for a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            while server.connections:
                for connection in list(server.connections):
                    idle = connection.idle_seconds()
                    if idle is not None and idle >= IDLE_SECONDS:
                        connection.close_if_idle()
                await asyncio.sleep(0.02)
    for connection in list(server.connections):
        connection.abort()


async def run(settings: Config, listener: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        bootstrap.shop(settings) as shop,
        presence(shop.stores, settings.app_name),
        serving(shop, listener) as app,
    ):
        garbage.freeze_gc()
        await stop.wait()
        await leave(app, settings.shutdown_notice_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="The HTTP service on an inherited or a new socket")
    parser.add_argument("--fd", type=int, help="a listening socket's file descriptor")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    settings = startup.configured()
    with contextlib.closing(_listener(arguments)) as listener, startup.refusals():
        uvloop.run(run(settings, listener))


def _listener(arguments: argparse.Namespace) -> socket.socket:
    if arguments.fd is not None:
        return socket.socket(fileno=arguments.fd)
    return socket.create_server((arguments.host, arguments.port), backlog=BACKLOG)


if __name__ == "__main__":
    main()
