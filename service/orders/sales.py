"""What was paid makes products popular: a consumer of facts, never in the way of a checkout."""

from collections import Counter
from collections.abc import Sequence

from service.catalog.usecases import Catalog
from service.events import OrderPaid
from service.messaging.outbox import Fact
from service.orders.repository import OrderRepository


class Sales:
    def __init__(self, repository: OrderRepository, catalog: Catalog) -> None:
        self._repository, self._catalog = repository, catalog

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Tallies the units of orders just paid. Told twice it counts twice: popularity is an estimate."""
        paid = {fact.event.order_id for fact in facts if isinstance(fact.event, OrderPaid)}
        units: Counter[str] = Counter()
        for order in await self._repository.find_all(paid) if paid else ():
            for line in order.lines:
                units[line.product_id] += line.quantity
        await self._catalog.record_sales(units)
