"""Real workers, a real scheduler and a real Redis, killed at random moments: nothing is lost and nothing happens twice.

`make test-long` runs a hundred rounds."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import shops
from lengths import length
from mail_servers import Inboxes, smtp_server

from service import bootstrap
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.config import Config
from service.inventory.models import Line
from service.stack import embedded
from service.stack.embedded import Mongod, RedisServer
from service.stack.processes.child import ChildProcess, Command

STAFF = "staff@example.com"
SETTLED_SECONDS_MAX = 60
HURRIED = {
    "reservation_ttl_seconds": 1.0,
    "job_lease_seconds": 1.0,
    "job_resend_seconds": 1.0,
    "job_look_seconds": 0.2,
    "job_retry_pause_seconds": 0.5,
    "queue_reclaim_seconds": 1.0,
    "queue_block_seconds": 0.2,
    "outbox_lease_seconds": 1.0,
    "delivery_lease_seconds": 3.0,
    "delivery_retry_pause_seconds": 0.2,
    "delivery_retry_pause_max_seconds": 1.0,
    "job_deaths_max": 1_000,
}


@pytest.fixture
def own_stores(tmp_path: Path) -> Iterator[embedded.EmbeddedStores]:
    """Servers of this test alone: it kills them."""
    with embedded.opened(tmp_path, keep=False, environment={}) as opened:
        yield opened


@pytest.fixture
async def inboxes() -> AsyncIterator[Inboxes]:
    async with smtp_server() as opened:
        yield opened


@dataclass
class Crew:
    """Two workers and a scheduler beside the test's own shop, and the ways to kill them."""

    shop: Shop
    background: Background
    stores: embedded.EmbeddedStores
    inboxes: Inboxes
    folder: Path
    randomness: random.Random
    processes: dict[str, ChildProcess] = field(default_factory=dict)
    subscribed: int = 0
    units: Counter[str] = field(default_factory=Counter)
    held: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        config = self.shop.config
        environment = {
            "MONGODB_URI": config.mongodb_uri,
            "REDIS_URL": config.redis_url,
            "HOLDFAST_DATABASE": config.database,
            "HOLDFAST_APP_NAME": name,
            "HOLDFAST_SMTP_URL": config.smtp_url,
            "HOLDFAST_ALERT_MAIL_TO": config.alert_mail_to,
            **{f"HOLDFAST_{limit.upper()}": str(value) for limit, value in HURRIED.items()},
        }
        mode = ("--scheduler",) if name == "scheduler" else ()
        argv = (sys.executable, "-m", "service.worker", *mode)
        self.processes[name] = ChildProcess(Command(name, argv, self.folder / f"{name}.log", environment))

    def kill_one(self) -> str:
        victim = self.randomness.choice(["worker-1", "worker-2", "worker-1", "worker-2", "scheduler", "redis", "wipe"])
        if victim in self.processes:
            self.processes[victim].kill()
            self.start(victim)
        elif victim == "redis":  # its clients find it again at the same address
            redis = next(server for server in self.stores.servers if isinstance(server, RedisServer))
            redis.kill()
            redis.start()
        return victim

    async def make_work(self, number: int) -> None:
        """Holds about to expire, SKUs that run low, customers who wait, units that come back."""
        low, wanted, held = f"LOW-{number}", f"WANTED-{number}", f"HELD-{number}"
        await shops.stock(self.shop, **{low: 2, wanted: 0, held: 40})
        for n in range(8):
            name, now = f"c{number}-{n}", self.shop.clock.now()
            user = User(name, f"{name}@example.com", name, "customer", "-", now, now, email_verified=True)
            await UserRepository(self.shop.stores.database).add(user)
            await self.background.notices.subscribe(wanted, name, None)
        orders = await asyncio.gather(*(shops.buy(self.shop, f"u{number}-{n}", **{held: 1}) for n in range(20)))
        self.held += [order.id for order in orders]
        self.units[wanted] = self.randomness.randint(1, 5)
        await self.shop.inventory.receive([Line(wanted, self.units[wanted])], "staff")

    def check_alive(self) -> None:
        for name, process in self.processes.items():
            assert process.exit_code is None, f"{name} ended with {process.exit_code}:\n{process.tail()}"

    async def round(self, number: int) -> None:
        self.check_alive()
        await self.make_work(number)
        await asyncio.sleep(1.05)  # now its holds are past their expiry
        for name in ("expired-cleanup", "low-stock-check", "out-of-stock-check"):
            await self.background.jobs.trigger(name, "test")
        await asyncio.sleep(self.randomness.random() * 0.5)
        if self.kill_one() == "wipe":
            await self.shop.stores.redis.flushall()

    async def unsettled(self) -> dict[str, int]:
        database, now = self.shop.stores.database, self.shop.clock.now()
        counts = {
            "expired holds": database["reservations"].count_documents({"status": "active", "expiresAt": {"$lte": now}}),
            "facts": database["outbox"].count_documents({"waiting": True}),
            "deliveries": database["deliveries"].count_documents({"waiting": True}),
            "jobs": database["job_runs"].count_documents({"open": True}),
            "alerts nobody was told of": database["alerts"].count_documents({"open": True, "digestedAt": None}),
        }
        return {name: found for name, count in counts.items() if (found := await count)}

    async def settle(self) -> None:
        """One last run of each job, as the next tick would bring it; then everything comes to rest."""
        for name in ("expired-cleanup", "low-stock-check", "out-of-stock-check"):
            await self.background.jobs.trigger(name, "test")
        left: dict[str, int] = {"": 1}
        try:
            async with asyncio.timeout(SETTLED_SECONDS_MAX):
                while left := await self.unsettled():  # noqa: ASYNC110 - the database tells nobody
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"still unsettled: {left}; dead letters: {await self.background.dead_letters.newest(None, 5)}")


@pytest.fixture
async def crew(own_stores: embedded.EmbeddedStores, inboxes: Inboxes, tmp_path: Path) -> AsyncIterator[Crew]:
    assert any(isinstance(server, Mongod) for server in own_stores.servers)
    config = replace(
        Config(),
        mongodb_uri=own_stores.mongodb_uri,
        redis_url=own_stores.redis_url,
        database="kills",
        smtp_url=inboxes.url,
        alert_mail_to=STAFF,
        **HURRIED,  # type: ignore[arg-type]
    )
    async with bootstrap.shop(config) as shop:
        background = bootstrap.background(shop)
        made = Crew(shop, background, own_stores, inboxes, tmp_path, random.Random(20261122))
        for name in ("worker-1", "worker-2", "scheduler"):
            made.start(name)
        try:
            yield made
        finally:
            for process in made.processes.values():
                process.kill()
            await background.close()


async def check(crew: Crew) -> None:
    await check_holds(crew)
    await check_alerts(crew)
    await check_notices(crew)
    assert await shops.violations(crew.shop) == {}
    assert await crew.background.dead_letters.newest(None, 5) == []


async def check_holds(crew: Crew) -> None:
    """Each hold is released once."""
    history = crew.shop.stores.database["stock_history"]
    found = await history.find({"kind": "expire"}, {"orderId": 1}).to_list(None)
    assert Counter(entry["orderId"] for entry in found) == Counter(crew.held)


async def copies_in_doubt(crew: Crew) -> int:
    """Mails whose sender died between sending and noting it: a copy of these is the only one SMTP lets happen."""
    grouped = crew.shop.stores.database["deliveries"].aggregate(
        [{"$match": {"channel": "mail"}}, {"$group": {"_id": None, "count": {"$sum": "$uncertain"}}}]
    )
    return sum(document["count"] for document in await grouped.to_list(None))


async def check_alerts(crew: Crew) -> None:
    """Each alert is named to the staff in one digest, and that digest has arrived."""
    database: Any = crew.shop.stores.database
    alerts = await database["alerts"].find().to_list(None)
    digests = await database["deliveries"].count_documents({"to": STAFF, "outcome": "sent"})
    arrived = crew.inboxes.to(STAFF)
    bodies: dict[str, str] = {}
    for mail in arrived:
        part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        bodies[str(mail["Message-ID"])] = f"{mail['Subject']}\n{payload.decode()}"
    assert len(bodies) == digests
    headings = {"low_stock": "Low stock", "out_of_stock": "Out of stock"}
    for alert in alerts:
        if alert["digestedAt"] is not None:
            naming = [
                body
                for body in bodies.values()
                if body.startswith(headings[alert["kind"]]) and f"\n{alert['sku']}:" in body
            ]
            assert len(naming) == 1, f"{alert['sku']} {alert['kind']} was named {len(naming)} times"
    assert len(arrived) - len(bodies) <= await copies_in_doubt(crew)


async def check_notices(crew: Crew) -> None:
    """As many customers of each SKU were told as it had units, the oldest, none twice."""
    told = Counter(str(mail["To"]) for mail in crew.inboxes.mails if mail["To"] != STAFF)
    expected = {
        f"c{sku.removeprefix('WANTED-')}-{n}@example.com" for sku, units in crew.units.items() for n in range(units)
    }
    assert set(told) == expected
    assert sum(told.values()) - len(told) <= await copies_in_doubt(crew)


async def run(crew: Crew, rounds: int) -> None:
    for number in range(rounds):
        await crew.round(number)
    await crew.settle()
    await check(crew)


@pytest.mark.slow
@pytest.mark.long_form
@pytest.mark.timeout(1_800)
async def test_kills_at_random_moments_lose_nothing(crew: Crew) -> None:
    """Slow: each round takes a second or two, in which processes die and come back."""
    await run(crew, length(8, 100))
