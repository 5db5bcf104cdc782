"""Products from a file: each row makes a product or changes the one it names, and is answered for itself.

A row that has been applied changes nothing when it comes again, so a file that was cut off is sent again as it is."""

from collections.abc import AsyncIterator, Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from service.catalog.models import NewProduct, Product, ProductNotFound
from service.catalog.usecases import Catalog
from service.errors import Problem, Unavailable
from service.infra.mongo.client import UNREACHABLE

EXPORTED_AT_ONCE = 500


class ProductRow(Struct, frozen=True):
    """`new` is what it would be if there is no such product yet, or why it cannot be one."""

    line: int
    id: str | None = None
    slug: str | None = None
    skus: tuple[str, ...] = ()
    changes: Mapping[str, Any] = {}
    version: int | None = None
    new: NewProduct | Problem | None = None
    fault: Problem | None = None


class ProductRowStatus(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ProductAnswer(Struct, frozen=True):
    line: int
    status: ProductRowStatus
    product_id: str | None = None
    refusal: Problem | None = None


class ProductFiles:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def put(self, rows: Iterable[ProductRow], *, dry_run: bool) -> AsyncIterator[ProductAnswer]:
        """Answers in the order of the file. A store that does not answer ends it: what follows was not tried."""
        for row in rows:
            try:
                yield await self._put(row, dry_run=dry_run)
            except (Unavailable, *UNREACHABLE):
                yield ProductAnswer(row.line, ProductRowStatus.REFUSED, refusal=Unavailable())
                return
            except Problem as refusal:
                yield ProductAnswer(row.line, ProductRowStatus.REFUSED, refusal=refusal)

    async def exported(self) -> AsyncIterator[list[Product]]:
        """All products, archived ones too, a page at a time."""
        after = ""
        while page := await self._catalog.by_id(after, EXPORTED_AT_ONCE):
            yield page
            after = page[-1].id

    async def _put(self, row: ProductRow, *, dry_run: bool) -> ProductAnswer:
        if row.fault is not None:
            raise row.fault
        known = await self._known(row)
        if known is None:
            return await self._create(row, dry_run=dry_run)
        if not await self._catalog.rehearse_edit(known, row.changes, row.version):
            return ProductAnswer(row.line, ProductRowStatus.UNCHANGED, known.id)
        if not dry_run:
            await self._catalog.edit(known.id, row.changes, row.version)
        return ProductAnswer(row.line, ProductRowStatus.CHANGED, known.id)

    async def _create(self, row: ProductRow, *, dry_run: bool) -> ProductAnswer:
        if not isinstance(row.new, NewProduct):
            raise row.new or ProductNotFound()
        if dry_run:
            await self._catalog.rehearse(row.new)
            return ProductAnswer(row.line, ProductRowStatus.CREATED)
        return ProductAnswer(row.line, ProductRowStatus.CREATED, (await self._catalog.create(row.new)).id)

    async def _known(self, row: ProductRow) -> Product | None:
        """The product of that id, else of one of its SKUs, else of its slug."""
        if row.id is not None:
            return await self._catalog.get(row.id)
        for find, names in ((self._catalog.by_sku, row.skus), (self._catalog.get, (row.slug,) if row.slug else ())):
            for name in names:
                try:
                    return await find(name)
                except ProductNotFound:
                    continue
        return None
