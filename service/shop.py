"""What a process of the service is made of: the shop, its front towards HTTP, and what happens behind the requests."""

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from service.alerts.usecases import Alerts, Notices
from service.alerts.wiring import AlertsDomain
from service.auth.repository import UserRepository
from service.auth.wiring import AuthDomain
from service.cart.usecases import Carts
from service.cart.wishlists import Wishlists
from service.catalog.offers import Offers
from service.catalog.reviews import Reviews
from service.catalog.search.suggestions import Suggestions
from service.catalog.search.usecases import Search
from service.catalog.usecases import Catalog
from service.catalog.wiring import CatalogDomain
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.lasting_metrics import LastingMetrics
from service.infra.mongo.client import Transactions
from service.infra.redis.response_cache import Cache
from service.infra.stores import Stores
from service.inventory.ledger import Ledger
from service.inventory.usecases import Inventory
from service.inventory.wiring import InventoryDomain
from service.jobs.broker import StreamBroker
from service.jobs.runner import JobRunner
from service.jobs.scheduler import Scheduler
from service.jobs.usecases import Jobs
from service.jobs.wiring import JobsDomain
from service.messaging.backlogs import Backlogs
from service.messaging.dead_letters import DeadLetters
from service.messaging.deliveries import Deliveries
from service.messaging.outbox import Outbox
from service.messaging.relay import Relay
from service.messaging.sse_feed import SseBroadcaster
from service.messaging.unit_of_work import UnitOfWork
from service.messaging.wiring import MessagingDomain
from service.migration.migrate import SchemaState
from service.orders.coupons import Coupons
from service.orders.expiry import Expiry
from service.orders.refunds import Refunds
from service.orders.repository import OrderRepository
from service.orders.returns import Returns
from service.orders.settlement import Settlement
from service.orders.usecases import Orders
from service.orders.wiring import OrdersDomain
from service.payments.models import Gateway
from service.payments.webhooks import Webhooks
from service.payments.wiring import PaymentsDomain
from service.runtime import Runtime
from service.web.audit.log import AuditLog
from service.web.http.compress import Codecs
from service.web.http.ready import ReadyReplies
from service.web.http.shield import Shield
from service.web.security.layers import Layers


class Domains(NamedTuple):
    """What the domains were wired to."""

    inventory: InventoryDomain
    catalog: CatalogDomain
    carts: Carts
    payments: PaymentsDomain
    orders: OrdersDomain


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
    users: UserRepository
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
    buyers: OrderRepository
    coupons: Coupons
    orders: Orders
    settlement: Settlement
    refunds: Refunds
    returns: Returns
    expiry: Expiry
    schema: SchemaState

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.clock, self.ids, self.config)

    @property
    def work(self) -> UnitOfWork:
        return UnitOfWork(self.transactions, self.outbox)

    @classmethod
    def of(
        cls, runtime: Runtime, stores: Stores, work: UnitOfWork, users: UserRepository, domains: "Domains"
    ) -> "Shop":
        stock, goods, money, sales = domains.inventory, domains.catalog, domains.payments, domains.orders
        clock, ids, config = runtime.clock, runtime.ids, runtime.config
        return cls(
            config=config,
            clock=clock,
            ids=ids,
            stores=stores,
            transactions=work.transactions,
            outbox=work.outbox,
            audit_log=AuditLog(stores.database, clock, ids, config),
            users=users,
            ledger=stock.ledger,
            inventory=stock.inventory,
            offers=goods.offers,
            catalog=goods.catalog,
            search=goods.search,
            suggestions=goods.suggestions,
            reviews=goods.reviews,
            gateway=money.gateway,
            webhooks=money.webhooks,
            carts=domains.carts,
            buyers=sales.repository,
            coupons=sales.coupons,
            orders=sales.orders,
            settlement=sales.settlement,
            refunds=sales.refunds,
            returns=sales.returns,
            expiry=sales.expiry,
            schema=SchemaState(),
        )

    async def drain(self) -> None:
        """Waits for what was accepted and is not committed yet."""
        await self.ledger.drain()


@dataclass(frozen=True, slots=True)
class HttpEdge:
    """What stands between the wire and the use cases. It needs Redis; the shop behind it does not."""

    auth: AuthDomain
    shield: Shield
    layers: Layers
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
    feed: SseBroadcaster

    @classmethod
    def of(
        cls,
        notified: AlertsDomain,
        wishlists: Wishlists,
        jobs: JobsDomain,
        messaging: MessagingDomain,
        feed: SseBroadcaster,
    ) -> "Background":
        return cls(
            alerts=notified.alerts,
            notices=notified.notices,
            wishlists=wishlists,
            jobs=jobs.jobs,
            runner=jobs.runner,
            broker=jobs.broker,
            scheduler=jobs.scheduler,
            relay=messaging.relay,
            deliveries=messaging.deliveries,
            dead_letters=messaging.dead_letters,
            metrics=messaging.metrics,
            backlogs=messaging.backlogs,
            feed=feed,
        )

    async def close(self) -> None:
        await self.broker.shutdown()
