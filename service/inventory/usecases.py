"""What can be done with stock. Quantities change through the ledger only; waiting availability reads share a query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.clock import Clock
from service.config import Config
from service.infra.group_commit import GroupCommit
from service.inventory.ledger import Ledger
from service.inventory.models import (
    Accepted,
    Change,
    Claim,
    Line,
    Movement,
    MovementKind,
    Posting,
    Replayed,
    Stock,
    UnknownSku,
)
from service.inventory.repository import InventoryRepository


@dataclass(frozen=True, slots=True)
class StockPage:
    items: tuple[Stock, ...]
    next_sku: str | None


class Inventory:
    def __init__(self, repository: InventoryRepository, ledger: Ledger, clock: Clock, config: Config) -> None:
        self._repository, self.ledger, self._clock, self._config = repository, ledger, clock, config
        self._read: GroupCommit[tuple[str, ...], dict[str, Stock]] = GroupCommit(
            self._read_together,
            items_max=config.batch_postings_max,
            weight_max=config.batch_lines_max,
            waiting_max=config.postings_waiting_max,
            weigh=len,
        )

    async def availability(self, skus: Iterable[str]) -> dict[str, Stock]:
        """The stock of those SKUs that exist."""
        return await self._read(tuple(skus))

    async def _read_together(self, batch: Sequence[tuple[str, ...]]) -> list[dict[str, Stock]]:
        stock = await self._repository.stock({sku for wanted in batch for sku in wanted})
        return [{sku: stock[sku] for sku in wanted if sku in stock} for wanted in batch]

    async def get(self, sku: str) -> Stock:
        stock = (await self.availability([sku])).get(sku)
        if stock is None:
            raise UnknownSku(f"There is no SKU {sku}")
        return stock

    async def adjust(self, sku: str, delta: int, reason: str, actor: str, claim: Claim | None = None) -> Stock:
        """Never below what is reserved. A repetition under the same claim is answered with the state as it is now."""
        await self._change(MovementKind.ADJUST, (Line(sku, delta),), reason, actor, claim)
        return await self.get(sku)

    async def receive(
        self, lines: Sequence[Line], actor: str, reason: str = "goods in", claim: Claim | None = None
    ) -> list[Stock]:
        """Goods in, all lines or none."""
        await self._change(MovementKind.RECEIVE, tuple(lines), reason, actor, claim)
        stock = await self.availability(line.sku for line in lines)
        return list(stock.values())

    async def _change(
        self, kind: MovementKind, lines: tuple[Line, ...], reason: str, actor: str, claim: Claim | None
    ) -> Accepted | Replayed:
        return await self.ledger.post(Posting(Change(kind, lines), actor, reason, claim=claim))

    async def set_threshold(self, sku: str, threshold: int) -> Stock:
        if not await self._repository.set_threshold(sku, threshold):
            raise UnknownSku(f"There is no SKU {sku}")
        return await self.get(sku)

    async def history(self, sku: str, before_seq: int | None, limit: int) -> list[Movement]:
        """The SKU's movements, newest first."""
        await self.get(sku)
        return await self._repository.history(sku, before_seq, limit)

    async def low_stock(self, after_sku: str, limit: int) -> StockPage:
        """SKUs at or under their threshold, by SKU."""
        found = await self._repository.low(after_sku, limit + 1)
        return StockPage(tuple(found[:limit]), found[limit - 1].sku if len(found) > limit else None)
