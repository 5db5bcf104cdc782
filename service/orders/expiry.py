"""Freeing what was held and not paid. Safe to run anywhere, any number at once: a hold is resolved once."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from service.clock import Clock
from service.config import Config
from service.inventory.ledger import Ledger
from service.inventory.models import HoldResolved
from service.inventory.repository import InventoryRepository
from service.orders import postings


@dataclass(slots=True)
class Swept:
    """`lags_seconds`: for each released hold, how long after its expiry its stock was free again."""

    released: int = 0
    lags_seconds: list[float] = field(default_factory=list)

    @property
    def lag_p50_seconds(self) -> float:
        return sorted(self.lags_seconds)[len(self.lags_seconds) // 2] if self.lags_seconds else 0.0

    @property
    def lag_max_seconds(self) -> float:
        return max(self.lags_seconds, default=0.0)

    def document(self) -> dict[str, float]:
        return {
            "released": self.released,
            "lagP50Seconds": round(self.lag_p50_seconds, 3),
            "lagMaxSeconds": round(self.lag_max_seconds, 3),
        }


class Expiry:
    def __init__(self, repository: InventoryRepository, ledger: Ledger, clock: Clock, config: Config) -> None:
        self._repository, self._ledger, self._clock, self._config = repository, ledger, clock, config

    async def sweep(self) -> Swept:
        """Frees every hold past its expiry, oldest first, in bounded batches, until none is left or time is up."""
        swept, deadline = Swept(), self._clock.monotonic() + self._config.sweep_seconds_max
        while self._clock.monotonic() < deadline:
            due = await self._repository.expired_orders(self._clock.now(), self._config.sweep_orders_max)
            if not due:
                break
            released = await asyncio.gather(*(self._expire(order_id) for order_id, _ in due))
            self._count(swept, [at for (_, at), done in zip(due, released, strict=True) if done])
        return swept

    async def _expire(self, order_id: str) -> bool:
        try:
            await self._ledger.post(postings.expired(order_id))
        except HoldResolved:  # paid, cancelled, or swept by another worker meanwhile
            return False
        return True

    def _count(self, swept: Swept, expiries: list[datetime]) -> None:
        now = self._clock.now()
        swept.released += len(expiries)
        swept.lags_seconds += [(now - at).total_seconds() for at in expiries]
