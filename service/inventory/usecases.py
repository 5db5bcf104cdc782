"""What can be done with stock. Quantities change through the ledger only; waiting availability reads share a query."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from service.clock import Clock
from service.config import Config
from service.errors import Problem, revive
from service.events import StockChanged
from service.idempotency import IdempotencyKey
from service.infra.batcher import Batcher
from service.infra.mongo.client import Session
from service.inventory.documents import history_id
from service.inventory.imports import RowAnswer, RowKind, StockImport, StockRow
from service.inventory.ledger import Ledger
from service.inventory.models import (
    Accepted,
    Change,
    Count,
    Counted,
    Lapsed,
    Line,
    Movement,
    MovementKind,
    Posting,
    Reference,
    Stock,
    Threshold,
    UnknownReason,
    UnknownSku,
)
from service.inventory.repository import InventoryRepository, StockFilters

GOODS_IN = "goods in"
USUAL_REASONS = {RowKind.RECEIVE: GOODS_IN, RowKind.ADJUST: "correction"}
EXPORTED_AT_ONCE = 1_000
REASONS = (GOODS_IN, "correction", "count", "damaged", "expired", "found", "lost", "returned", "sample", "theft")


@dataclass(frozen=True, slots=True)
class StockPage:
    items: tuple[Stock, ...]
    next_sku: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Each SKU as the change left it, and whether this repeats an earlier answer."""

    items: tuple[Stock, ...]
    replayed: bool = False


class Inventory:
    def __init__(self, repository: InventoryRepository, ledger: Ledger, clock: Clock, config: Config) -> None:
        self._repository, self.ledger, self._clock, self._config = repository, ledger, clock, config
        self._read: Batcher[tuple[str, ...], dict[str, Stock]] = Batcher(
            self._read_together,
            items_max=config.batch_postings_max,
            weight_max=config.batch_lines_max,
            waiting_max=config.postings_waiting_max,
            weigh=len,
        )

    async def open(self, products: Mapping[str, str], session: Session = None) -> None:
        """Empty stock for each new SKU (SKU → product id), in the transaction that makes its product."""
        threshold = self._config.low_stock_threshold
        await self._repository.create_all(products, threshold, self._clock.now(), session)

    async def set_on_sale(self, skus: Mapping[str, bool], session: Session) -> list[StockChanged]:
        """Whether each SKU has a live offer, in the transaction that changes the offers; the facts that follow."""
        changed = await self._repository.set_on_sale(skus, self._clock.now(), session)
        return [
            StockChanged(after.sku, after.seq, before.sellable, after.sellable, after.threshold, after.on_sale)
            for before, after in changed
        ]

    async def availability(self, skus: Iterable[str]) -> dict[str, Stock]:
        """The stock of those SKUs that exist."""
        return await self._read(tuple(skus))

    async def stock_in(self, session: Session, skus: Iterable[str]) -> dict[str, Stock]:
        """The stock of those SKUs that exist, as a transaction of another domain sees it."""
        return await self._repository.stock(skus, session)

    async def _read_together(self, batch: Sequence[tuple[str, ...]]) -> list[dict[str, Stock]]:
        stock = await self._repository.stock({sku for wanted in batch for sku in wanted})
        return [{sku: stock[sku] for sku in wanted if sku in stock} for wanted in batch]

    async def get(self, sku: str) -> Stock:
        stock = (await self.availability([sku])).get(sku)
        if stock is None:
            raise UnknownSku(f"There is no SKU {sku}")
        return stock

    async def adjust(
        self,
        sku: str,
        delta: int,
        reason: str,
        actor: str,
        key: IdempotencyKey | None = None,
        reference: Reference | None = None,
    ) -> Changed:
        """Never below what is reserved. Raises UnknownReason, UnknownSku, BelowReserved, StockLimit, KeyReused."""
        return await self._change(Change(MovementKind.ADJUST, (Line(sku, delta),)), reason, actor, key, reference)

    async def receive(
        self,
        lines: Sequence[Line],
        actor: str,
        reason: str = GOODS_IN,
        key: IdempotencyKey | None = None,
        reference: Reference | None = None,
    ) -> Changed:
        """Goods in, all lines or none. Raises UnknownReason, UnknownSku, StockLimit, KeyReused."""
        return await self._change(Change(MovementKind.RECEIVE, tuple(lines)), reason, actor, key, reference)

    async def count(
        self,
        counted: Counted,
        reason: str,
        actor: str,
        key: IdempotencyKey | None = None,
        reference: Reference | None = None,
    ) -> Changed:
        """What is on hand becomes what was counted, less what has left the shelf since. Raises UnknownReason,
        UnknownSku, BelowReserved, StockLimit, UnknownVersion, CountedSince, KeyReused."""
        return await self._change(Count((counted,)), reason, actor, key, reference)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What a movement may give as its reason. Empty: anything."""
        own = tuple(reason.strip() for reason in self._config.stock_reasons.split(",") if reason.strip())
        return tuple(dict.fromkeys((*REASONS, *own))) if own else ()

    def _check_reason(self, reason: str) -> None:
        if self.reasons and reason not in self.reasons:
            message = f"It is one of: {', '.join(self.reasons)}"
            raise UnknownReason(errors=[{"path": "reason", "message": message}])

    async def _change(
        self, action: Change | Count, reason: str, actor: str, key: IdempotencyKey | None, reference: Reference | None
    ) -> Changed:
        self._check_reason(reason)
        claim = None if key is None else key.claim({})
        outcome = await self.ledger.post(Posting(action, actor, reason, claim=claim, reference=reference))
        if isinstance(outcome, Accepted):
            return Changed(outcome.stock)
        if "refused" in outcome.outcome:
            raise revive(outcome.outcome)
        return Changed(tuple(Stock(**stock) for stock in outcome.outcome["stock"]), replayed=True)

    def imported(
        self, rows: Iterable[StockRow], actor: str, key: IdempotencyKey | None, *, dry_run: bool
    ) -> AsyncIterator[list[RowAnswer]]:
        """Applies a file of rows, each for itself and once however often the file is sent with its key; a dry run
        says what would become of each."""
        files, reasoned = StockImport(self.ledger, self._config), map(self._with_reason, rows)
        return (files.rehearse if dry_run else files.apply)(reasoned, actor, key)

    def _with_reason(self, row: StockRow) -> StockRow:
        if row.fault is not None:
            return row
        reason = row.reason or (USUAL_REASONS.get(row.kind, "count") if row.kind is not None else "count")
        try:
            self._check_reason(reason)
        except Problem as fault:
            return replace(row, fault=fault)
        return replace(row, reason=reason)

    async def exported(self, filters: StockFilters, after_sku: str = "") -> AsyncIterator[tuple[Stock, ...]]:
        """All of it by SKU, a page at a time; each page is as of when it is read."""
        page = await self.listed(filters, after_sku, EXPORTED_AT_ONCE)
        yield page.items
        while page.next_sku is not None:
            page = await self.listed(filters, page.next_sku, EXPORTED_AT_ONCE)
            yield page.items

    async def set_threshold(self, sku: str, threshold: int, actor: str) -> Stock:
        """From when on the SKU counts as low. Raises UnknownSku."""
        posted = await self.ledger.post(Posting(Threshold((Line(sku, threshold),)), actor, "threshold"))
        assert isinstance(posted, Accepted), "no key, so nothing to replay"
        return posted.stock[0]

    async def history(self, sku: str, before_seq: int | None, limit: int) -> list[Movement]:
        """The SKU's movements, newest first."""
        await self.get(sku)
        return await self._repository.history(sku, before_seq, limit)

    async def referring(self, reference: Reference, after: str, limit: int) -> tuple[list[Movement], str | None]:
        """The movements that name a document, by SKU and age, and where to go on."""
        found = await self._repository.referring(reference, after, limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        return found[:limit], None if last is None else history_id(last.sku, last.seq)

    async def listed(self, filters: StockFilters, after_sku: str, limit: int) -> StockPage:
        """By SKU."""
        found = await self._repository.listed(filters, after_sku, limit + 1)
        return StockPage(tuple(found[:limit]), found[limit - 1].sku if len(found) > limit else None)

    async def received_from(self, actor: str, skus: Iterable[str]) -> dict[str, int]:
        """Units that `actor` has ever brought in, by SKU; those of whom nothing came are missing."""
        return await self._repository.received_from(actor, skus)

    async def lapsed_holds(self, limit: int) -> list[Lapsed]:
        """Holds past their expiry and still active, the oldest."""
        return await self._repository.lapsed_holds(self._clock.now(), limit)

    async def low_stock(self, after_sku: str, limit: int) -> StockPage:
        """SKUs at or under their threshold, by SKU."""
        return await self.listed(StockFilters(low=True), after_sku, limit)
