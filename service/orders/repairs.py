"""Repairs what the audit finds wrong, by movements of the ledger with a reason; nothing is overwritten.

A plan is made from one snapshot. Each step is refused if what it goes by has moved since, and planned anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from service.clock import Clock
from service.errors import Problem
from service.infra.mongo.client import Database, Session
from service.inventory.books import Book, read_books
from service.inventory.ledger import Ledger
from service.inventory.models import Confirm, Correct, Posting
from service.orders.expiry import Expiry
from service.orders.invariants import OVERDUE_AFTER, SOLD

ROUNDS_MAX = 5
ORDERS_AT_ONCE = 500
REASON = "audit repair"
BEYOND_REPAIR: Mapping[str, str] = {
    "on_hand_is_the_sum_of_history": "There is a history without a stock of it: create the product's SKU again",
    "reserved_is_the_sum_of_active_holds": "More is held than is on hand: receive or count the SKU, or cancel orders",
    "available_is_never_negative": "The history says that it was oversold, and is not rewritten",
    "history_has_no_gaps": "An entry of the history is lost, and nothing says any more who moved what",
    "only_pending_orders_hold_stock": "The SKUs it holds cannot be corrected before",
    "sold_orders_have_exactly_their_stock": "Compare the order with its reservations; refund or adjust what differs",
    "stock_is_sold_to_paid_orders_only": "Stock has left for an order that nobody paid: find it or adjust it",
    "an_active_reservation_is_backed_by_holds": "The order waits for stock that is not held: cancel it",
    "no_hold_outlives_its_sweep": "The SKUs it holds cannot be corrected before",
}
NO_MOVEMENT = "No movement of stock mends this: look at the order and its payment"


class Step(Struct, frozen=True):
    """`does` is what a person is told before it is done; a step without a posting is a sweep."""

    does: str
    posting: Posting | None = None


class Held(Struct, frozen=True):
    """An active hold of an order that is not pending, or not there at all (`status` is empty)."""

    order_id: str
    status: str
    lines: Mapping[str, int]
    has_sold: bool

    @property
    def is_to_be_sold(self) -> bool:
        return self.status in SOLD and not self.has_sold


class Repairs:
    def __init__(
        self, client: Any, database: Database, ledger: Ledger, expiry: Expiry, clock: Clock, actor: str
    ) -> None:
        self._client, self._database = client, database
        self._ledger, self._expiry, self._clock, self._actor = ledger, expiry, clock, actor

    async def plan(self) -> list[Step]:
        """What would be done now, in this order."""
        async with await self._client.start_session(snapshot=True) as session:
            books = await read_books(self._database, session)
            held = await self._settled_holds(session)
            overdue = await self._overdue(session)
        ended = [hold for hold in held if not hold.is_to_be_sold and hold.lines.keys() <= books.keys()]
        books = _without(books, ended)
        wrong = {sku for sku, book in books.items() if not book.can_be_corrected}
        ended = [hold for hold in ended if not hold.lines.keys() & wrong][:ORDERS_AT_ONCE]
        sold = [hold for hold in held if hold.is_to_be_sold and not hold.lines.keys() & wrong]
        return [
            *self._releases(books, ended),
            *self._corrections(books, {sku for hold in ended for sku in hold.lines} | wrong),
            *(self._sale(hold) for hold in sold if hold.lines.keys() <= books.keys()),
            *([Step(f"sweep {overdue} holds that are past their expiry")] if overdue and not wrong else []),
        ]

    async def run(self) -> list[str]:
        """Plans and does until nothing is left to do. Returns what was done."""
        done: list[str] = []
        for _ in range(ROUNDS_MAX):
            steps = await self.plan()
            count = len(done)
            done += [step.does for step in steps if await self._do(step)]
            if len(done) == count:
                break
        return done

    async def _do(self, step: Step) -> bool:
        try:
            if step.posting is None:
                return (await self._expiry.sweep()).released > 0
            await self._ledger.post(step.posting)
        except Problem:  # somebody moved the same stock: the next plan knows
            return False
        return True

    async def _settled_holds(self, session: Session) -> list[Held]:
        stages = [
            {"$match": {"status": "active"}},
            {"$group": {"_id": "$orderId", "lines": {"$push": {"sku": "$sku", "quantity": "$quantity"}}}},
            {"$lookup": {"from": "orders", "localField": "_id", "foreignField": "_id", "as": "order"}},
            {"$match": {"order.status": {"$ne": "pending"}}},
            {"$lookup": {"from": "reservations", "localField": "_id", "foreignField": "orderId", "as": "all"}},
            {"$project": {"lines": 1, "status": {"$first": "$order.status"}, "all": "$all.status"}},
            {"$sort": {"_id": 1}},
        ]
        rows = self._database["reservations"].aggregate(stages, allowDiskUse=True, session=session)
        return [
            Held(row["_id"], row.get("status") or "", _units(row["lines"]), "confirmed" in row["all"])
            async for row in rows
        ]

    async def _overdue(self, session: Session) -> int:
        before = self._clock.now() - OVERDUE_AFTER
        late = {"status": "active", "expiresAt": {"$lt": before}}
        count: int = await self._database["reservations"].count_documents(late, session=session)
        return count

    def _releases(self, books: Mapping[str, Book], ended: Sequence[Held]) -> list[Step]:
        if not ended:
            return []
        skus = sorted({sku for hold in ended for sku in hold.lines})
        orders = ", ".join(f"{hold.order_id} ({hold.status or 'no such order'})" for hold in ended[:5])
        action = Correct(tuple(books[sku].correction() for sku in skus), tuple(hold.order_id for hold in ended))
        more = f" and {len(ended) - 5} more" if len(ended) > 5 else ""
        return [Step(f"release what is held for {orders}{more}: {', '.join(skus[:10])}", self._posting(action))]

    def _corrections(self, books: Mapping[str, Book], others: set[str]) -> list[Step]:
        wrong = [book for sku, book in books.items() if not book.agrees and sku not in others]
        return [Step(_told(book), self._posting(Correct((book.correction(),)))) for book in wrong]

    def _sale(self, hold: Held) -> Step:
        posting = replace(self._posting(Confirm(hold.order_id)), order_id=hold.order_id)
        return Step(f"sell what order {hold.order_id} still holds: it is {hold.status}", posting)

    def _posting(self, action: Correct | Confirm) -> Posting:
        return Posting(action, self._actor, REASON)


def _without(books: Mapping[str, Book], ended: Sequence[Held]) -> dict[str, Book]:
    """The books as they have to be once these holds have ended."""
    freed: Counter[str] = Counter()
    for hold in ended:
        freed.update(hold.lines)
    return {sku: replace(book, held=book.held - freed[sku]) for sku, book in books.items()}


def _told(book: Book) -> str:
    made = book.correction()
    entry = f"on hand {made.on_hand_delta:+d} and reserved {made.reserved_delta:+d} in its history"
    return f"correct {book.stock.sku}: {entry}, which ends at {book.stock.on_hand} on hand and {made.reserved} reserved"


def _units(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line["sku"]] += line["quantity"]
    return dict(units)


def beyond_repair(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What an audit still finds, with what is to be done about it by a person."""
    return [
        {
            "check": check["name"],
            "violations": check["violations"],
            "examples": check["examples"],
            "why": BEYOND_REPAIR.get(check["name"], NO_MOVEMENT),
        }
        for check in checks
        if not check["ok"]
    ]
