"""The rules of stock. A posting asks for a change; `decide` says, for a whole batch in arrival order, what happens.

Pure: no clock, no store. The words have one meaning each: a *hold* is an order's reserved stock; it is resolved once,
active → confirmed | released | expired; a *movement* is one SKU's change with the state after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.errors import Conflict, NotFound, Problem, remember
from service.events import Event


class InsufficientStock(Conflict):
    """Carries `shortages`: [{"sku", "requested", "available"}]."""

    code, title = "insufficient_stock", "There is not enough stock"


class BelowReserved(Conflict):
    code, title = "below_reserved", "Stock cannot go below what is reserved"


class StockLimit(Conflict):
    code, title = "stock_limit", "Stock cannot grow beyond the limit"


class UnknownSku(NotFound):
    code, title = "unknown_sku", "There is no such SKU"


class HoldResolved(Conflict):
    """The hold was already resolved; `reservation` says how."""

    code, title = "reservation_resolved", "The reservation has already been resolved"


class ReservationExpired(Conflict):
    code, title = "reservation_expired", "The reservation expired and the stock is gone"


class StateMoved(Conflict):
    """A guarded document was not in the state the posting expected; `state` is what it met."""

    code, title = "state_moved", "The state has changed meanwhile"


class KeyReused(Conflict):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used for another request"


class HoldStatus(StrEnum):
    ACTIVE = "active"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"


class MovementKind(StrEnum):
    RECEIVE = "receive"
    ADJUST = "adjust"
    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"
    EXPIRE = "expire"
    SELL = "sell"
    RESTOCK = "restock"


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """One SKU. `seq` counts its movements: it is the version of the document and the last entry of its history."""

    sku: str
    on_hand: int
    reserved: int
    seq: int
    threshold: int = 0
    product_id: str = ""

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def low(self) -> bool:
        return self.available <= self.threshold


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold's line as stored: one SKU of one order."""

    id: str
    order_id: str
    user_id: str
    sku: str
    quantity: int
    status: HoldStatus
    expires_at: datetime
    created_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """All reservations of one order: they are made, expire and are resolved together."""

    order_id: str
    user_id: str
    lines: tuple[Line, ...]
    status: HoldStatus
    expires_at: datetime


# What a posting asks for.


@dataclass(frozen=True, slots=True)
class Change:
    """Goods in, an adjustment, a restock: `lines` carry signed quantities."""

    kind: MovementKind
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Reserve:
    order_id: str
    user_id: str
    lines: tuple[Line, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Confirm:
    """Sells what is held. A hold past its expiry, swept or not, is reserved again in the same step if stock allows."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Release:
    order_id: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Releases a hold only if it is past its expiry at the moment of the decision."""

    order_id: str


@dataclass(frozen=True, slots=True)
class NoStock:
    """Moves no stock: a posting that only wants its documents, its guards and its idempotency key."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """When stock counts as low. It goes through the ledger, so that it is never judged against stale stock; it is no
    movement. The quantities of `lines` are the thresholds."""

    lines: tuple[Line, ...]


Action = Change | Reserve | Confirm | Release | Expire | NoStock | Threshold


@dataclass(frozen=True, slots=True)
class Expect:
    """A document must be in one of `allowed` states when the posting is decided. `field` may be dotted.

    The posting must also write that document: then no one else can change it between the decision and the commit."""

    collection: str
    id: str
    field: str
    allowed: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Write:
    """A document that appears (`update` is None) or changes with the movements."""

    collection: str
    id: str
    document: Mapping[str, Any] | None = None
    update: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key: `outcome` is remembered with the posting, so that a repetition is answered the same.
    A refusal is remembered too, unless the caller has another step to take first (`refusals` is False)."""

    id: str
    fingerprint: str
    outcome: Mapping[str, Any]
    expires_at: datetime
    refusals: bool = True


@dataclass(frozen=True, slots=True)
class Posting:
    action: Action
    actor: str
    reason: str = ""
    order_id: str | None = None
    claim: Claim | None = None
    expects: tuple[Expect, ...] = ()
    writes: tuple[Write, ...] = ()
    facts: tuple[Event, ...] = ()

    @property
    def weight(self) -> int:
        lines = getattr(self.action, "lines", ())
        return 1 + len(lines)


@dataclass(frozen=True, slots=True)
class Movement:
    """One StockHistory entry. Replaying a SKU's movements gives its state."""

    sku: str
    seq: int
    kind: MovementKind
    on_hand_delta: int
    reserved_delta: int
    on_hand: int
    reserved: int
    actor: str
    reason: str
    order_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an idempotency key already stands for."""

    fingerprint: str
    outcome: Mapping[str, Any]


@dataclass(slots=True)
class Books:
    """What a batch needs to know, read in one snapshot; `decide` moves it forward posting by posting."""

    stock: dict[str, Stock]
    holds: dict[str, Hold] = field(default_factory=dict)
    documents: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    recorded: dict[str, Recorded] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A hold that appears (`before` is None) or is resolved."""

    hold: Hold
    before: HoldStatus | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """`stock` is each SKU the posting touched, as it left it."""

    movements: tuple[Movement, ...]
    holds: tuple[HoldChange, ...]
    stock: tuple[Stock, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    outcome: Mapping[str, Any]


Decision = Accepted | Replayed | Problem


def decide(books: Books, batch: Sequence[Posting], now: datetime) -> list[Decision]:
    """One decision per posting, in arrival order, each seeing what the earlier ones did. `books` is moved forward."""
    return [_decide_one(books, posting, now) for posting in batch]


def _decide_one(books: Books, posting: Posting, now: datetime) -> Decision:
    claim = posting.claim
    if claim is not None and claim.id in books.recorded:
        recorded = books.recorded[claim.id]
        return Replayed(recorded.outcome) if recorded.fingerprint == claim.fingerprint else KeyReused()
    try:
        _check_expectations(books, posting)
        accepted = _Step(books, posting, now).run()
        decision: Decision = accepted
        _apply_writes(books, posting)
        if claim is not None:
            books.recorded[claim.id] = Recorded(claim.fingerprint, _outcome(posting, claim, accepted))
    except Problem as refusal:
        decision = refusal
        if claim is not None and claim.refusals:
            books.recorded[claim.id] = Recorded(claim.fingerprint, remember(refusal))
    return decision


def _outcome(posting: Posting, claim: Claim, accepted: Accepted) -> Mapping[str, Any]:
    """A change of stock is answered with the stock it left, so that is what its key stands for."""
    if not isinstance(posting.action, Change) or posting.order_id is not None:
        return claim.outcome
    return {**claim.outcome, "stock": [asdict(stock) for stock in accepted.stock]}


def _check_expectations(books: Books, posting: Posting) -> None:
    for expect in posting.expects:
        document = books.documents.get((expect.collection, expect.id))
        state = _at(document, expect.field)
        if state not in expect.allowed:
            raise StateMoved(state=state)


def _at(document: Mapping[str, Any] | None, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _apply_writes(books: Books, posting: Posting) -> None:
    """Later postings of the batch see the guarded documents as this one leaves them."""
    for write in posting.writes:
        key = (write.collection, write.id)
        if write.update is not None and key in books.documents:
            books.documents[key] = _updated(books.documents[key], write.update)


def _updated(document: Mapping[str, Any], update: Mapping[str, Any]) -> Mapping[str, Any]:
    """$set (dotted or not) and $inc, which is all that guards look at."""
    after = dict(document)
    for path, value in update.get("$set", {}).items():
        head, _, rest = path.partition(".")
        after[head] = _updated(after.get(head) or {}, {"$set": {rest: value}}) if rest else value
    for name, step in update.get("$inc", {}).items():
        after[name] = after.get(name, 0) + step
    return after


class _Step:
    """One posting against the books: works on copies and touches the books only when all of it fits."""

    def __init__(self, books: Books, posting: Posting, now: datetime) -> None:
        self._books, self._posting, self._now = books, posting, now
        self._stock: dict[str, Stock] = {}
        self._movements: list[Movement] = []
        self._holds: list[HoldChange] = []

    def run(self) -> Accepted:
        match self._posting.action:
            case Change(kind, lines):
                self._change(kind, merge(lines))
            case Reserve() as reserve:
                self._reserve(reserve)
            case Confirm(order_id):
                self._confirm(self._hold(order_id))
            case Release(order_id):
                self._release(self._hold(order_id))
            case Expire(order_id):
                self._expire(self._hold(order_id))
            case NoStock():
                pass
            case Threshold(lines):
                self._stock = {line.sku: replace(self._known(line.sku), threshold=line.quantity) for line in lines}
        self._books.stock |= self._stock
        self._books.holds |= {change.hold.order_id: change.hold for change in self._holds}
        return Accepted(tuple(self._movements), tuple(self._holds), tuple(self._stock.values()))

    def _change(self, kind: MovementKind, lines: tuple[Line, ...]) -> None:
        for line in lines:
            after = self._known(line.sku)
            if after.on_hand + line.quantity < after.reserved:
                raise BelowReserved(sku=line.sku, reserved=after.reserved, onHand=after.on_hand)
            self._move(kind, line.sku, on_hand=line.quantity)

    def _reserve(self, reserve: Reserve) -> None:
        lines = merge(reserve.lines)
        self._require(lines)
        for line in lines:
            self._move(MovementKind.RESERVE, line.sku, reserved=line.quantity)
        hold = Hold(reserve.order_id, reserve.user_id, lines, HoldStatus.ACTIVE, reserve.expires_at)
        self._holds.append(HoldChange(hold, None))

    def _confirm(self, hold: Hold) -> None:
        alive = hold.status is HoldStatus.ACTIVE and self._now < hold.expires_at
        if alive:
            for line in hold.lines:
                self._move(MovementKind.CONFIRM, line.sku, on_hand=-line.quantity, reserved=-line.quantity)
            self._holds.append(HoldChange(replace(hold, status=HoldStatus.CONFIRMED), hold.status))
        elif hold.status in {HoldStatus.ACTIVE, HoldStatus.EXPIRED}:
            self._sell_again(hold)
        else:
            raise HoldResolved(reservation=hold.status.value)

    def _sell_again(self, hold: Hold) -> None:
        """The old reservations stay expired (resolved once); new ones are born confirmed."""
        if hold.status is HoldStatus.ACTIVE:
            self._free(MovementKind.EXPIRE, hold, HoldStatus.EXPIRED)
        try:
            self._require(hold.lines)
        except InsufficientStock as short:
            raise ReservationExpired(**short.extra) from short
        for line in hold.lines:
            self._move(MovementKind.SELL, line.sku, on_hand=-line.quantity)
        self._holds.append(HoldChange(replace(hold, status=HoldStatus.CONFIRMED), None))

    def _release(self, hold: Hold) -> None:
        if hold.status is HoldStatus.ACTIVE:
            self._free(MovementKind.RELEASE, hold, HoldStatus.RELEASED)
        elif hold.status is not HoldStatus.EXPIRED:  # an expired hold has nothing left to free
            raise HoldResolved(reservation=hold.status.value)

    def _expire(self, hold: Hold) -> None:
        if hold.status is not HoldStatus.ACTIVE or self._now < hold.expires_at:
            raise HoldResolved(reservation=hold.status.value)
        self._free(MovementKind.EXPIRE, hold, HoldStatus.EXPIRED)

    def _free(self, kind: MovementKind, hold: Hold, status: HoldStatus) -> None:
        for line in hold.lines:
            self._move(kind, line.sku, reserved=-line.quantity)
        self._holds.append(HoldChange(replace(hold, status=status), hold.status))

    def _require(self, lines: Sequence[Line]) -> None:
        states = [(line, self._known(line.sku)) for line in lines]
        shortages = [
            {"sku": line.sku, "requested": line.quantity, "available": stock.available}
            for line, stock in states
            if stock.available < line.quantity
        ]
        if shortages:
            raise InsufficientStock(shortages=shortages)

    def _known(self, sku: str) -> Stock:
        stock = self._stock.get(sku) or self._books.stock.get(sku)
        if stock is None:
            raise UnknownSku(f"There is no SKU {sku}", sku=sku)
        return stock

    def _hold(self, order_id: str) -> Hold:
        hold = self._books.holds.get(order_id)
        if hold is None:
            raise NotFound(f"There is no reservation for order {order_id}")
        return hold

    def _move(self, kind: MovementKind, sku: str, on_hand: int = 0, reserved: int = 0) -> None:
        before = self._known(sku)
        after = replace(
            before, on_hand=before.on_hand + on_hand, reserved=before.reserved + reserved, seq=before.seq + 1
        )
        if after.on_hand > STOCK_MAX:
            raise StockLimit(sku=sku, limit=STOCK_MAX)
        assert after.reserved >= 0, f"{sku}: more was freed than was reserved"
        assert after.available >= 0, f"{sku}: {kind} would oversell"
        self._stock[sku] = after
        self._movements.append(
            Movement(
                sku,
                after.seq,
                kind,
                on_hand,
                reserved,
                after.on_hand,
                after.reserved,
                self._posting.actor,
                self._posting.reason,
                self._posting.order_id,
                self._now,
            )
        )


STOCK_MAX = 10**12  # far inside a 64-bit integer, far above any shop


def merge(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The same SKU twice counts twice: one line per SKU with the sum, in first-seen order."""
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.sku] = totals.get(line.sku, 0) + line.quantity
    return tuple(Line(sku, quantity) for sku, quantity in totals.items())
