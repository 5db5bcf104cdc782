"""What follows a committed change of stock: the stock stream."""

from collections.abc import Callable, Collection, Sequence

from service.events import StockChanged
from service.inventory.schemas import stock_state
from service.inventory.usecases import Inventory
from service.messaging.outbox import Fact
from service.messaging.relay import Consumer
from service.messaging.sse_feed import FeedWriter, Snapshot, State

STREAM = "holdfast:stock"
Epoch = Callable[[], int]


def publish_to(writer: FeedWriter, epoch: Epoch) -> Consumer:
    """The consumer that feeds the stock stream, a SKU's states in their order."""

    async def publish(facts: Sequence[Fact]) -> None:
        changes = [fact.event for fact in facts if isinstance(fact.event, StockChanged)]
        changes.sort(key=lambda change: change.seq)
        await writer.publish([stock_state(c.sku, c.seq, c.available, c.threshold, c.on_sale, epoch()) for c in changes])

    return publish


def states_of(inventory: Inventory, epoch: Epoch) -> Snapshot:
    """The stock stream's states as they are now."""

    async def states(skus: Collection[str]) -> list[State]:
        stock = await inventory.availability(skus)
        return [stock_state(s.sku, s.seq, s.sellable, s.threshold, s.on_sale, epoch()) for s in stock.values()]

    return states
