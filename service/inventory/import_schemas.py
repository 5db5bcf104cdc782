"""Files of stock on the wire: what a row may say, and what is answered of it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from service.errors import Invalid
from service.inventory.imports import RowAnswer, RowKind, StockRow
from service.inventory.models import Reference, Stock
from service.inventory.schemas import QUANTITY_MAX, Reason, ReferenceId, ReferenceKind, Sku
from service.web.http.operation import Wire
from service.web.http.rows import CSV, JSON_LINES, NDJSON, Columns, Row

ROWS_MAX = 100_000
COLUMNS = ("sku", "productId", "onHand", "reserved", "available", "lowStockThreshold", "version", "onSale")


ONE_LINE = '{"sku":"85123A","kind":"receive","quantity":24}\n'
EXAMPLES = {CSV: "sku,kind,quantity\n85123A,receive,24\n", JSON_LINES: ONE_LINE, NDJSON: ONE_LINE}


class ImportQuery(Wire):
    """`kind`, `reason` and the reference are those of rows that name none of their own."""

    dry_run: bool = False
    kind: Literal["set", "receive", "adjust", "count"] | None = None
    reason: Reason | None = None
    reference_kind: ReferenceKind | None = None
    reference_id: ReferenceId | None = None


class ImportRow(Wire):
    """`onHand` is another name of `quantity`, and `version` of `countedAtSeq`, so that an exported file is one."""

    sku: Sku
    quantity: Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX, examples=[24])]
    kind: Literal["set", "receive", "adjust", "count"] | None = None
    counted_at_seq: Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None = None
    reason: Reason | None = None
    reference_kind: ReferenceKind | None = None
    reference_id: ReferenceId | None = None


STOCK_COLUMNS = Columns(
    ImportRow,
    aliases={"onHand": "quantity", "version": "countedAtSeq"},
    ignored=frozenset(COLUMNS) - {"sku", "onHand", "version"},
)


class RowReply(Wire):
    """What became of a row. `code` and `message` are of one that was refused; the stock is as the row left it."""

    line: int
    sku: str
    status: Literal["applied", "would_apply", "repeated", "refused", "not_tried", "unknown"]
    code: str | None = None
    message: str | None = None
    on_hand: int | None = None
    available: int | None = None
    version: int | None = None


class ImportReply(Wire):
    """`complete`: every row has an answer that will not change. If not, send the file again with the same key."""

    dry_run: bool
    items: Annotated[list[RowReply], msgspec.Meta(max_length=ROWS_MAX)]
    rows: int
    done: int
    repeated: int
    refused: int
    complete: bool


def stock_rows(rows: Iterator[Row], asked: ImportQuery) -> Iterator[StockRow]:
    """As the ledger is asked for them."""
    for row in rows:
        if row.fault is not None:
            yield StockRow(row.line, fault=row.fault)
        else:
            yield _stock_row(row.line, row.taken, asked)


def _stock_row(line: int, row: ImportRow, asked: ImportQuery) -> StockRow:
    """A row with a version and no kind is a count at that version."""
    kind = row.kind or ("count" if row.counted_at_seq is not None else asked.kind)
    reference_kind, reference_id = row.reference_kind, row.reference_id
    if reference_kind is None and reference_id is None:
        reference_kind, reference_id = asked.reference_kind, asked.reference_id
    fault = None
    if (reference_kind is None) != (reference_id is None):
        missing = "referenceKind" if reference_kind is None else "referenceId"
        fault = Invalid(f"{missing}: Is required beside the other part of the reference")
    return StockRow(
        line,
        row.sku,
        None if kind is None else RowKind(kind),
        row.quantity,
        row.counted_at_seq,
        row.reason or asked.reason or "",
        None if reference_kind is None or reference_id is None else Reference(reference_kind, reference_id),
        fault,
    )


def row_reply(answer: RowAnswer) -> RowReply:
    stock, refusal = answer.stock, answer.refusal
    return RowReply(
        line=answer.line,
        sku=answer.sku,
        status=answer.status.value,
        code=None if refusal is None else refusal.code,
        message=None if refusal is None else refusal.detail,
        on_hand=None if stock is None else stock.on_hand,
        available=None if stock is None else stock.available,
        version=None if stock is None else stock.seq,
    )


def stock_columns(stock: Stock) -> dict[str, Any]:
    """A row of an exported file, by the names of COLUMNS."""
    return {
        "sku": stock.sku,
        "productId": stock.product_id,
        "onHand": stock.on_hand,
        "reserved": stock.reserved,
        "available": stock.available,
        "lowStockThreshold": stock.threshold,
        "version": stock.seq,
        "onSale": stock.on_sale,
    }
