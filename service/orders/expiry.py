"""Freeing what was held and not paid. Safe to run anywhere, any number at once: a hold is resolved once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from service.clock import Clock
from service.config import Config
from service.inventory.ledger import Ledger
from service.inventory.models import HoldResolved, Lapsed, StateMoved
from service.inventory.usecases import Inventory
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

    def add(self, part: "Swept") -> None:
        self.released += part.released
        self.lags_seconds += part.lags_seconds

    def document(self) -> dict[str, float]:
        return {
            "released": self.released,
            "lagP50Seconds": round(self.lag_p50_seconds, 3),
            "lagMaxSeconds": round(self.lag_max_seconds, 3),
        }


Tell = Callable[[Swept, int], None]


class Expiry:
    def __init__(self, inventory: Inventory, ledger: Ledger, clock: Clock, config: Config) -> None:
        self._inventory, self._ledger, self._clock, self._config = inventory, ledger, clock, config

    async def sweep(self, tell: Tell = lambda part, released: None) -> Swept:
        """Frees every hold past its expiry, the oldest first by windows, until none is left or time is up.

        After each batch `tell` is given that batch and how many have been released so far; what it raises ends the
        sweep. It goes no faster than its limit, so that checkouts of the same stock keep most of their rate."""
        swept, began = Swept(), self._clock.monotonic()
        while due := await self._inventory.lapsed_holds(self._config.sweep_window_max):
            for start in range(0, len(due), self._config.sweep_orders_max):
                part = await self._release(due[start : start + self._config.sweep_orders_max])
                swept.add(part)
                tell(part, swept.released)
                elapsed_seconds = self._clock.monotonic() - began
                if elapsed_seconds > self._config.sweep_seconds_max:
                    return swept
                await self._clock.sleep(max(0.0, swept.released / self._config.sweep_rate_max - elapsed_seconds))
        return swept

    async def _release(self, due: list[Lapsed]) -> Swept:
        released = await asyncio.gather(*(self._expire(hold) for hold in due))
        now = self._clock.now()
        freed = [hold.expires_at for hold, done in zip(due, released, strict=True) if done]
        return Swept(len(freed), [(now - at).total_seconds() for at in freed])

    async def _expire(self, hold: Lapsed) -> bool:
        """A coupon comes back with the stock, unless a payment is under way: whatever ends that decides about it."""
        try:
            if hold.coupon is None or not await self._gives_back(hold, hold.coupon):
                await self._ledger.post(postings.expired(hold.order_id))
        except HoldResolved:  # paid, cancelled, or swept by another worker meanwhile
            return False
        return True

    async def _gives_back(self, hold: Lapsed, coupon: str) -> bool:
        try:
            await self._ledger.post(postings.lapsed_with_coupon(hold, coupon))
        except StateMoved:
            return False
        return True
