"""A shop of a benchmark's own: the real use cases on a real database, and a clock that lets holds expire."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service import bootstrap
from service.catalog.models import NewProduct
from service.clock import SystemClock
from service.config import Config
from service.idempotency import IdempotencyKey
from service.inventory.models import Line
from service.orders.models import Order

BUYERS, USERS = 64, 500
AMPLE_UNITS = 1_000_000
LIFTED = 1e6  # as load tests do: 64 buyers place more orders than customers may


class LeapingClock(SystemClock):
    """The time of day, and as much later as it was told."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def leap(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


class MeasuredShop:
    """Orders of one line and one unit, placed and paid by 64 buyers at once."""

    def __init__(self, client: Any, name: str, seed: int) -> None:
        self.database = client[name]
        self._config = replace(Config(), database=name, rate_limit_scale=LIFTED)
        self._clock, self._chance, self._numbers = LeapingClock(), random.Random(seed), itertools.count()
        stores = bootstrap.Stores(client, self.database, None)
        self._shop = bootstrap.build(self._config, stores, self._clock, random.Random(seed))
        self._skus: list[str] = []

    async def open(self, skus: int) -> None:
        await self._shop.catalog.put_category("things", "Things", None)
        news = [NewProduct(f"Thing {number}", 1_299, "things", sku=f"S-{number:05d}") for number in range(skus)]
        await self._shop.catalog.create_all(news)
        self._skus = [str(new.sku) for new in news]
        await self._shop.inventory.receive([Line(sku, AMPLE_UNITS) for sku in self._skus], "bench")

    async def check_out(self, count: int) -> list[Order]:
        placed: list[Order] = []

        async def one(_: int) -> None:
            user, line = f"user-{self._chance.randrange(USERS)}", Line(self._chance.choice(self._skus), 1)
            placed.append((await self._shop.orders.checkout(user, [line], self._key())).order)

        await _by_buyers(one, range(count))
        return placed

    async def pay(self, orders: Sequence[Order]) -> None:
        async def one(order: Order) -> None:
            await self._shop.settlement.pay(order, "pm_card_visa", self._key())

        await _by_buyers(one, orders)

    async def expire(self) -> int:
        """Lets every hold run out and frees it. Returns how many there were."""
        self._clock.leap(self._config.reservation_ttl_seconds + 1)
        return (await self._shop.expiry.sweep()).released

    def _key(self) -> IdempotencyKey:
        number = f"bench:{next(self._numbers)}"
        return IdempotencyKey(number, number, self._clock.now() + timedelta(days=1))


async def _by_buyers(work: Callable[[Any], Awaitable[None]], items: Sequence[Any]) -> None:
    waiting = iter(items)

    async def buyer() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(buyer() for _ in range(BUYERS)))
