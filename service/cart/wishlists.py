"""What a customer would like to have. A wish may ask to be told when its SKU is back in stock."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.alerts.models import InStock, TooManySubscriptions
from service.cart.models import NotSold, Wish, WishlistFull
from service.cart.repository import WishlistRepository
from service.catalog.offers import Offer, Offers
from service.clock import Clock
from service.config import Config
from service.events import StockChanged
from service.inventory.models import UnknownSku
from service.inventory.usecases import Inventory
from service.messaging.outbox import Fact

WISHERS_AT_ONCE_MAX = 100


class RestockNotices(Protocol):
    """Back-in-stock subscriptions, as the alerts domain keeps them. Both may be called twice."""

    async def subscribe(self, sku: str, user_id: str, email: str | None) -> object: ...

    async def unsubscribe(self, sku: str, user_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class WishedItem:
    wish: Wish
    offer: Offer | None
    available: int


@dataclass(frozen=True, slots=True)
class WishPage:
    items: tuple[WishedItem, ...]
    next_before: tuple[datetime, str] | None


class Wishlists:
    def __init__(
        self,
        repository: WishlistRepository,
        offers: Offers,
        inventory: Inventory,
        notices: RestockNotices,
        clock: Clock,
        config: Config,
    ) -> None:
        self._repository, self._offers, self._inventory = repository, offers, inventory
        self._notices, self._clock, self._config = notices, clock, config

    async def put(self, user_id: str, sku: str, notify: bool) -> WishedItem:
        """Raises NotSold, WishlistFull, TooManySubscriptions. Wishing twice is wishing once."""
        offer = (await self._offers.of([sku])).get(sku)
        if offer is None or not offer.active:
            raise NotSold(f"{sku} is not sold here")
        if await self._repository.count(user_id, self._config.wishes_max) >= self._config.wishes_max:
            raise WishlistFull(f"A wishlist has at most {self._config.wishes_max} items")
        wish = await self._repository.put(user_id, Wish(sku, notify, self._clock.now()))
        [item] = await self._items([wish])
        if not notify:
            await self._notices.unsubscribe(sku, user_id)
        elif item.available <= 0:
            with contextlib.suppress(InStock):  # it came back in this moment
                await self._notices.subscribe(sku, user_id, None)
        return item

    async def remove(self, user_id: str, sku: str) -> None:
        """A wish that is not there is gone already."""
        wish = await self._repository.remove(user_id, sku)
        if wish is not None and wish.notify:
            await self._notices.unsubscribe(sku, user_id)

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Those who wished for what has just sold out wait for it from now on."""
        changes = (fact.event for fact in facts if isinstance(fact.event, StockChanged))
        for sku in {change.sku for change in changes if change.on_sale and change.available <= 0 < change.was}:
            after = ""
            while wishers := await self._repository.wishers(sku, after, WISHERS_AT_ONCE_MAX):
                await asyncio.gather(*(self._subscribe(sku, user_id) for user_id in wishers))
                after = wishers[-1]

    async def _subscribe(self, sku: str, user_id: str) -> None:
        with contextlib.suppress(TooManySubscriptions, InStock, UnknownSku):
            await self._notices.subscribe(sku, user_id, None)

    async def newest(self, user_id: str, before: tuple[datetime, str] | None, limit: int) -> WishPage:
        found = await self._repository.newest(user_id, before, limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        items = await self._items(found[:limit])
        return WishPage(tuple(items), None if last is None else (last.added_at, last.sku))

    async def _items(self, wishes: Sequence[Wish]) -> list[WishedItem]:
        skus = [wish.sku for wish in wishes]
        if not skus:
            return []
        offers, stock = await asyncio.gather(self._offers.of(skus), self._inventory.availability(skus))
        return [
            WishedItem(wish, offers.get(wish.sku), stock[wish.sku].sellable if wish.sku in stock else 0)
            for wish in wishes
        ]
