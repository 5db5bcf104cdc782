"""Products that many ask for at once: while one query runs, the next one gathers whoever asks meanwhile."""

from collections.abc import Iterable, Sequence

from service.catalog.models import Product
from service.catalog.repository import CatalogRepository
from service.config import Config
from service.infra.batcher import Batcher

Ids = tuple[str, ...]


class ProductReads:
    def __init__(self, repository: CatalogRepository, config: Config) -> None:
        self._repository = repository
        self._named: Batcher[str, Product | None] = Batcher(
            self._named_together, items_max=config.product_reads_max, waiting_max=config.postings_waiting_max
        )
        self._on_sale: Batcher[Ids, list[Product]] = Batcher(
            self._on_sale_together,
            items_max=config.product_reads_max,
            weight_max=config.product_reads_max,
            waiting_max=config.postings_waiting_max,
            weigh=len,
        )

    async def named(self, name: str) -> Product | None:
        """Whose id it is, else whose slug it is now, else whose it once was; archived ones too."""
        return await self._named(name)

    async def on_sale(self, ids: Iterable[str]) -> list[Product]:
        """The active ones of these products, in the order asked for."""
        asked = tuple(ids)
        return await self._on_sale(asked) if asked else []

    async def _named_together(self, batch: Sequence[str]) -> Sequence[Product | None]:
        found = await self._repository.named(set(batch))
        return [found.get(name) for name in batch]

    async def _on_sale_together(self, batch: Sequence[Ids]) -> Sequence[list[Product]]:
        found = await self._repository.on_sale(each for ids in batch for each in ids)
        return [[found[each] for each in ids if each in found] for ids in batch]
