"""The one write path for stock. All waiting postings commit together in one transaction; each gets its own answer.

posting → queue → [ read the state | decide | write movements, holds, documents, records, facts ] → answers
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.clock import Clock
from service.config import Config
from service.events import Event, StockChanged
from service.idempotency import IdempotencyClaim, IdempotencyRecord
from service.infra.batcher import Batcher
from service.infra.mongo.client import Session, Transactions
from service.inventory.decisions import decide
from service.inventory.models import (
    Accepted,
    BatchState,
    Decision,
    Holder,
    Posting,
    Stock,
    StockMoved,
)
from service.inventory.repository import LedgerStore
from service.messaging.outbox import Outbox


class Ledger:
    def __init__(
        self, store: LedgerStore, transactions: Transactions, outbox: Outbox, clock: Clock, config: Config
    ) -> None:
        self._store, self._transactions, self._outbox, self._clock = store, transactions, outbox, clock
        self.group: Batcher[Posting, Accepted | IdempotencyRecord] = Batcher(
            self._commit,
            items_max=config.batch_postings_max if config.group_commit else 1,
            weight_max=config.batch_lines_max,
            waiting_max=config.postings_waiting_max,
            weigh=lambda posting: posting.weight,
        )

    async def post(self, posting: Posting) -> Accepted | IdempotencyRecord:
        """Commits the posting completely or not at all. Raises the refusal (InsufficientStock, HoldResolved,
        StateMoved, KeyReused, …), or Unavailable when the store did not answer in time."""
        return await self.group(posting)

    async def rehearse(self, batch: Sequence[Posting], before: dict[str, Stock]) -> list[Decision]:
        """What would become of the postings now; writes nothing. `before` is the stock as earlier rehearsals would have
        left it, and is moved forward."""
        state = await self._store.open(batch, None)
        state.stock |= {sku: before[sku] for sku in state.stock.keys() & before.keys()}
        decisions = decide(state, batch, self._clock.now())
        before |= state.stock
        return decisions

    async def drain(self) -> None:
        await self.group.drain()

    def forget(self) -> None:
        """The next batch reads its stock, whoever moved it last."""
        self._store.forget()

    async def _commit(self, batch: Sequence[Posting]) -> Sequence[Decision]:
        try:
            return await self._transact(batch, assume=True)
        except StockMoved:
            return await self._transact(batch, assume=False)

    async def _transact(self, batch: Sequence[Posting], assume: bool) -> Sequence[Decision]:
        """`assume`: the first run may go by the stock as this process left it; every other one reads it."""
        state = BatchState({})

        async def body(session: Session) -> list[Decision]:
            nonlocal state, assume
            state = await self._store.open(batch, session, assume)
            assume = False
            return await self._decide_and_write(state, batch, session)

        try:
            decisions = await self._transactions.run(body)
        except BaseException:  # also StockMoved: what is sold out would be assumed in vain for every batch
            self._store.forget()
            raise
        self._store.keep(state.stock)
        return decisions

    async def _decide_and_write(self, state: BatchState, batch: Sequence[Posting], session: Session) -> list[Decision]:
        now = self._clock.now()
        before = dict(state.stock)
        known, holders = set(state.recorded), dict(state.holders)
        decisions = decide(state, batch, now)
        accepted = [(p, d) for p, d in zip(batch, decisions, strict=True) if isinstance(d, Accepted)]
        changed = [(before[sku], stock) for sku, stock in state.stock.items() if stock is not before[sku]]
        if state.assumed and len(changed) < len(before):
            raise StockMoved  # nothing would be written that proves what a refusal went by
        facts = [fact for posting, _ in accepted for fact in posting.facts]
        await self._store.write(
            changed,
            [movement for _, decision in accepted for movement in decision.movements],
            [hold for _, decision in accepted for hold in decision.holds],
            [write for posting, _ in accepted for write in posting.writes],
            _records(batch, state, known),
            self._outbox.commands([*facts, *(_stock_fact(before, after) for before, after in changed)]),
            now,
            session,
            [(holders.get(user_id), holder) for user_id, holder in _moved(holders, state.holders)],
        )
        return decisions


def _moved(before: Mapping[str, Holder], after: Mapping[str, Holder]) -> list[tuple[str, Holder]]:
    return [(user_id, holder) for user_id, holder in after.items() if holder is not before.get(user_id)]


def _records(batch: Sequence[Posting], state: BatchState, known: set[str]) -> list[Mapping[str, Any]]:
    """What each new idempotency key stands for from now on, refusals included."""
    claims = {p.claim.id: p.claim for p in reversed(batch) if p.claim is not None}
    return [
        _record(claims[key], recorded) for key, recorded in state.recorded.items() if key in claims and key not in known
    ]


def _record(claim: IdempotencyClaim, recorded: IdempotencyRecord) -> Mapping[str, Any]:
    return {
        "_id": claim.id,
        "fingerprint": recorded.fingerprint,
        "outcome": recorded.outcome,
        "expiresAt": claim.expires_at,
    }


def _stock_fact(before: Stock, after: Stock) -> Event:
    return StockChanged(after.sku, after.seq, before.sellable, after.sellable, after.threshold, after.on_sale)
