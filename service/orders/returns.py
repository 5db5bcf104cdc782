"""Goods that come back: requested, received, inspected, closed; apart from the money, which a refund gives back.

A return is a part of its order, so the order's version guards every step: two of them never take the same units."""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from service.errors import Invalid, Unavailable
from service.idempotency import IdempotencyKey, IdempotencyRecord
from service.inventory.ledger import Ledger
from service.inventory.models import KeyReused, Line, Posting, StateMoved, merge
from service.orders import postings
from service.orders.models import Order
from service.orders.repository import OrderRepository
from service.orders.return_models import (
    Return,
    ReturnChange,
    ReturnLine,
    ReturnNotFound,
    ReturnStatus,
    ReturnTooLarge,
    TooManyReturns,
)
from service.orders.usecases import OrderResult, Orders, recorded, replayed_order, wrong_status
from service.runtime import Runtime

RETURNS_MAX = 50  # of one order
ATTEMPTS_MAX = 8


class Returns:
    def __init__(self, orders: Orders, repository: OrderRepository, ledger: Ledger, runtime: Runtime) -> None:
        self._orders, self._repository, self._ledger = orders, repository, ledger
        self._clock, self._ids = runtime.clock, runtime.ids

    async def request(
        self, order_id: str, lines: Sequence[Line], reason: str, actor: str, key: IdempotencyKey | None = None
    ) -> tuple[OrderResult, str]:
        """The order and the new return's id. Raises WrongStatus, ReturnTooLarge, TooManyReturns, KeyReused."""
        wanted, return_id = merge(lines), self._ids.new()

        def asked(order: Order) -> Posting:
            _check_returnable(order, wanted)
            new = tuple(ReturnLine(line.sku, line.quantity) for line in wanted)
            entry = ReturnChange(ReturnStatus.REQUESTED, self._clock.now(), actor)
            return postings.return_requested(
                order, Return(return_id, ReturnStatus.REQUESTED, new, reason, (entry,)), key
            )

        return await self._post(order_id, asked, key, return_id)

    async def move(
        self,
        order_id: str,
        return_id: str,
        status: ReturnStatus,
        actor: str,
        key: IdempotencyKey | None = None,
        found: Sequence[ReturnLine] | None = None,
    ) -> tuple[OrderResult, str]:
        """One step. `found` is what inspection says of every line. Raises ReturnNotFound, WrongReturnStatus, KeyReused,
        and Invalid when `found` does not account for every unit."""

        def moved(order: Order) -> Posting:
            before = next((one for one in order.returns if one.id == return_id), None)
            if before is None:
                raise ReturnNotFound()
            before.check_step(status)
            lines = before.lines if found is None else _inspected(before, found)
            entry = ReturnChange(status, self._clock.now(), actor)
            after = replace(before, status=status, lines=lines, history=(*before.history, entry))
            return postings.return_moved(order, after, key)

        return await self._post(order_id, moved, key, return_id)

    async def _post(
        self, order_id: str, plan: Callable[[Order], Posting], key: IdempotencyKey | None, return_id: str
    ) -> tuple[OrderResult, str]:
        record = None if key is None else await recorded(self._repository, key)
        if record is not None:
            return await self._replayed(record)
        for _ in range(ATTEMPTS_MAX):
            order = await self._orders.get(order_id)
            try:
                outcome = await self._ledger.post(plan(order))
            except StateMoved:  # another step came first
                continue
            if isinstance(outcome, IdempotencyRecord):
                return await self._replayed(outcome)
            return OrderResult(await self._orders.get(order_id)), return_id
        raise Unavailable("The order is changing too quickly", retry_after_seconds=1)

    async def _replayed(self, record: IdempotencyRecord) -> tuple[OrderResult, str]:
        if "returnId" not in record.outcome:
            raise KeyReused()
        return OrderResult(await replayed_order(self._repository, record), replayed=True), record.outcome["returnId"]


def _check_returnable(order: Order, wanted: Sequence[Line]) -> None:
    if not order.was_shipped:
        raise wrong_status(order)
    if len(order.returns) >= RETURNS_MAX:
        raise TooManyReturns(f"An order may have {RETURNS_MAX} returns")
    left = order.returnable()
    errors = [
        {"path": "items", "message": f"{line.sku}: {left.get(line.sku, 0)} can come back, not {line.quantity}"}
        for line in wanted
        if line.quantity > left.get(line.sku, 0)
    ]
    if errors:
        raise ReturnTooLarge(errors[0]["message"], errors=errors)


def _inspected(before: Return, found: Sequence[ReturnLine]) -> tuple[ReturnLine, ...]:
    """Every unit that came is accounted for, once. Raises Invalid."""
    said: Mapping[str, ReturnLine] = {line.sku: line for line in found}
    faults = [
        f"{line.sku}: Is not in this return" for line in found if line.sku not in {each.sku for each in before.lines}
    ]
    faults += [f"{sku}: Is named more than once" for sku in said if sum(line.sku == sku for line in found) > 1]
    for line in before.lines:
        units = 0 if line.sku not in said else _units(said[line.sku])
        if units != line.quantity:
            faults.append(f"{line.sku}: {line.quantity} came back and {units} are accounted for")
    if faults:
        raise Invalid(faults[0], errors=[{"path": "items", "message": fault} for fault in faults])
    return tuple(replace(said[line.sku], quantity=line.quantity) for line in before.lines)


def _units(line: ReturnLine) -> int:
    return line.restocked + line.damaged + line.written_off
