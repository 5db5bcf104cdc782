"""The words of stock. A posting asks for a change; `decisions.decide` says, for a whole batch, what happens.

The words have one meaning each: a *hold* is an order's reserved stock; it is resolved once,
active → confirmed | released | expired; a *movement* is one SKU's change with the state after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from service.errors import Conflict, Invalid, NotFound, Problem
from service.events import Event
from service.idempotency import IdempotencyClaim, IdempotencyRecord


class InsufficientStock(Conflict):
    """Carries `shortages`: [{"sku", "requested", "available"}]."""

    code, title = "insufficient_stock", "There is not enough stock"


class BelowReserved(Conflict):
    code, title = "below_reserved", "Stock cannot go below what is reserved"


class CountedSince(Conflict):
    """`version` is that of the later count, which this one does not know."""

    code, title = "counted_since", "The SKU was counted again meanwhile"


class UnknownVersion(Conflict):
    """`version` is the current one."""

    code, title = "unknown_version", "The stock has never had this version"


class StockLimit(Conflict):
    code, title = "stock_limit", "Stock cannot grow beyond the limit"


class UnknownSku(NotFound):
    """`skus` are all that there are none of."""

    code, title = "unknown_sku", "There is no such SKU"


class UnknownReason(Invalid):
    code, title = "unknown_reason", "The shop has no such reason"


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


class StockMoved(Exception):
    """A SKU is not as the batch state has it: it has to be read again."""


class HoldStatus(StrEnum):
    ACTIVE = "active"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"


class MovementKind(StrEnum):
    RECEIVE = "receive"
    ADJUST = "adjust"
    COUNT = "count"
    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"
    EXPIRE = "expire"
    SELL = "sell"
    RESTOCK = "restock"
    CORRECT = "correct"


class Line(Struct, frozen=True):
    sku: str
    quantity: int


class Stock(Struct, frozen=True):
    """One SKU. `seq` counts its movements: it is the version of the document and the last entry of its history.
    `on_sale`: whether there is a live offer of it; the catalogue says so in the transaction that changes the offer.
    `counted_seq` is the movement by which it was last set to what somebody counted."""

    sku: str
    on_hand: int
    reserved: int
    seq: int
    threshold: int = 0
    product_id: str = ""
    on_sale: bool = True
    counted_seq: int = 0

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def sellable(self) -> int:
        """What anybody but staff is told there is: stock that has a live offer."""
        return self.available if self.on_sale else 0

    @property
    def low(self) -> bool:
        return self.on_sale and self.available <= self.threshold


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


class Hold(Struct, frozen=True):
    """All reservations of one order: they are made, expire and are resolved together."""

    order_id: str
    user_id: str
    lines: tuple[Line, ...]
    status: HoldStatus
    expires_at: datetime
    resolved_at: datetime | None = None
    coupon: str | None = None


class Lapsed(Struct, frozen=True):
    """A hold past its expiry that nobody has freed yet."""

    order_id: str
    user_id: str
    expires_at: datetime
    coupon: str | None = None


class Holder(Struct, frozen=True):
    """A customer and the orders whose holds count against what they may hold. `seq` is the version of the document:
    every batch that adds a hold writes it, so two processes never add one each for the same customer."""

    user_id: str
    orders: tuple[str, ...] = ()
    seq: int = 0


class HoldLimits(Protocol):
    """How much one customer may hold unpaid."""

    def check(self, lines: Sequence[Line], holds: Sequence[Hold], now: datetime) -> None:
        """Raises the refusal if the lines are more than may be held beside `holds`, the customer's own."""

    def worth_remembering(self, hold: Hold, now: datetime) -> bool:
        """Whether the hold still counts against the customer."""


# What a posting asks for.


class Change(Struct, frozen=True):
    """Goods in, an adjustment, a restock: `lines` carry signed quantities."""

    kind: MovementKind
    lines: tuple[Line, ...]


class Counted(Struct, frozen=True):
    """What lay on the shelf when the stock was at movement `at_seq`, whatever was sold since; None: as it is now."""

    sku: str
    quantity: int
    at_seq: int | None


class Count(Struct, frozen=True):
    """Sets what is on hand to what was counted: the difference at that moment is added to what there is now."""

    lines: tuple[Counted, ...]


class Correction(Struct, frozen=True):
    """One SKU whose books disagree, as it was `found`. The deltas bring its history to what is on hand, and history and
    stock to what is held; `seq` is behind everything there is."""

    found: Stock
    on_hand_delta: int
    reserved_delta: int
    reserved: int
    seq: int

    @property
    def sku(self) -> str:
        return self.found.sku


class Correct(Struct, frozen=True):
    """Repairs books by movements: refused if anything moved since they were looked at. The holds of the orders in
    `releases` end with it; `lines` have their SKUs and are reckoned without them."""

    lines: tuple[Correction, ...]
    releases: tuple[str, ...] = ()


class Reserve(Struct, frozen=True):
    """`coupon` is what the order keeps from others beside its stock: noted on the hold, so that whoever ends the hold
    knows without reading the order that something is to be given back. `also_held_by`: a guest's e-mail address."""

    order_id: str
    user_id: str
    lines: tuple[Line, ...]
    expires_at: datetime
    limits: HoldLimits | None = None
    coupon: str | None = None
    also_held_by: str | None = None


class Confirm(Struct, frozen=True):
    """Sells what is held. A hold past its expiry, swept or not, is reserved again in the same step if stock allows."""

    order_id: str


class Release(Struct, frozen=True):
    order_id: str


class Expire(Struct, frozen=True):
    """Releases a hold only if it is past its expiry at the moment of the decision."""

    order_id: str


class NoStock(Struct, frozen=True):
    """Moves no stock: a posting that only wants its documents, its guards and its idempotency key."""


class Threshold(Struct, frozen=True):
    """When stock counts as low. It goes through the ledger, so that it is never judged against stale stock; it is no
    movement. The quantities of `lines` are the thresholds."""

    lines: tuple[Line, ...]


Action = Change | Count | Correct | Reserve | Confirm | Release | Expire | NoStock | Threshold


class Expect(Struct, frozen=True):
    """A document must be in one of `allowed` states when the posting is decided. `field` may be dotted.

    The posting must also write that document: then no one else can change it between the decision and the commit."""

    collection: str
    id: str
    field: str
    allowed: frozenset[Any]
    refusal: type[Problem] | None = None

    def check(self, state: Any) -> None:
        if state not in self.allowed:
            raise StateMoved(state=state) if self.refusal is None else self.refusal()


class Below(Struct, frozen=True):
    """A counter (0 where it is not there yet) must be below `limit`. The posting must also write it."""

    collection: str
    id: str
    field: str
    limit: int
    refusal: type[Problem]

    def check(self, state: Any) -> None:
        if (state or 0) >= self.limit:
            raise self.refusal()


class Write(Struct, frozen=True):
    """A document that appears (`update` is None) or changes with the movements; `upsert` changes it into being."""

    collection: str
    id: str
    document: Mapping[str, Any] | None = None
    update: Mapping[str, Any] | None = None
    upsert: bool = False


class Reference(Struct, frozen=True):
    """The document a movement belongs to: a delivery note, an order, a return."""

    kind: str
    id: str


class Posting(Struct, frozen=True):
    action: Action
    actor: str
    reason: str = ""
    order_id: str | None = None
    claim: IdempotencyClaim | None = None
    expects: tuple[Expect | Below, ...] = ()
    writes: tuple[Write, ...] = ()
    facts: tuple[Event, ...] = ()
    resolves: int = 0
    reference: Reference | None = None

    @property
    def weight(self) -> int:
        """What it adds to its batch. `resolves` is the number of lines of the hold it settles, where that is known."""
        lines = getattr(self.action, "lines", ())
        return 1 + len(lines) + self.resolves


class Movement(Struct, frozen=True):
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
    reference: Reference | None = None


@dataclass(slots=True)
class BatchState:
    """What a batch needs to know, read in one snapshot; `decide` moves it forward posting by posting."""

    stock: dict[str, Stock]
    holds: dict[str, Hold] = field(default_factory=dict)
    documents: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    recorded: dict[str, IdempotencyRecord] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    levels: dict[tuple[str, int], int] = field(default_factory=dict)  # on hand after a movement, of what was counted
    assumed: bool = False  # the stock was not read, but is as this process left it


class HoldChange(Struct, frozen=True):
    """A hold that appears (`before` is None) or is resolved."""

    hold: Hold
    before: HoldStatus | None


class Accepted(Struct, frozen=True):
    """`stock` is each SKU the posting touched, as it left it."""

    movements: tuple[Movement, ...]
    holds: tuple[HoldChange, ...]
    stock: tuple[Stock, ...] = ()


Decision = Accepted | IdempotencyRecord | Problem


STOCK_MAX = 10**12  # far inside a 64-bit integer, far above any shop


def merge(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The same SKU twice counts twice: one line per SKU with the sum, in first-seen order."""
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.sku] = totals.get(line.sku, 0) + line.quantity
    return tuple(Line(sku, quantity) for sku, quantity in totals.items())
