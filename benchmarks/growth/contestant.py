"""One shop of the three, its waves of buyers, and what MongoDB does for one of its checkouts."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import median
from typing import Any

from benchmarks.growth.data import USERS, Size, sku, user_id
from benchmarks.kit.store_counters import commands_in
from service import bootstrap
from service.config import Config
from service.idempotency import IdempotencyKey
from service.inventory.models import Line

KINDS = ("lone", "spread", "hot")
COUNTED_CHECKOUTS = 30


@dataclass(slots=True)
class Waves:
    """Of one kind, in one round: how long each took until the last buyer had its answer. CPU is MongoDB's and this
    process's together."""

    buyers: int
    seconds: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0

    @property
    def checkouts(self) -> int:
        return self.buyers * len(self.seconds)

    @property
    def per_second(self) -> float:
        return self.checkouts / sum(self.seconds)

    @property
    def p50_ms(self) -> float:
        return median(self.seconds) * 1_000

    @property
    def cpu_ms_each(self) -> float:
        return self.cpu_ms / self.checkouts


@dataclass(slots=True)
class Contestant:
    """A database with the real use case on it, and what its rounds have shown."""

    size: Size
    shop: bootstrap.Shop
    choose: random.Random
    fill_seconds: float = 0.0
    rounds: dict[str, list[Waves]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    per_checkout: Mapping[str, int] = field(default_factory=dict)

    @property
    def database(self) -> Any:
        return self.shop.stores.database

    def chosen(self, kind: str) -> str:
        return sku(0) if kind == "hot" else sku(self.choose.randrange(self.size.skus))

    async def buy(self, name: str) -> None:
        """Prices looked up, key kept: the whole of a checkout behind its route."""
        buyer = user_id(self.choose.randrange(USERS))
        expires = self.shop.clock.now() + timedelta(seconds=self.shop.config.idempotency_ttl_seconds)
        key = IdempotencyKey(f"{buyer}:{self.choose.getrandbits(64):016x}", "bench", expires)
        await self.shop.orders.checkout(buyer, [Line(name, 1)], key)

    def begin_round(self, kind: str, buyers: int) -> None:
        self.rounds[kind].append(Waves(1 if kind == "lone" else buyers))

    async def wave(self, kind: str) -> None:
        """Everybody checks out at the same moment, once."""
        waves = self.rounds[kind][-1]
        cpu_ms, started = await self._cpu_ms(), time.perf_counter()
        await asyncio.gather(*(self.buy(self.chosen(kind)) for _ in range(waves.buyers)))
        waves.seconds.append(time.perf_counter() - started)
        waves.cpu_ms += await self._cpu_ms() - cpu_ms

    async def warm_up(self, checkouts: int, buyers: int) -> None:
        for _ in range(0, checkouts, buyers):
            await asyncio.gather(*(self.buy(self.chosen("spread")) for _ in range(buyers)))

    async def count(self) -> None:
        """What MongoDB does for a checkout that nobody shares, of a SKU that was not moved just before. The least of
        many: what else it was doing meanwhile can only add to a count."""
        counted = []
        for _ in range(COUNTED_CHECKOUTS):
            self.shop.ledger.forget()
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
        used: Mapping[str, int] = (await self._status())["extra_info"]
        return (used["user_time_us"] + used["system_time_us"]) / 1_000 + time.process_time() * 1_000

    async def _status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = await self.database.client.admin.command("serverStatus")
        return status

    def row(self) -> dict[str, Any]:
        shown = {"name": self.size.name, "skus": self.size.skus, "orders": self.size.orders}
        rates = {kind: _rates(rounds) for kind, rounds in self.rounds.items()}
        return {**shown, "fillSeconds": round(self.fill_seconds, 1), "perCheckout": self.per_checkout, **rates}


def contestant(size: Size, config: Config, seed: int) -> Contestant:
    config = replace(config, database=f"bench_growth_{size.name}")
    shop = bootstrap.build(config, bootstrap.connect(config))
    return Contestant(size, shop, random.Random(seed))


def _rates(rounds: list[Waves]) -> dict[str, float]:
    checkouts = sum(waves.checkouts for waves in rounds)
    return {
        "checkoutsPerSecond": round(checkouts / sum(sum(waves.seconds) for waves in rounds), 1),
        "p50Ms": round(median(second for waves in rounds for second in waves.seconds) * 1_000, 3),
        "cpuMs": round(sum(waves.cpu_ms for waves in rounds) / checkouts, 3),
        "checkouts": checkouts,
    }
