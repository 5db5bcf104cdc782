"""One shop of the three, its turns, and what MongoDB does for one of its checkouts."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import median
from typing import Any

from benchmarks.budgets.counters import commands_in
from benchmarks.growth.data import USERS, Size, sku, user_id
from benchmarks.percentiles import percentile
from service import bootstrap
from service.config import Config
from service.inventory.models import Line
from service.orders.models import Key

KINDS = ("lone", "spread", "hot")
COUNTED_CHECKOUTS = 30


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn has shown. CPU is MongoDB's and this process's together."""

    checkouts: int
    seconds: float
    p50_ms: float
    cpu_ms: float

    @property
    def per_second(self) -> float:
        return self.checkouts / self.seconds


@dataclass(slots=True)
class Contestant:
    """A database with the real use case on it. One round adds one turn of each kind."""

    size: Size
    shop: bootstrap.Shop
    choose: random.Random
    fill_seconds: float = 0.0
    turns: dict[str, list[Turn]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    per_checkout: Mapping[str, int] = field(default_factory=dict)
    placed: int = 0

    @property
    def database(self) -> Any:
        return self.shop.stores.database

    def chosen(self, kind: str) -> str:
        return sku(0) if kind == "hot" else sku(self.choose.randrange(self.size.skus))

    async def buy(self, name: str) -> None:
        """Prices looked up, key kept: the whole of a checkout behind its route."""
        buyer = user_id(self.choose.randrange(USERS))
        self.placed += 1
        expires = self.shop.clock.now() + timedelta(seconds=self.shop.config.idempotency_ttl_seconds)
        key = Key(f"{buyer}:{self.choose.getrandbits(64):016x}", "bench", expires)
        await self.shop.orders.checkout(buyer, [Line(name, 1)], key)

    async def turn(self, kind: str, buyers: int, seconds: float) -> Turn:
        """Closed loop: each buyer checks out again as soon as it has its answer."""
        latencies_ms: list[float] = []
        cpu_ms, started = await self._cpu_ms(), time.perf_counter()

        async def buyer() -> None:
            while (asked := time.perf_counter()) < started + seconds:
                await self.buy(self.chosen(kind))
                latencies_ms.append((time.perf_counter() - asked) * 1_000)

        await asyncio.gather(*(buyer() for _ in range(1 if kind == "lone" else buyers)))
        wall_seconds, count = time.perf_counter() - started, len(latencies_ms)
        cpu_ms = (await self._cpu_ms() - cpu_ms) / count
        return Turn(count, wall_seconds, percentile(latencies_ms, 50), cpu_ms)

    async def count(self) -> None:
        """What MongoDB does for a checkout that nobody shares. The least of many: what else it was doing meanwhile can
        only add to a count."""
        counted = []
        for _ in range(COUNTED_CHECKOUTS):
            before = await self._counters()
            await self.buy(self.chosen("lone"))
            after = await self._counters()
            counted.append({name: after[name] - before[name] for name in after})
        self.per_checkout = {name: min(each[name] for each in counted) for name in counted[0]}

    async def _counters(self) -> dict[str, int]:
        metrics = (await self._status())["metrics"]
        executor = metrics["queryExecutor"]
        return {
            "commands": commands_in(metrics),
            "keysExamined": int(executor["scanned"]),
            "documentsExamined": int(executor["scannedObjects"]),
        }

    async def _cpu_ms(self) -> float:
        used = (await self._status())["extra_info"]
        return (used["user_time_us"] + used["system_time_us"]) / 1_000 + time.process_time() * 1_000

    async def _status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = await self.database.client.admin.command("serverStatus")
        return status

    def row(self) -> dict[str, Any]:
        shown = {"name": self.size.name, "skus": self.size.skus, "orders": self.size.orders}
        rates = {kind: _rates(turns) for kind, turns in self.turns.items()}
        return {**shown, "fillSeconds": round(self.fill_seconds, 1), "perCheckout": self.per_checkout, **rates}


def contestant(size: Size, config: Config, seed: int) -> Contestant:
    config = replace(config, database=f"bench_growth_{size.name}")
    shop = bootstrap.build(config, bootstrap.connect(config))
    return Contestant(size, shop, random.Random(seed))


def _rates(turns: list[Turn]) -> dict[str, float]:
    return {
        "checkoutsPerSecond": round(median(turn.per_second for turn in turns), 1),
        "p50Ms": round(median(turn.p50_ms for turn in turns), 3),
        "cpuMs": round(median(turn.cpu_ms for turn in turns), 3),
        "checkouts": sum(turn.checkouts for turn in turns),
    }
