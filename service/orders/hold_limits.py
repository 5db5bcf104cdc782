"""How much one customer may hold without paying, so that nobody can empty the shelves by reserving.

Asked before the checkout is posted: of one account's simultaneous checkouts a few may pass together, as many as its
rate limit admits at once. What is promised exactly is never to sell twice; this is only a bound."""

from collections.abc import Sequence
from datetime import timedelta

from service.clock import Clock
from service.config import Config
from service.infra.batcher import GroupCommit
from service.inventory.models import Line
from service.orders.models import Held, TooMuchHeld
from service.orders.repository import OrderRepository

NOTHING_HELD = Held(0, {})
UNLIMITED = 10**6  # a scale that allows so many holds has lifted the limit: then nothing is counted


class HoldLimits:
    def __init__(self, repository: OrderRepository, clock: Clock, config: Config) -> None:
        self._repository, self._clock = repository, clock
        self._ttl = timedelta(seconds=config.reservation_ttl_seconds)
        self._held: GroupCommit[str, Held] = GroupCommit(
            self._held_together, items_max=config.batch_postings_max, waiting_max=config.postings_waiting_max
        )
        self._orders_max = config.open_holds_per_user_max * config.rate_limit_scale
        self._units_max = config.held_units_per_user_and_sku_max * config.rate_limit_scale

    async def check(self, user_id: str, lines: Sequence[Line]) -> None:
        """Raises TooMuchHeld. A single order is bounded by what an order may be, not here."""
        if self._orders_max >= UNLIMITED:
            return
        held = await self._held(user_id)
        if held.orders >= self._orders_max:
            raise TooMuchHeld(f"You have {held.orders} unpaid orders: pay or cancel one of them first")
        for line in lines:
            before = held.units.get(line.sku, 0)
            if before and before + line.quantity > self._units_max:
                raise TooMuchHeld(f"You hold {before} of {line.sku} already: pay or cancel that first", sku=line.sku)

    async def _held_together(self, batch: Sequence[str]) -> Sequence[Held]:
        now = self._clock.now()
        held = await self._repository.held_by(set(batch), now - self._ttl, now)
        return [held.get(user_id, NOTHING_HELD) for user_id in batch]
