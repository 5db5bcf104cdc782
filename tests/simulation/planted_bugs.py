"""The bugs real shops had, planted into the real code one at a time. The simulation must find every one of them.

Each entry replaces one decision of the service by its wrong twin; nothing else changes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from service.idempotency import IdempotencyRecord
from service.infra.mongo.commands import Command, update
from service.inventory import decisions, models, repository
from service.inventory.allowance import Allowance, TooMuchHeld
from service.inventory.documents import history_document
from service.inventory.ledger import Ledger
from service.inventory.models import HoldChange, HoldStatus, Line, MovementKind, Stock
from service.inventory.repository import LedgerStore
from service.orders import postings, usecases
from service.orders.models import Order, OrderStatus, Payment, PaymentStatus
from service.orders.repository import payment_document
from service.orders.settlement import Settlement, _why_cancelled
from service.orders.usecases import OrderResult
from service.payments.models import ChargeOutcome

Bug = Callable[[], Any]
PLANTED: dict[str, Bug] = {}


def planted(bug: Bug) -> Bug:
    PLANTED[bug.__name__] = bug
    return bug


@planted
@contextmanager
def guard_removed() -> Iterator[None]:
    """Check and write apart: the state is read outside the transaction, the write names no state it relies on, and
    the history no longer refuses a second entry of one number."""
    original, documented = LedgerStore.open, history_document

    async def read_outside(self: LedgerStore, batch: Any, session: Any, assume: bool) -> Any:
        return await original(self, batch, None)

    def entry_of_any_number(movement: models.Movement) -> dict[str, Any]:
        return {**documented(movement), "_id": f"{movement.sku}#{movement.seq}-{movement.order_id}-{movement.kind}"}

    def stock_commands(self: LedgerStore, stock: Sequence[tuple[Stock, Stock]], now: Any) -> list[Command]:
        changes = [
            {
                "onHand": after.on_hand - before.on_hand,
                "reserved": after.reserved - before.reserved,
                "available": after.available - before.available,
                "seq": after.seq - before.seq,
            }
            for before, after in stock
        ]
        steps = [
            {"q": {"_id": after.sku}, "u": {"$inc": change}} for (_, after), change in zip(stock, changes, strict=True)
        ]
        return [update("inventory", steps)] if steps else []

    with (
        patch.object(LedgerStore, "open", read_outside),
        patch.object(LedgerStore, "_stock_commands", stock_commands),
        patch.object(repository, "history_document", entry_of_any_number),
    ):
        yield


@planted
@contextmanager
def resolved_twice() -> Iterator[None]:
    """A release frees whatever the hold's status is: a cancel after an expiry, a second webhook, a double sweep."""

    def release(self: Any, hold: models.Hold) -> None:
        self._free(MovementKind.RELEASE, replace(hold, status=HoldStatus.ACTIVE), HoldStatus.RELEASED)
        self._holds[-1] = replace(self._holds[-1], before=hold.status)

    with patch.object(decisions._Step, "_release", release):
        yield


@planted
@contextmanager
def expiry_ignored_until_swept() -> Iterator[None]:
    """A hold past its expiry is confirmed as long as no sweep has come by."""

    def confirm(self: Any, hold: models.Hold) -> None:
        if hold.status is HoldStatus.ACTIVE:
            for line in hold.lines:
                self._move(MovementKind.CONFIRM, line.sku, on_hand=-line.quantity, reserved=-line.quantity)
            self._holds.append(HoldChange(replace(hold, status=HoldStatus.CONFIRMED), hold.status))
        elif hold.status is HoldStatus.EXPIRED:
            self._sell_again(hold)
        else:
            raise models.HoldResolved(reservation=hold.status.value)

    with patch.object(decisions._Step, "_confirm", confirm):
        yield


@planted
@contextmanager
def history_skipped() -> Iterator[None]:
    """One path, the release, changes the stock without leaving a movement."""
    original = LedgerStore.write

    async def write(self: LedgerStore, stock: Any, movements: Any, *rest: Any) -> None:
        kept = [movement for movement in movements if movement.kind is not MovementKind.RELEASE]
        await original(self, stock, kept, *rest)

    with patch.object(LedgerStore, "write", write):
        yield


@planted
@contextmanager
def same_sku_twice() -> Iterator[None]:
    """Two lines of one SKU in one order are each compared with the same number."""
    original = decisions._Step._require

    def require(self: Any, lines: Sequence[Line], ordered_before: bool = False) -> None:
        for line in lines:
            original(self, (line,), ordered_before)

    def move(self: Any, kind: Any, sku: str, on_hand: int = 0, reserved: int = 0) -> None:
        before = self._known(sku)
        after = replace(
            before, on_hand=before.on_hand + on_hand, reserved=before.reserved + reserved, seq=before.seq + 1
        )
        self._stock[sku] = after
        posting = self._posting
        self._movements.append(
            models.Movement(
                sku,
                after.seq,
                kind,
                on_hand,
                reserved,
                after.on_hand,
                after.reserved,
                posting.actor,
                posting.reason,
                posting.order_id,
                self._now,
            )
        )

    with (
        patch.object(decisions, "merge", tuple),
        patch.object(usecases, "merge", tuple),
        patch.object(decisions._Step, "_require", require),
        patch.object(decisions._Step, "_move", move),
    ):
        yield


@planted
@contextmanager
def idempotency_read_then_write() -> Iterator[None]:
    """The key is looked up first and written after: two simultaneous requests with one key both run."""
    original = Ledger.post

    async def post(self: Ledger, posting: models.Posting) -> Any:
        claim = posting.claim
        if claim is None:
            return await original(self, posting)
        keys = self._outbox._entries.database["idempotency"]
        known = await keys.find_one({"_id": claim.id})
        if known is not None:
            return IdempotencyRecord(known["fingerprint"], known["outcome"])
        answer = await original(self, replace(posting, claim=None))
        record = {"fingerprint": claim.fingerprint, "outcome": dict(claim.outcome), "expiresAt": claim.expires_at}
        await keys.update_one({"_id": claim.id}, {"$set": record}, upsert=True)
        return answer

    with patch.object(Ledger, "post", post):
        yield


@planted
@contextmanager
def payment_inside_the_transaction() -> Iterator[None]:
    """The provider is asked while the transaction is open: one that is retried charges again."""
    original = Settlement.pay

    async def pay(self: Any, order: Order, method: str, key: Any = None) -> Any:
        async def charge_inside(session: Any) -> tuple[Payment, ChargeOutcome]:
            payment = Payment(self._ids.new(), PaymentStatus.PROCESSING, method, self._clock.now())
            started = {"$set": {"payment": payment_document(payment)}}
            await self._repository._orders.update_one({"_id": order.id, "status": "pending"}, started, session=session)
            return payment, await self._charge(order, payment)

        if order.status is not OrderStatus.PENDING or order.payment is not None:
            return await original(self, order, method, key)
        _, outcome = await self._ledger._transactions.run(charge_inside)
        return OrderResult(await self._settle(await self._orders.get(order.id), outcome, key))

    with patch.object(Settlement, "pay", pay):
        yield


@planted
@contextmanager
def declined_order_keeps_its_hold() -> Iterator[None]:
    """A declined payment cancels the order and leaves the stock reserved until the sweep."""
    original = postings.declined

    def declined(*arguments: Any) -> models.Posting:
        return replace(original(*arguments), action=models.NoStock())

    with patch.object(postings, "declined", declined):
        yield


@planted
@contextmanager
def money_kept_when_the_stock_is_gone() -> Iterator[None]:
    """Paid after the hold died and the stock went: the order is cancelled and the money stays."""

    async def keep(self: Any, order: Order, payment: Payment) -> bool:
        await self._repository.mark_payment(order.id, payment.id, PaymentStatus.RETURNING, PaymentStatus.RETURNED)
        return True

    with patch.object(Settlement, "_return_money", keep):
        yield


@planted
@contextmanager
def replayed_refusal_taken_for_a_yes() -> Iterator[None]:
    """Found by this simulation in the real code: a webhook settles the attempt first, with a refusal, under the same
    key; the payment that comes second sees a replay and answers "paid"."""

    async def post(self: Any, posting: models.Posting) -> bool:
        try:
            await self._ledger.post(posting)
        except models.StateMoved:
            order = await self._orders.get(posting.order_id)
            if order.status is OrderStatus.CANCELLED:
                raise _why_cancelled(order) from None
            return False
        return True

    with patch.object(Settlement, "_post", post):
        yield


@planted
@contextmanager
def money_returned_for_what_another_sold() -> Iterator[None]:
    """Found by this simulation in the real code, in one seed of five thousand: a process finds the stock gone, and
    before it says so stock comes back and another process settles the same attempt and sells; the first returns the
    money all the same."""
    original = Settlement._post

    async def post(self: Settlement, posting: models.Posting) -> bool:
        await original(self, posting)
        return True

    with patch.object(Settlement, "_post", post):
        yield


@planted
@contextmanager
def assumed_stock_never_doubted() -> Iterator[None]:
    """Found by this simulation in the real code: a batch goes by the stock its process left, and by holds of others
    that are younger; more seems to be freed than is reserved."""
    original = LedgerStore.open

    async def open_undoubted(self: Any, *arguments: Any) -> models.BatchState:
        state = await original(self, *arguments)
        state.assumed = False
        return state

    with patch.object(LedgerStore, "open", open_undoubted):
        yield


@planted
@contextmanager
def hold_limit_asked_before_the_posting() -> Iterator[None]:
    """What a customer holds is read before the checkout is posted: of simultaneous ones each passes by itself."""
    original = Ledger.post

    async def post(self: Ledger, posting: models.Posting) -> Any:
        action = posting.action
        if not isinstance(action, models.Reserve) or not isinstance(action.limits, Allowance):
            return await original(self, posting)
        held = self._outbox._entries.database["reservations"].find({"userId": action.user_id, "status": "active"})
        orders = {document["orderId"] for document in await held.to_list(None)}
        if len(orders) >= action.limits.orders_max:
            raise TooMuchHeld()
        return await original(self, replace(posting, action=replace(action, limits=None)))

    with patch.object(Ledger, "post", post):
        yield


@planted
@contextmanager
def coupon_kept_by_what_ran_out() -> Iterator[None]:
    """A hold that runs out frees its stock only: the order keeps its coupon from everybody."""

    def stock_only(hold: models.Lapsed, coupon: str) -> models.Posting:
        return postings.expired(hold.order_id)

    with patch.object(postings, "lapsed_with_coupon", stock_only):
        yield


@planted
@contextmanager
def coupon_not_used_again() -> Iterator[None]:
    """An order is paid after its hold ran out, at the price of a coupon that others may use as well."""

    async def none(self: Any, order: Order) -> None:
        return None

    with patch.object(usecases.Orders, "coupon_to_use_again", none):
        yield


@planted
@contextmanager
def coupon_given_back_twice() -> Iterator[None]:
    """The sweep gives a coupon back, and the cancel that follows does so again."""
    original = postings.cancelled

    def cancelled(order: Order, *rest: Any) -> models.Posting:
        return original(replace(order, coupon_held=True), *rest)

    with patch.object(postings, "cancelled", cancelled), patch.object(postings, "_coupon_as_read", lambda order: ()):
        yield


@planted
@contextmanager
def count_overwrites() -> Iterator[None]:
    """A count sets what is on hand, whatever was sold while somebody counted."""

    def level(self: Any, stock: Stock, at_seq: int) -> int:
        return stock.on_hand

    with patch.object(decisions._Step, "_level", level):
        yield
