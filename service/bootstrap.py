"""The only composition: one `wire()` a domain, in the order in which they need each other. Importing makes nothing."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service import migrations
from service.alerts import wiring as alerts
from service.alerts.tasks import jobs as alert_jobs
from service.auth import wiring as auth
from service.auth.repository import UserRepository
from service.auth.tokens import Tokens
from service.cart import wiring as cart
from service.catalog import wiring as catalog
from service.catalog.tasks import jobs as catalog_jobs
from service.clock import Clock, SystemClock
from service.config import Config
from service.ids import Ids
from service.indexes import INDEXES
from service.infra.mongo.client import Transactions
from service.infra.redis.cache_version import Generation
from service.infra.stores import Stores, connect
from service.inventory import wiring as inventory
from service.inventory.tasks import STREAM, publish_to, states_of
from service.jobs import wiring as jobs
from service.messaging import wiring as messaging
from service.messaging.cache_invalidation import end_on_change
from service.messaging.outbox import Outbox
from service.messaging.sse_feed import FeedWriter, SseBroadcaster
from service.messaging.unit_of_work import UnitOfWork
from service.orders import wiring as orders
from service.orders.repository import OrderRepository
from service.orders.sales import Sales
from service.orders.tasks import jobs as order_jobs
from service.payments import wiring as payments
from service.payments.models import Gateway
from service.person_records import collectors, forgetting
from service.runtime import Runtime
from service.shop import Background, Domains, HttpEdge, Shop
from service.web import wiring as web
from service.web.http.shield import Shield
from service.web.security.credentials import CredentialReaders

__all__ = ["INDEXES", "Background", "HttpEdge", "Shop", "Stores", "background", "build", "connect", "http_edge", "shop"]


def build(
    config: Config,
    stores: Stores,
    clock: Clock | None = None,
    source: random.Random | None = None,
    gateway: Gateway | None = None,
) -> Shop:
    """The shop on given stores, clock, randomness and payment provider. Opens no connection."""
    clock = clock or SystemClock()
    ids, database = Ids(clock, source), stores.database
    runtime = Runtime(clock, ids, config)
    work = UnitOfWork(Transactions(stores.client, clock, ids, config), Outbox(database, clock, ids))
    users, placed = UserRepository(database), OrderRepository(database, stores.runner, config)
    stock = inventory.wire(runtime, stores, work)
    goods = catalog.wire(runtime, stores, work, stock.inventory, placed)
    carts = cart.wire(runtime, stores, work, goods.offers, stock.inventory)
    money = payments.wire(runtime, stores, gateway)
    sales = orders.wire(runtime, stores, placed, users, stock, goods.offers, carts, money.gateway)
    return Shop.of(runtime, stores, work, users, Domains(stock, goods, carts, money, sales))


def http_edge(shop: Shop) -> HttpEdge:
    """Accounts, sessions and the security layers of a shop."""
    runtime, stores, tokens = shop.runtime, shop.stores, Tokens(shop.clock, shop.ids, shop.config)
    readers = CredentialReaders(tokens, auth.key_reader(runtime, stores))
    edge, kept = web.wire(runtime, stores, readers, shop.audit_log), collectors(stores.database, shop.orders)
    accounts = auth.wire(runtime, stores, shop.work, shop.users, tokens, edge.layers.gate, kept)
    return HttpEdge(accounts, Shield(), edge.layers, edge.registry, edge.codecs, edge.cache, edge.ready)


def background(shop: Shop) -> Background:
    """Jobs, the relay of committed facts and their consumers. Opens no connection."""
    runtime, stores, work, config = shop.runtime, shop.stores, shop.work, shop.config
    notified = alerts.wire(runtime, stores, work, shop.inventory, shop.offers, shop.users, shop.buyers)
    wishlists = cart.wire_wishlists(runtime, stores, shop.offers, shop.inventory, notified.notices)
    consumers = {
        "alerts": notified.alerts.follow,
        "sessions": auth.session_alignment(runtime, stores, shop.users).follow,
        "erasures": forgetting(stores.database),
        "notices": notified.notices.follow,
        "wishlists": wishlists.follow,
        "sales": Sales(shop.buyers, shop.catalog).follow,
        "cache": end_on_change(Generation(stores.redis, shop.clock, shop.ids, config)),
        "stream": publish_to(FeedWriter(stores.redis, STREAM, config), shop.schema.current_epoch),
    }
    fills = {**auth.fills(config), **alerts.fills(config), **orders.fills(config)}
    told = messaging.wire(runtime, stores, shop.outbox, consumers, notified.guards(), fills)
    all_jobs = (
        *order_jobs(shop.expiry, shop.orders, shop.settlement, shop.refunds, told.metrics),
        *alert_jobs(notified.alerts, notified.notices),
        *catalog_jobs(shop.catalog),
    )
    work_to_do = jobs.wire(runtime, stores, all_jobs, told.dead_letters, told.metrics)
    feed = SseBroadcaster(
        stores.redis, STREAM, "stock", states_of(shop.inventory, shop.schema.current_epoch), shop.clock, config
    )
    return Background.of(notified, wishlists, work_to_do, told, feed)


@asynccontextmanager
async def shop(config: Config) -> AsyncIterator[Shop]:
    """The shop on the configured stores, once these are known to fit; drained and disconnected at the end. Raises
    SchemaMismatch."""
    stores = connect(config)
    try:
        built = build(config, stores)
        await migrations.prepare(built.schema, config, build)
        yield built
        await built.drain()
        await built.gateway.close()
    finally:
        await stores.close()
