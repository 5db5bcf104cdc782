"""/api/inventory: stock as files, in and out."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from sanic import Blueprint

from service.clock import Clock
from service.config import Config
from service.errors import Invalid
from service.infra import json
from service.inventory.import_schemas import (
    COLUMNS,
    EXAMPLES,
    STOCK_COLUMNS,
    ImportQuery,
    ImportReply,
    row_reply,
    stock_columns,
    stock_rows,
)
from service.inventory.imports import RowAnswer, RowStatus
from service.inventory.models import Stock
from service.inventory.usecases import Inventory
from service.web.http.access import Access
from service.web.http.operation import Call, Reply, operation
from service.web.http.reading import media_type
from service.web.http.rows import read_rows
from service.web.http.streaming import file_of_rows, streamed

DONE = (RowStatus.APPLIED, RowStatus.WOULD_APPLY)
UNFINISHED = (RowStatus.UNKNOWN, RowStatus.NOT_TRIED)


def import_routes(blueprint: Blueprint, inventory: Inventory, clock: Clock, config: Config) -> None:
    @operation(
        blueprint,
        "POST",
        "/import",
        "Goods in, corrections and counts from a file, with an answer for every row",
        takes=ImportQuery,
        returns={200: ImportReply},
        access=Access.STAFF,
        scope="stock:write",
        limit="file",
        errors=(Invalid,),
        idempotent=True,
        compress=False,
        body_size="file",
        media=EXAMPLES,
    )
    async def import_stock(call: Call[ImportQuery]) -> Reply:
        """A header and a row each, or a JSON object a line: `sku`, `quantity`, `kind` (`receive` and `adjust` add to
        what is on hand, `set` makes it that number, `count` does so as of `countedAtSeq`), `reason`, `referenceKind`
        and `referenceId`. Each row is applied or refused for itself. With an `Idempotency-Key` each is applied once,
        however often the file is sent: after a cut send it again, and after refusals put right what was refused, in
        its line. `dryRun=1` answers the same and changes nothing. At most 100,000 rows and 16 MiB."""
        asked, request = call.taken, call.request
        rows = stock_rows(read_rows(request.body, media_type(request), STOCK_COLUMNS, config.import_lines_max), asked)
        key = call.idempotency_key(clock, config)
        answers = inventory.imported(rows, call.user.user_id, key, dry_run=asked.dry_run)
        return streamed(_document(answers, dry_run=asked.dry_run))


async def _document(answers: AsyncIterator[list[RowAnswer]], *, dry_run: bool) -> AsyncIterator[bytes]:
    """An ImportReply, as far as it is known: nothing of it is kept."""
    counts: Counter[RowStatus] = Counter()
    yield b'{"dryRun":%s,"items":[' % json.encode(dry_run)
    async for chunk in answers:
        first = not counts
        counts.update(answer.status for answer in chunk)
        yield (b"" if first else b",") + _items(chunk)
    totals = {
        "rows": counts.total(),
        "done": sum(counts[status] for status in DONE),
        "repeated": counts[RowStatus.REPEATED],
        "refused": counts[RowStatus.REFUSED],
        "complete": not any(counts[status] for status in UNFINISHED),
    }
    yield b"]," + json.encode(totals)[1:]


def _items(chunk: Sequence[RowAnswer]) -> bytes:
    return json.encode([row_reply(answer) for answer in chunk])[1:-1]


def stock_file(pages: AsyncIterator[tuple[Stock, ...]], kind: Literal["csv", "jsonl"]) -> Reply:
    rows = (map(stock_columns, page) async for page in pages)
    return file_of_rows("stock", kind, rows, COLUMNS)
