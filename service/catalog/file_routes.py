"""/api/products: the catalogue as files, in and out."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET
from sanic import Blueprint

from service.catalog.models import Product
from service.catalog.product_files import ProductAnswer, ProductFiles, ProductRow
from service.catalog.schemas import EditProductBody, Id, NewProductBody
from service.catalog.usecases import Catalog
from service.config import Config
from service.errors import Invalid, Malformed
from service.infra import json
from service.web.http.access import Access
from service.web.http.operation import Call, Reply, Wire, operation
from service.web.http.reading import converted, media_type
from service.web.http.ready import ReadyReplies
from service.web.http.rows import CSV, JSON_LINES, NDJSON, Columns, Row, read_rows
from service.web.http.streaming import file_of_rows, streamed

LINES_MAX = 20_001
NAMES = (
    *("id", "sku", "slug", "name", "category", "brand", "tags", "price", "currency", "status", "description"),
    *("variants", "images", "maxPerOrder", "verifiedOnly", "version"),
)
ONE_LINE = '{"sku":"85123A","name":"Red enamel mug","category":"mugs","price":1299}\n'
EXAMPLES = {CSV: "sku,name,category,price\n85123A,Red enamel mug,mugs,1299\n", JSON_LINES: ONE_LINE, NDJSON: ONE_LINE}


class ProductFields(EditProductBody):
    id: Id | None = None


class ExportQuery(Wire):
    format: Literal["csv", "jsonl"] = "csv"


class ProductsImportQuery(Wire):
    dry_run: bool = False


class ProductRowReply(Wire):
    """`code` and `message` are of a row that was refused. In a dry run, what would become of it."""

    line: int
    status: Literal["created", "changed", "unchanged", "refused"]
    id: str | None = None
    code: str | None = None
    message: str | None = None


class ProductsImportReply(Wire):
    dry_run: bool
    items: Annotated[list[ProductRowReply], msgspec.Meta(max_length=LINES_MAX)]
    created: int
    changed: int
    unchanged: int
    refused: int


def _json_cell(cell: str) -> Any:
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("A cell of variants or images is not JSON") from None


def _tags(cell: str) -> list[str]:
    return [tag.strip() for tag in cell.split("|") if tag.strip()]


COLUMNS = Columns(ProductFields, cells={"variants": _json_cell, "images": _json_cell, "tags": _tags})


def add(blueprint: Blueprint, catalog: Catalog, ready: ReadyReplies, config: Config) -> None:
    files = ProductFiles(catalog)

    @operation(
        blueprint,
        "POST",
        "/import",
        "Products from a file, with an answer for every row",
        takes=ProductsImportQuery,
        returns={200: ProductsImportReply},
        access=Access.STAFF,
        scope="catalog:write",
        limit="file",
        compress=False,
        body_size="file",
        media=EXAMPLES,
    )
    async def import_products(call: Call[ProductsImportQuery]) -> Reply:
        """A row changes the product that has its `id`, one of its SKUs or its `slug`, and only in the fields it gives;
        else it makes a new one. `tags` are divided by `|`; `variants` and `images` of CSV are JSON. With the `version`
        of an export a row is refused if somebody else was faster. What was applied is `unchanged` when the file comes
        again. `dryRun=1` answers alike and changes nothing. At most 20,000 rows and 16 MiB."""
        request, dry_run = call.request, call.taken.dry_run
        read = read_rows(request.body, media_type(request), COLUMNS, LINES_MAX)

        async def document() -> AsyncIterator[bytes]:
            yield b'{"dryRun":%s,"items":[' % json.encode(dry_run)
            counts: Counter[str] = Counter()
            async for answer in files.put(_rows(read, config), dry_run=dry_run):
                comma = b"," if counts else b""
                counts[answer.status.value] += 1
                yield comma + json.encode(_reply(answer))
            await ready.forget()
            totals = {status: counts[status] for status in ("created", "changed", "unchanged", "refused")}
            yield b"]," + json.encode(totals)[1:]

        return streamed(document())

    @operation(
        blueprint,
        "GET",
        "/export",
        "All products as a file",
        takes=ExportQuery,
        returns={200: None},
        access=Access.STAFF,
        scope="catalog:read",
        limit="file",
        also_as=(CSV, JSON_LINES),
    )
    async def export_products(call: Call[ExportQuery]) -> Reply:
        """Archived ones too. The import takes it back: what is changed in it, and nothing else, is changed."""
        kind = call.taken.format
        rows = ([_columns(product, as_cells=kind == "csv") for product in page] async for page in files.exported())
        return file_of_rows("products", kind, rows, NAMES)


def _rows(read: Iterator[Row], config: Config) -> Iterator[ProductRow]:
    for row in read:
        yield ProductRow(row.line, fault=row.fault) if row.fault is not None else _row(row.line, row.taken, config)


def _row(line: int, taken: ProductFields, config: Config) -> ProductRow:
    if taken.currency not in {UNSET, config.currency}:
        return ProductRow(line, fault=Invalid(f"currency: This shop sells in {config.currency}"))
    given = {
        name: value
        for name, value in msgspec.to_builtins(taken).items()
        if name not in {"id", "version", "status"} and value is not UNSET
    }
    try:
        new: Any = converted(given, NewProductBody, strict=True).product()
    except Invalid as fault:
        new = fault
    skus = [taken.sku, *(each.sku for each in taken.variants or ())]
    return ProductRow(
        line,
        taken.id,
        taken.slug or None,
        tuple(sku for sku in skus if sku),
        taken.changes(),
        taken.version,
        new,
    )


def _reply(answer: ProductAnswer) -> ProductRowReply:
    refusal = answer.refusal
    return ProductRowReply(
        line=answer.line,
        status=answer.status.value,
        id=answer.product_id,
        code=None if refusal is None else refusal.code,
        message=None if refusal is None else refusal.detail,
    )


def _columns(product: Product, *, as_cells: bool) -> dict[str, Any]:
    """A row of an exported file, by NAMES. What is a list is JSON in a cell."""
    variants = [
        {"name": each.name, "sku": each.sku, **({"price": each.price} if each.own_price else {})}
        for each in product.variants
    ]
    images = [{"url": image.url, "alt": image.alt} for image in product.images]
    lists: dict[str, Any] = {"tags": list(product.tags), "variants": variants, "images": images}
    if as_cells:
        lists = {
            "tags": "|".join(product.tags),
            "variants": json.encode(variants).decode() if variants else None,
            "images": json.encode(images).decode() if images else None,
        }
    return {
        "id": product.id,
        "sku": product.sku,
        "slug": product.slug,
        "name": product.name,
        "category": product.category,
        "brand": product.brand,
        "price": product.price,
        "currency": product.currency,
        "status": product.status.value,
        "description": product.description,
        "maxPerOrder": product.max_per_order,
        "verifiedOnly": product.verified_only,
        "version": product.version,
        **lists,
    }
