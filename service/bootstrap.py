"""The only wiring: everything is constructed here, nothing at import."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from service.alerts.indexes import INDEXES as ALERTS_INDEXES
from service.alerts.recipient_repository import RecipientRepository
from service.alerts.recipients import CONFIRMATION, NoticeLinks, Recipients
from service.alerts.repository import AlertRepository, SubscriptionRepository
from service.alerts.tasks import jobs as alert_jobs
from service.alerts.usecases import BACK_IN_STOCK, Alerts, Notices
from service.auth import wiring as auth_wiring
from service.auth.indexes import INDEXES as AUTH_INDEXES
from service.auth.mails import RESET, VERIFICATION
from service.auth.repository import UserRepository
from service.auth.tokens import MAIL_TOKEN, Tokens, mail_token
from service.auth.wiring import AuthDomain
from service.cart.indexes import INDEXES as CART_INDEXES
from service.cart.repository import CartRepository, WishlistRepository
from service.cart.usecases import Carts
from service.cart.wishlists import Wishlists
from service.catalog.indexes import INDEXES as CATALOG_INDEXES
from service.catalog.offers import Offers
from service.catalog.popularity import Popularity
from service.catalog.product_reads import ProductReads
from service.catalog.repository import CatalogRepository
from service.catalog.review_repository import ReviewRepository
from service.catalog.reviews import Reviews
from service.catalog.search.cache import SearchMemory
from service.catalog.search.repository import SearchRepository
from service.catalog.search.suggestions import Suggestions
from service.catalog.search.usecases import Search
from service.catalog.search.vocabulary import Vocabulary
from service.catalog.tasks import jobs as catalog_jobs
from service.catalog.usecases import Catalog
from service.clock import Clock, SystemClock
from service.config import Config
from service.ids import Ids
from service.infra.lasting_metrics import LastingMetrics
from service.infra.mongo import client as mongo
from service.infra.mongo.client import Transactions
from service.infra.mongo.commands import OneThread, Sender
from service.infra.mongo.indexes import Index, reconcile
from service.infra.mongo.lease import Lease
from service.infra.redis import client as redis
from service.infra.redis.cache_version import Generation
from service.infra.redis.response_cache import Cache
from service.inventory.indexes import INDEXES as INVENTORY_INDEXES
from service.inventory.ledger import Ledger
from service.inventory.repository import Bookkeeping, InventoryRepository
from service.inventory.tasks import STREAM, publish_to, states_of
from service.inventory.usecases import Inventory
from service.jobs.broker import JobQueue, StreamBroker
from service.jobs.repository import INDEXES as JOB_INDEXES
from service.jobs.repository import JobRuns
from service.jobs.runner import JobRunner
from service.jobs.scheduler import Scheduler
from service.jobs.usecases import Jobs
from service.messaging.backlogs import Backlogs
from service.messaging.cache_invalidation import end_on_change
from service.messaging.dead_letters import INDEXES as DEAD_LETTER_INDEXES
from service.messaging.dead_letters import DeadLetters
from service.messaging.deliveries import INDEXES as DELIVERY_INDEXES
from service.messaging.deliveries import Deliveries, Send
from service.messaging.mail import Fill, Mailer, mails
from service.messaging.outbox import INDEXES as OUTBOX_INDEXES
from service.messaging.outbox import Fact, Outbox
from service.messaging.relay import Consumer, Relay
from service.messaging.sse_feed import Feed, FeedWriter
from service.messaging.webhooks import WebhookSender, to_tell
from service.orders.coupons import Coupons
from service.orders.expiry import Expiry
from service.orders.hold_limits import HoldLimits
from service.orders.indexes import INDEXES as ORDERS_INDEXES
from service.orders.refunds import Refunds
from service.orders.repository import CouponRepository, OrderRepository
from service.orders.sales import Sales
from service.orders.settlement import Settlement
from service.orders.tasks import jobs as order_jobs
from service.orders.usecases import Orders
from service.payments.indexes import INDEXES as PAYMENTS_INDEXES
from service.payments.models import EventReader, Gateway
from service.payments.repository import AttemptRepository, EventRepository
from service.payments.simulator import SimulatedGateway
from service.payments.webhooks import SimulatedEvents, Webhooks
from service.person_records import collectors, forgetting
from service.web.audit.log import AuditLog
from service.web.http.compress import Codecs, build_codecs
from service.web.http.ready import ReadyReplies
from service.web.http.shield import Shield
from service.web.security.layers import Layers
from service.web.security.metrics import SecurityMetrics

INDEXES: tuple[Index, ...] = (
    *ALERTS_INDEXES,
    *AUTH_INDEXES,
    *DEAD_LETTER_INDEXES,
    *DELIVERY_INDEXES,
    *JOB_INDEXES,
    *OUTBOX_INDEXES,
    *CATALOG_INDEXES,
    *CART_INDEXES,
    *INVENTORY_INDEXES,
    *ORDERS_INDEXES,
    *PAYMENTS_INDEXES,
)


@dataclass(frozen=True, slots=True)
class Stores:
    """The connected stores. The simulation brings its own."""

    client: Any
    database: Any
    redis: Any
    sender: Sender | None = None


@dataclass(frozen=True, slots=True)
class Shop:
    """Every use case, ready to be called by routes, tasks, commands and the simulation."""

    config: Config
    clock: Clock
    ids: Ids
    stores: Stores
    transactions: Transactions
    outbox: Outbox
    audit_log: AuditLog
    ledger: Ledger
    inventory: Inventory
    offers: Offers
    catalog: Catalog
    search: Search
    suggestions: Suggestions
    reviews: Reviews
    gateway: Gateway
    webhooks: Webhooks
    carts: Carts
    coupons: Coupons
    orders: Orders
    settlement: Settlement
    refunds: Refunds
    expiry: Expiry

    async def drain(self) -> None:
        """Waits for what was accepted and is not committed yet."""
        await self.ledger.drain()


@dataclass(frozen=True, slots=True)
class Front:
    """What stands between the wire and the use cases. It needs Redis; the shop behind it does not."""

    auth: AuthDomain
    layers: Layers
    shield: Shield
    registry: CollectorRegistry
    codecs: Codecs
    cache: Cache
    ready: ReadyReplies

    async def drain(self, grace_seconds: float) -> None:
        await self.shield.drain(grace_seconds)
        await self.cache.close()
        await self.layers.close()
        self.auth.passwords.close()


@dataclass(frozen=True, slots=True)
class Background:
    """What happens behind the requests. The API asks and shows, a worker does it, a scheduler says when."""

    alerts: Alerts
    notices: Notices
    wishlists: Wishlists
    jobs: Jobs
    runner: JobRunner
    broker: StreamBroker
    scheduler: Scheduler
    relay: Relay
    deliveries: Deliveries
    dead_letters: DeadLetters
    metrics: LastingMetrics
    backlogs: Backlogs
    feed: Feed

    async def close(self) -> None:
        await self.broker.shutdown()


def connect(config: Config) -> Stores:
    client = mongo.connect(config)
    return Stores(client, client[config.database], redis.connect(config))


def build(
    config: Config,
    stores: Stores,
    clock: Clock | None = None,
    source: random.Random | None = None,
    gateway: Gateway | None = None,
) -> Shop:
    """The shop on given stores, clock, randomness and payment provider. Opens no connection."""
    clock = clock or SystemClock()
    ids = Ids(clock, source)
    database = stores.database
    transactions = Transactions(stores.client, clock, ids, config)
    outbox = Outbox(database, clock, ids)
    sender = _sender(stores)
    books = Bookkeeping(sender, config)
    ledger = Ledger(books, transactions, outbox, clock, config)
    inventory = Inventory(InventoryRepository(database), ledger, clock, config)
    offers = Offers(database, sender, config)
    products, vocabulary = CatalogRepository(database), Vocabulary(database)
    reads = ProductReads(products, config)
    walks = SearchRepository(database, config.search_window_max)
    popularity = Popularity(database, products, reads)
    catalog = Catalog(
        products, reads, vocabulary, popularity, offers, inventory, transactions, outbox, clock, ids, config
    )
    provider, events = _payments(config, database, clock)
    gateway = gateway or provider
    carts = Carts(CartRepository(database), offers, inventory, transactions, clock, config)
    coupons = Coupons(CouponRepository(database), clock)
    order_repository = OrderRepository(database, sender, config)
    limits = HoldLimits(UserRepository(database), config)
    orders = Orders(order_repository, ledger, offers, limits, coupons, carts, clock, ids, config)
    return Shop(
        config=config,
        clock=clock,
        ids=ids,
        stores=stores,
        transactions=transactions,
        outbox=outbox,
        audit_log=AuditLog(database, clock, ids, config),
        ledger=ledger,
        inventory=inventory,
        offers=offers,
        catalog=catalog,
        search=Search(walks, reads, vocabulary, SearchMemory(clock, config), config),
        suggestions=Suggestions(walks, reads, vocabulary, config),
        reviews=Reviews(ReviewRepository(database), catalog, order_repository, transactions, clock, ids),
        gateway=gateway,
        webhooks=Webhooks(events, EventRepository(database), clock),
        carts=carts,
        coupons=coupons,
        orders=orders,
        settlement=Settlement(orders, order_repository, ledger, gateway, clock, ids, config),
        refunds=Refunds(orders, order_repository, ledger, gateway, clock, ids, config),
        expiry=Expiry(inventory, ledger, clock, config),
    )


def _sender(stores: Stores) -> Sender:
    return stores.sender or OneThread(stores.database)


def _payments(config: Config, database: Any, clock: Clock) -> tuple[Gateway, EventReader]:
    if config.payment_gateway == "simulator":
        return SimulatedGateway(database, clock), SimulatedEvents(clock, config)
    from service.payments.stripe_gateway import StripeEvents, StripeGateway  # a third of a second, for whoever pays so

    return StripeGateway(AttemptRepository(database), clock, config), StripeEvents(config)


def front(shop: Shop) -> Front:
    """Accounts, sessions and the security layers of a shop."""
    config, clock, ids, redis_client = shop.config, shop.clock, shop.ids, shop.stores.redis
    tokens = Tokens(clock, ids, config)
    registry = CollectorRegistry()
    layers = Layers(config, clock, ids, tokens, shop.audit_log, SecurityMetrics(registry))
    auth = auth_wiring.wire(
        _stored(shop), tokens, layers.gate, clock, ids, config, collectors(shop.stores.database, shop.orders)
    )
    generation = Generation(redis_client, clock, ids, config, told=lambda: layers.gate.generation)
    codecs, cache = build_codecs(), Cache(redis_client, generation, clock, config)
    return Front(auth, layers, Shield(), registry, codecs, cache, ReadyReplies(cache, codecs))


def _stored(shop: Shop) -> auth_wiring.Stored:
    return auth_wiring.Stored(shop.stores.database, shop.stores.redis, shop.transactions, shop.outbox)


def background(shop: Shop) -> Background:
    """Jobs, the relay of committed facts and their consumers. Opens no connection."""
    config, clock, ids, database, outbox = shop.config, shop.clock, shop.ids, shop.stores.database, shop.outbox
    metrics, dead_letters = LastingMetrics(database), DeadLetters(database, clock)
    users, transactions = UserRepository(database), shop.transactions
    alerts = Alerts(AlertRepository(database), shop.inventory, users, transactions, outbox, clock, ids, config)
    waiting = SubscriptionRepository(database)
    buyers = OrderRepository(database, _sender(shop.stores), config)
    recipients = Recipients(RecipientRepository(database, clock), NoticeLinks(config), clock, config)
    stock, offers = shop.inventory, shop.offers
    notices = Notices(waiting, stock, users, buyers, offers, recipients, transactions, outbox, clock, ids, config)
    wishlists = Wishlists(WishlistRepository(database), shop.offers, shop.inventory, notices, clock, config)
    all_jobs = (
        *order_jobs(shop.expiry, shop.orders, shop.settlement, shop.refunds, metrics),
        *alert_jobs(alerts, notices),
        *catalog_jobs(shop.catalog),
    )
    runs, queue = JobRuns(database), JobQueue(StreamBroker(config, clock))
    runner = JobRunner(all_jobs, runs, queue, dead_letters, metrics, clock, ids, config)
    queue.register([job.name for job in all_jobs], runner)
    jobs = Jobs(all_jobs, runner, runs, queue, dead_letters, clock, ids, config)
    guards = {BACK_IN_STOCK: notices.still_wanted, CONFIRMATION: notices.may_be_asked}
    deliveries = Deliveries(database, _channels(config, clock), guards, dead_letters, metrics, clock, ids, config)
    consumers: dict[str, Consumer] = {
        "alerts": alerts.follow,
        "sessions": auth_wiring.session_alignment(_stored(shop), clock, config).follow,
        "erasures": forgetting(database),
        "notices": notices.follow,
        "wishlists": wishlists.follow,
        "sales": Sales(buyers, shop.catalog).follow,
        "cache": end_on_change(Generation(shop.stores.redis, clock, ids, config)),
        "stream": publish_to(FeedWriter(shop.stores.redis, STREAM, config)),
        "deliveries": _deliver_with(deliveries, config),
    }
    lease = Lease(database, "relay", ids.new(), config.outbox_lease_seconds, clock)
    return Background(
        alerts=alerts,
        notices=notices,
        wishlists=wishlists,
        jobs=jobs,
        runner=runner,
        broker=queue.broker,
        scheduler=Scheduler(jobs, runs, clock, config),
        relay=Relay(outbox, lease, consumers, dead_letters, metrics, clock, config),
        deliveries=deliveries,
        dead_letters=dead_letters,
        metrics=metrics,
        backlogs=Backlogs(outbox, deliveries, dead_letters, metrics),
        feed=Feed(shop.stores.redis, STREAM, "stock", states_of(shop.inventory), clock, config),
    )


def _channels(config: Config, clock: Clock) -> Mapping[str, Send]:
    """Without a mail server mails wait; a receiver of webhooks that is taken away leaves its own waiting."""
    channels: dict[str, Send] = {}
    if config.smtp_url:
        channels["mail"] = Mailer(clock, config, _fill(config)).send
    if config.webhook_urls:
        channels["webhook"] = WebhookSender(clock, config).send
    return channels


def _fill(config: Config) -> Mapping[str, Fill]:
    """The link of a mail carries a token that no store has seen."""
    key = config.key(MAIL_TOKEN)

    def with_token(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"token": mail_token(key, values["ticket"])}

    links, url = NoticeLinks(config), config.public_url

    def with_unsubscribing(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"unsubscribe_url": f"{url}/notices/unsubscribe/{links.unsubscribe(values['recipient'])}"}

    def with_confirming(values: Mapping[str, Any]) -> Mapping[str, Any]:
        confirm_url = f"{url}/notices/confirm/{links.confirm(values['recipient'], values['user'])}"
        return {**with_unsubscribing(values), "confirm_url": confirm_url}

    return {
        RESET: with_token,
        VERIFICATION: with_token,
        BACK_IN_STOCK: with_unsubscribing,
        CONFIRMATION: with_confirming,
    }


def _deliver_with(deliveries: Deliveries, config: Config) -> Consumer:
    urls = [url.strip() for url in config.webhook_urls.split(",") if url.strip()]

    async def deliver(facts: Sequence[Fact]) -> None:
        await deliveries.add([*mails(facts), *to_tell(facts, urls)])

    return deliver


@asynccontextmanager
async def shop(config: Config) -> AsyncIterator[Shop]:
    """The shop on the configured stores, its indexes in place; drained and disconnected at the end."""
    stores = connect(config)
    try:
        built = build(config, stores)
        with mongo.patient(config) as client:
            await reconcile(client[config.database], INDEXES)
        await built.catalog.upgrade()
        yield built
        await built.drain()
        await built.gateway.close()
    finally:
        stores.client.close()
        await stores.redis.aclose()
