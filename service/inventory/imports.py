"""Imports of stock: a file of rows as postings of the ledger, one a row, so that each is answered for and applied once.

The id of each posting is the file's idempotency key with the row's line: the same file sent again after a cut does
what is left of it. A refusal is not remembered, so a row that was put right is applied when the file comes again."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice

import msgspec
from msgspec import Struct

from service.config import Config
from service.errors import Invalid, Problem, Unavailable
from service.idempotency import IdempotencyClaim, IdempotencyKey, IdempotencyRecord
from service.infra.mongo.client import UNREACHABLE
from service.inventory.ledger import Ledger
from service.inventory.models import (
    Accepted,
    Change,
    Count,
    Counted,
    Decision,
    Line,
    MovementKind,
    Posting,
    Reference,
    Stock,
)

CHUNKS_WAITING = 2  # batches of the ledger: whoever checks out meanwhile waits for no more


class RowKind(StrEnum):
    """`set` makes what is on hand a number, `count` does so as of the version that was counted at."""

    SET = "set"
    RECEIVE = "receive"
    ADJUST = "adjust"
    COUNT = "count"


class RowStatus(StrEnum):
    APPLIED = "applied"
    WOULD_APPLY = "would_apply"  # a dry run
    REPEATED = "repeated"  # applied when the file came before
    REFUSED = "refused"
    NOT_TRIED = "not_tried"  # behind a row whose end is not known, because the store did not answer
    UNKNOWN = "unknown"


class StockRow(Struct, frozen=True):
    """One row as it was read; or, with a `fault`, why it cannot be one."""

    line: int
    sku: str = ""
    kind: RowKind | None = None
    quantity: int = 0
    at_seq: int | None = None
    reason: str = ""
    reference: Reference | None = None
    fault: Problem | None = None


class RowAnswer(Struct, frozen=True):
    """`stock` is as the row left it, or would leave it."""

    line: int
    sku: str
    status: RowStatus
    stock: Stock | None = None
    refusal: Problem | None = None


def action(row: StockRow) -> Change | Count:
    """What a row asks of the ledger. Raises Invalid."""
    match row.kind:
        case None:
            raise _fault("kind", f"Is required: {', '.join(RowKind)}")
        case RowKind.RECEIVE if row.quantity < 1:
            raise _fault("quantity", "Must be at least 1 of what is received")
        case RowKind.ADJUST if row.quantity == 0:
            raise _fault("quantity", "Must not be 0 of what is adjusted")
        case RowKind.SET | RowKind.COUNT if row.quantity < 0:
            raise _fault("quantity", "Must be at least 0: what is on hand")
        case RowKind.COUNT if row.at_seq is None:
            raise _fault("countedAtSeq", "Is required: the version that was read before counting")
        case RowKind.RECEIVE:
            return Change(MovementKind.RECEIVE, (Line(row.sku, row.quantity),))
        case RowKind.ADJUST:
            return Change(MovementKind.ADJUST, (Line(row.sku, row.quantity),))
        case RowKind.SET:
            return Count((Counted(row.sku, row.quantity, None),))
    return Count((Counted(row.sku, row.quantity, row.at_seq),))


def _fault(path: str, message: str) -> Invalid:
    return Invalid(f"{path}: {message}", errors=[{"path": path, "message": message}])


def posting(row: StockRow, actor: str, key: IdempotencyKey | None) -> Posting:
    claim = None if key is None else _claim(row, key)
    return Posting(action(row), actor, row.reason, claim=claim, reference=row.reference)


def _claim(row: StockRow, key: IdempotencyKey) -> IdempotencyClaim:
    asked = [row.kind, row.sku, row.quantity, row.at_seq, row.reason, row.reference]
    fingerprint = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
    return IdempotencyClaim(f"{key.id} {row.line}", fingerprint, {}, key.expires_at, refusals=False)


class StockImport:
    def __init__(self, ledger: Ledger, config: Config) -> None:
        self._ledger, self._at_once = ledger, config.batch_postings_max

    async def apply(
        self, rows: Iterable[StockRow], actor: str, key: IdempotencyKey | None
    ) -> AsyncIterator[list[RowAnswer]]:
        """Answers in the order of the file, a chunk at a time; rows of one SKU are applied in that order. The next rows
        are read while the ones before them are committed."""
        sent: deque[asyncio.Future[list[RowAnswer]]] = deque()
        chunks, down = _chunks(rows, self._at_once), False
        while not down:
            while len(sent) < CHUNKS_WAITING and (chunk := next(chunks, None)):
                sent.append(asyncio.gather(*(self._applied(row, actor, key) for row in chunk)))
            if not sent:
                return
            answers = await sent.popleft()
            down = any(answer.status is RowStatus.UNKNOWN for answer in answers)
            yield answers
        while sent:
            yield await sent.popleft()
        for chunk in chunks:
            yield [RowAnswer(row.line, row.sku, RowStatus.NOT_TRIED) for row in chunk]

    async def _applied(self, row: StockRow, actor: str, key: IdempotencyKey | None) -> RowAnswer:
        try:
            if row.fault is not None:
                raise row.fault
            outcome: Decision = await self._ledger.post(posting(row, actor, key))
        except (Unavailable, *UNREACHABLE):
            return RowAnswer(row.line, row.sku, RowStatus.UNKNOWN)
        except Problem as refusal:
            outcome = refusal
        return _answer(row, outcome, RowStatus.APPLIED)

    async def rehearse(
        self, rows: Iterable[StockRow], actor: str, key: IdempotencyKey | None
    ) -> AsyncIterator[list[RowAnswer]]:
        """What `apply` would answer now, by the same decisions, each row seeing what those before it would do."""
        before: dict[str, Stock] = {}
        for chunk in _chunks(rows, self._at_once):
            postings = [_or_fault(row, actor, key) for row in chunk]
            readable = [each for each in postings if isinstance(each, Posting)]
            decided = iter(await self._ledger.rehearse(readable, before) if readable else [])
            outcomes = [next(decided) if isinstance(each, Posting) else each for each in postings]
            yield [_answer(row, each, RowStatus.WOULD_APPLY) for row, each in zip(chunk, outcomes, strict=True)]


def _or_fault(row: StockRow, actor: str, key: IdempotencyKey | None) -> Posting | Problem:
    try:
        return row.fault or posting(row, actor, key)
    except Problem as fault:
        return fault


def _answer(row: StockRow, outcome: Decision, applied: RowStatus) -> RowAnswer:
    match outcome:
        case Accepted():
            return RowAnswer(row.line, row.sku, applied, outcome.stock[0])
        case IdempotencyRecord():
            return RowAnswer(row.line, row.sku, RowStatus.REPEATED, Stock(**outcome.outcome["stock"][0]))
    return RowAnswer(row.line, row.sku, RowStatus.REFUSED, refusal=outcome)


def _chunks(rows: Iterable[StockRow], size: int) -> Iterator[Sequence[StockRow]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, size)):
        yield chunk
