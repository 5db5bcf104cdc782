"""The one write path for stock. All waiting postings commit together in one transaction; each gets its own answer.

posting → queue → [ open the books | decide | write movements, holds, documents, records, facts ] → answers
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.clock import Clock
from service.config import Config
from service.events import Event, StockChanged
from service.infra.batcher import GroupCommit
from service.infra.mongo.client import Session, Transactions
from service.inventory.decisions import decide
from service.inventory.models import (
    Accepted,
    Books,
    Claim,
    Decision,
    Holder,
    Posting,
    Recorded,
    Replayed,
    Stock,
    StockMoved,
)
from service.inventory.repository import Bookkeeping
from service.messaging.outbox import Outbox


class Ledger:
    def __init__(
        self, books: Bookkeeping, transactions: Transactions, outbox: Outbox, clock: Clock, config: Config
    ) -> None:
        self._books, self._transactions, self._outbox, self._clock = books, transactions, outbox, clock
        self.group: GroupCommit[Posting, Accepted | Replayed] = GroupCommit(
            self._commit,
            items_max=config.batch_postings_max if config.group_commit else 1,
            weight_max=config.batch_lines_max,
            waiting_max=config.postings_waiting_max,
            weigh=lambda posting: posting.weight,
        )

    async def post(self, posting: Posting) -> Accepted | Replayed:
        """Commits the posting completely or not at all. Raises the refusal (InsufficientStock, HoldResolved,
        StateMoved, KeyReused, …), or Unavailable when the store did not answer in time."""
        return await self.group(posting)

    async def drain(self) -> None:
        await self.group.drain()

    def forget(self) -> None:
        """The next batch reads its stock, whoever moved it last."""
        self._books.forget()

    async def _commit(self, batch: Sequence[Posting]) -> Sequence[Decision]:
        try:
            return await self._transact(batch, assume=True)
        except StockMoved:
            return await self._transact(batch, assume=False)

    async def _transact(self, batch: Sequence[Posting], assume: bool) -> Sequence[Decision]:
        """`assume`: the first run may go by the stock as this process left it; every other one reads it."""
        books = Books({})

        async def body(session: Session) -> list[Decision]:
            nonlocal books, assume
            books = await self._books.open(batch, session, assume)
            assume = False
            return await self._decide_and_write(books, batch, session)

        try:
            decisions = await self._transactions.run(body)
        except BaseException:  # also StockMoved: what is sold out would be assumed in vain for every batch
            self._books.forget()
            raise
        self._books.keep(books.stock)
        return decisions

    async def _decide_and_write(self, books: Books, batch: Sequence[Posting], session: Session) -> list[Decision]:
        now = self._clock.now()
        before = dict(books.stock)
        known, holders = set(books.recorded), dict(books.holders)
        decisions = decide(books, batch, now)
        accepted = [(p, d) for p, d in zip(batch, decisions, strict=True) if isinstance(d, Accepted)]
        changed = [(before[sku], stock) for sku, stock in books.stock.items() if stock is not before[sku]]
        if books.assumed and len(changed) < len(before):
            raise StockMoved  # nothing would be written that proves what a refusal went by
        facts = [fact for posting, _ in accepted for fact in posting.facts]
        await self._books.write(
            changed,
            [movement for _, decision in accepted for movement in decision.movements],
            [hold for _, decision in accepted for hold in decision.holds],
            [write for posting, _ in accepted for write in posting.writes],
            _records(batch, books, known),
            self._outbox.commands([*facts, *(_stock_fact(before, after) for before, after in changed)]),
            now,
            session,
            [(holders.get(user_id), holder) for user_id, holder in _moved(holders, books.holders)],
        )
        return decisions


def _moved(before: Mapping[str, Holder], after: Mapping[str, Holder]) -> list[tuple[str, Holder]]:
    return [(user_id, holder) for user_id, holder in after.items() if holder is not before.get(user_id)]


def _records(batch: Sequence[Posting], books: Books, known: set[str]) -> list[Mapping[str, Any]]:
    """What each new idempotency key stands for from now on, refusals included."""
    claims = {p.claim.id: p.claim for p in reversed(batch) if p.claim is not None}
    return [
        _record(claims[key], recorded) for key, recorded in books.recorded.items() if key in claims and key not in known
    ]


def _record(claim: Claim, recorded: Recorded) -> Mapping[str, Any]:
    return {
        "_id": claim.id,
        "fingerprint": recorded.fingerprint,
        "outcome": recorded.outcome,
        "expiresAt": claim.expires_at,
    }


def _stock_fact(before: Stock, after: Stock) -> Event:
    return StockChanged(after.sku, after.seq, before.sellable, after.sellable, after.threshold, after.on_sale)
