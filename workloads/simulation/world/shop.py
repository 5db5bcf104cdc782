"""The simulated shop: the real use cases in several processes on one database, a payment provider, a background
worker, and the auditor listening."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import Any

from pymongo.errors import PyMongoError

from service.bootstrap import INDEXES, Shop, Stores, build
from service.catalog.offers import Offer
from service.config import Config
from service.errors import Problem
from service.infra.mongo.indexes import create_all
from service.inventory.models import Line
from service.inventory.repository import InventoryRepository
from service.orders.hold_limits import LIFTED_FROM_SCALE
from service.orders.models import CouponKind
from service.payments.simulator import SimulatedGateway
from workloads.simulation.checks.auditor import Auditor
from workloads.simulation.mongo.database import Client
from workloads.simulation.world.desk import Desk
from workloads.simulation.world.faults import NO_FAULTS, FaultPlan, Misfortune
from workloads.simulation.world.processes import Latency, Process, SimulatedClock
from workloads.simulation.world.provider import Provider, ProviderTimes
from workloads.simulation.world.world import World

DATABASE = "shop"
PRICE = 1_000
STOCK_ASSUMED_AFTER = (0, 1, 8)  # by the seed: also by far too early, when others have moved the stock most of the time


@dataclass(frozen=True, slots=True)
class Setting:
    """How the shop is run. Times are virtual seconds."""

    config: Config = field(default_factory=Config)
    api_processes: int = 2
    sweep_interval_seconds: float = 300.0
    reconcile_interval_seconds: float = 60.0
    latency: Latency = field(default_factory=Latency)
    provider: ProviderTimes = field(default_factory=ProviderTimes)


class SimulatedShop:
    """One world with one shop in it. Use: `open`, let customers come to `desk`, `rest`, read `auditor`."""

    def __init__(self, seed: int, setting: Setting, plan: FaultPlan) -> None:
        self.setting, self.plan = setting, plan
        self._config = replace(setting.config, stock_assumed_after=STOCK_ASSUMED_AFTER[seed % len(STOCK_ASSUMED_AFTER)])
        self.world = World(seed, plan, setting.latency)
        loop = self.world.loop
        self.clock = SimulatedClock(loop)
        self.auditor = Auditor(self.world.store, loop.time, self._wall, plan.skew_seconds_max, self._holds_of_one_max())
        books = SimulatedGateway(self.world.client()[DATABASE], self.clock)
        luck = Misfortune(plan, f"provider {seed}")
        self.provider = Provider(books, loop, luck, self._notify, setting.provider)
        self.processes = [self.world.process(f"api-{n}", self._build) for n in range(setting.api_processes)]
        self.worker = self.world.process("worker", self._build)
        self.desk = Desk(self.processes, self.auditor, loop, f"desk {seed}")
        self.seed = seed

    def _holds_of_one_max(self) -> float:
        """The simulated customers have no accounts, so nobody has verified an address of theirs."""
        scale = self._config.rate_limit_scale
        return inf if scale >= LIFTED_FROM_SCALE else self._config.open_holds_unverified_max * scale

    def _wall(self) -> datetime:
        """As the store keeps it: UTC without saying so."""
        return self.clock.now().replace(tzinfo=None)

    async def _notify(self, payment_id: str) -> None:
        await self.desk.notify_of_payment(payment_id)

    def _build(self, process: Process[Shop]) -> Shop:
        return build(self._config, stores_on(process.client), process.clock, process.random, self.provider)

    def quiet(self) -> Shop:
        """The same use cases on a connection without delay or fault, for setting up and cleaning up."""
        client = self.world.client()
        source = random.Random(f"quiet {self.seed}")
        return build(self.setting.config, stores_on(client), self.clock, source, self.provider)

    async def open(self, stock: dict[str, int], coupons: Sequence[str] = ()) -> None:
        """Indexes, catalogue, goods in and coupons for one use each; then the background jobs start."""
        shop = self.quiet()
        await create_all(shop.stores.database, INDEXES)
        await shop.offers.put(offers_of(stock))
        repository = InventoryRepository(shop.stores.database)
        for sku in stock:
            await repository.create(sku, f"product-{sku}", 0, self.clock.now())
        for lines in _parts([Line(sku, quantity) for sku, quantity in stock.items()], 500):
            await shop.inventory.receive(lines, "staff")
        for code in coupons:
            await shop.coupons.create(code, CouponKind.PERCENTAGE, 10, uses_max=1)
        self._every(self.setting.sweep_interval_seconds, lambda shop: shop.expiry.sweep())
        self._every(self.setting.reconcile_interval_seconds, lambda shop: shop.settlement.reconcile())
        self._every(self.setting.reconcile_interval_seconds, lambda shop: shop.refunds.reconcile())

    def _every(self, seconds: float, job: Callable[[Shop], Awaitable[Any]]) -> None:
        async def daemon(shop: Shop) -> None:
            while True:
                await asyncio.sleep(seconds)
                await asyncio.gather(*(self._job(shop, job) for _ in range(1 + self.worker.luck.strikes("duplicate"))))

        self.worker.daemon(daemon)

    async def _job(self, shop: Shop, job: Callable[[Shop], Awaitable[Any]]) -> None:
        """The task boundary: what a job could not do now, its next run does."""
        try:
            await job(shop)
        except (Problem, PyMongoError):
            return
        except Exception as error:  # noqa: BLE001 - anything else is a bug, and reported as one
            self.auditor.conservation.violate("job_failed", f"{type(error).__name__}: {error}")

    async def rest(self) -> None:
        """The weather clears; every process is back, every webhook delivered, every hold and payment settled."""
        for process in (*self.processes, self.worker):
            process.luck.change(NO_FAULTS)
        await self.provider.rest()
        await asyncio.sleep(self.plan.restart_seconds_max + self.plan.pause_seconds_max + 60)
        shop = self.quiet()
        for _ in range(3):
            config = self.setting.config
            await asyncio.sleep(max(config.reservation_ttl_seconds, config.payment_unknown_after_seconds) + 60)
            await self._job(shop, lambda shop: shop.settlement.reconcile())
            await self._job(shop, lambda shop: shop.refunds.reconcile())
            await self._job(shop, lambda shop: shop.expiry.sweep())
            await self.provider.rest()
        self.auditor.check_at_rest(self._wall())

    def paid_orders(self) -> list[str]:
        orders = self.auditor.conservation.orders
        return [
            order_id
            for order_id, facts in orders.items()
            if facts.document is not None and facts.document["status"] in {"paid", "shipped"}
        ]


def stores_on(client: Client) -> Stores:
    database = client[DATABASE]
    return Stores(client, database, None, database)


def offers_of(skus: Iterable[str]) -> list[Offer]:
    return [Offer(sku, f"product-{sku}", f"Article {sku}", PRICE, "GBP", active=True) for sku in skus]


def _parts(lines: list[Line], size: int) -> Iterable[list[Line]]:
    return (lines[start : start + size] for start in range(0, len(lines), size))
