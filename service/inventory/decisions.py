"""What happens to a batch of postings: who fits, in arrival order. Pure: no clock, no store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict, replace

from service.errors import NotFound, Problem, remember
from service.idempotency import IdempotencyClaim, IdempotencyRecord
from service.inventory.allowance import holders_of
from service.inventory.models import (
    STOCK_MAX,
    Accepted,
    BatchState,
    BelowReserved,
    Change,
    Confirm,
    Correct,
    Correction,
    Count,
    Counted,
    CountedSince,
    Decision,
    Expire,
    Hold,
    HoldChange,
    Holder,
    HoldLimits,
    HoldResolved,
    HoldStatus,
    InsufficientStock,
    KeyReused,
    Line,
    Movement,
    MovementKind,
    NoStock,
    Posting,
    Release,
    ReservationExpired,
    Reserve,
    StateMoved,
    Stock,
    StockLimit,
    StockMoved,
    Threshold,
    UnknownSku,
    UnknownVersion,
    merge,
)


def decide(state: BatchState, batch: Sequence[Posting], now: datetime) -> list[Decision]:
    """One decision per posting, in arrival order, each seeing what the earlier ones did. `state` is moved forward."""
    return [_decide_one(state, posting, now) for posting in batch]


def _decide_one(state: BatchState, posting: Posting, now: datetime) -> Decision:
    claim = posting.claim
    if claim is not None and claim.id in state.recorded:
        recorded = state.recorded[claim.id]
        return recorded if recorded.fingerprint == claim.fingerprint else KeyReused()
    try:
        _check_expectations(state, posting)
        accepted = _Step(state, posting, now).run()
        decision: Decision = accepted
        _apply_writes(state, posting)
        if claim is not None and claim.kept:
            state.recorded[claim.id] = IdempotencyRecord(claim.fingerprint, _outcome(posting, claim, accepted))
    except Problem as refusal:
        decision = refusal
        if claim is not None and claim.kept and claim.refusals:
            state.recorded[claim.id] = IdempotencyRecord(claim.fingerprint, remember(refusal))
    return decision


def _outcome(posting: Posting, claim: IdempotencyClaim, accepted: Accepted) -> Mapping[str, Any]:
    """A change of stock is answered with the stock it left, so that is what its key stands for."""
    if not isinstance(posting.action, Change | Count) or posting.order_id is not None:
        return claim.outcome
    return {**claim.outcome, "stock": [asdict(stock) for stock in accepted.stock]}


def _check_expectations(state: BatchState, posting: Posting) -> None:
    for expect in posting.expects:
        document = state.documents.get((expect.collection, expect.id))
        expect.check(_at(document, expect.field))


def _at(document: Mapping[str, Any] | None, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _apply_writes(state: BatchState, posting: Posting) -> None:
    """Later postings of the batch see the guarded documents as this one leaves them."""
    for write in posting.writes:
        key = (write.collection, write.id)
        if write.update is not None and (write.upsert or key in state.documents):
            state.documents[key] = _updated(state.documents.get(key, {}), write.update)


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
    """One posting against the state: works on copies and touches the state only when all of it fits."""

    def __init__(self, state: BatchState, posting: Posting, now: datetime) -> None:
        self._state, self._posting, self._now = state, posting, now
        self._stock: dict[str, Stock] = {}
        self._movements: list[Movement] = []
        self._holds: list[HoldChange] = []
        self._holders: dict[str, Holder] = {}

    def run(self) -> Accepted:
        match self._posting.action:
            case Change(kind, lines):
                self._change(kind, merge(lines))
            case Count(counted):
                self._check_known(counted)
                for line in counted:
                    self._count(line)
            case Correct(corrections, releases):
                for correction in corrections:
                    self._correct(correction)
                self._end(releases)
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
        self._state.stock |= self._stock
        self._state.holds |= {change.hold.order_id: change.hold for change in self._holds}
        self._state.holders |= self._holders
        return Accepted(tuple(self._movements), tuple(self._holds), tuple(self._stock.values()))

    def _change(self, kind: MovementKind, lines: tuple[Line, ...]) -> None:
        self._check_known(lines)
        for line in lines:
            after = self._known(line.sku)
            if after.on_hand + line.quantity < after.reserved:
                raise BelowReserved(sku=line.sku, reserved=after.reserved, onHand=after.on_hand)
            self._move(kind, line.sku, on_hand=line.quantity)

    def _count(self, line: Counted) -> None:
        """A count that is older than another one would undo it, and the same one sent twice would count twice."""
        stock = self._known(line.sku)
        if line.at_seq is not None and line.at_seq < stock.counted_seq:
            raise CountedSince(f"{line.sku} was counted again meanwhile", sku=line.sku, version=stock.counted_seq)
        delta = line.quantity - self._level(stock, line.at_seq)
        if stock.on_hand + delta < stock.reserved:
            raise BelowReserved(sku=line.sku, reserved=stock.reserved, onHand=stock.on_hand)
        self._move(MovementKind.COUNT, line.sku, on_hand=delta)
        after = self._stock[line.sku]
        self._stock[line.sku] = replace(after, counted_seq=after.seq)

    def _level(self, stock: Stock, at_seq: int | None) -> int:
        """What the books had on hand at that movement."""
        if at_seq is None or at_seq == stock.seq:
            return stock.on_hand
        level = 0 if at_seq == 0 else self._state.levels.get((stock.sku, at_seq))
        if level is None or at_seq > stock.seq:
            raise UnknownVersion(f"{stock.sku} is at version {stock.seq}", sku=stock.sku, version=stock.seq)
        return level

    def _correct(self, correction: Correction) -> None:
        """What was found is exactly what is there: neither its history nor its holds have moved since."""
        stock = self._known(correction.sku)
        if stock != correction.found:
            raise StateMoved(f"{stock.sku} moved meanwhile", state=stock.seq)
        after = replace(stock, reserved=correction.reserved, seq=correction.seq)
        self._enter(MovementKind.CORRECT, after, correction.on_hand_delta, correction.reserved_delta)

    def _end(self, order_ids: Sequence[str]) -> None:
        for hold in map(self._hold, order_ids):
            if hold.status is not HoldStatus.ACTIVE:
                raise HoldResolved(reservation=hold.status.value)
            released = replace(hold, status=HoldStatus.RELEASED, resolved_at=self._now)
            self._holds.append(HoldChange(released, hold.status))

    def _reserve(self, reserve: Reserve) -> None:
        lines = merge(reserve.lines)
        self._require(lines)
        if reserve.limits is not None:
            self._admit(reserve, lines, reserve.limits)
        for line in lines:
            self._move(MovementKind.RESERVE, line.sku, reserved=line.quantity)
        hold = Hold(
            reserve.order_id, reserve.user_id, lines, HoldStatus.ACTIVE, reserve.expires_at, coupon=reserve.coupon
        )
        self._holds.append(HoldChange(hold, None))

    def _admit(self, reserve: Reserve, lines: tuple[Line, ...], limits: HoldLimits) -> None:
        """What the customer holds is looked at as the earlier postings of the batch leave it."""
        for name in holders_of(reserve):
            holder = self._state.holders.get(name) or Holder(name)
            holds = [self._state.holds[order_id] for order_id in holder.orders if order_id in self._state.holds]
            limits.check(lines, holds, self._now)
            remembered = tuple(hold.order_id for hold in holds if limits.worth_remembering(hold, self._now))
            self._holders[name] = Holder(name, (*remembered, reserve.order_id), holder.seq + 1)

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
            self._require(hold.lines, ordered_before=True)
        except InsufficientStock as short:
            raise ReservationExpired(**short.extra) from short
        for line in hold.lines:
            self._move(MovementKind.SELL, line.sku, on_hand=-line.quantity)
        self._holds.append(HoldChange(replace(hold, status=HoldStatus.CONFIRMED), None))

    def _release(self, hold: Hold) -> None:
        if hold.status is HoldStatus.ACTIVE and self._now < hold.expires_at:
            self._free(MovementKind.RELEASE, hold, HoldStatus.RELEASED)
        elif hold.status is HoldStatus.ACTIVE:
            self._free(MovementKind.EXPIRE, hold, HoldStatus.EXPIRED)
        elif hold.status is not HoldStatus.EXPIRED:  # an expired hold has nothing left to free
            raise HoldResolved(reservation=hold.status.value)

    def _expire(self, hold: Hold) -> None:
        if hold.status is not HoldStatus.ACTIVE or self._now < hold.expires_at:
            raise HoldResolved(reservation=hold.status.value)
        self._free(MovementKind.EXPIRE, hold, HoldStatus.EXPIRED)

    def _free(self, kind: MovementKind, hold: Hold, status: HoldStatus) -> None:
        for line in hold.lines:
            self._move(kind, line.sku, reserved=-line.quantity)
        self._holds.append(HoldChange(replace(hold, status=status, resolved_at=self._now), hold.status))

    def _require(self, lines: Sequence[Line], ordered_before: bool = False) -> None:
        """What was ordered while it was on sale is sold even if it has left the catalogue meanwhile."""
        self._check_known(lines)
        states = [(line, self._known(line.sku)) for line in lines]
        free = [(line, stock.available if ordered_before else stock.sellable) for line, stock in states]
        shortages = [
            {"sku": line.sku, "requested": line.quantity, "available": left}
            for line, left in free
            if left < line.quantity
        ]
        if shortages:
            raise InsufficientStock(shortages=shortages)

    def _check_known(self, lines: Sequence[Line | Counted]) -> None:
        """Every line is answered for: not the first unknown SKU is named, but all."""
        unknown = [line.sku for line in lines if line.sku not in self._state.stock]
        if unknown:
            raise UnknownSku(f"There is no SKU {', '.join(unknown)}", sku=unknown[0], skus=unknown)

    def _known(self, sku: str) -> Stock:
        stock = self._stock.get(sku) or self._state.stock.get(sku)
        if stock is None:
            raise UnknownSku(f"There is no SKU {sku}", sku=sku)
        return stock

    def _hold(self, order_id: str) -> Hold:
        hold = self._state.holds.get(order_id)
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
        if self._state.assumed and not 0 <= after.reserved <= after.on_hand:
            raise StockMoved  # holds are always read: this one was born after the stock that is assumed here
        assert after.reserved >= 0, f"{sku}: more was freed than was reserved"
        assert after.available >= 0, f"{sku}: {kind} would oversell"
        self._enter(kind, after, on_hand, reserved)

    def _enter(self, kind: MovementKind, after: Stock, on_hand: int, reserved: int) -> None:
        self._stock[after.sku] = after
        self._movements.append(
            Movement(
                after.sku,
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
                self._posting.reference,
            )
        )
