"""Owns what replaying one invoice means: a sale is one checkout with its real lines, then a payment; a return is a
refund with restock of what its customer bought earlier in this replay, and what cannot be matched comes in as goods.

Whatever the network does, an invoice is asked again under the same idempotency key until its fate is known."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from workloads.client import api
from workloads.client.accounts import Account
from workloads.client.exchange import Answer, Exchange, Request
from workloads.drivers.open_loop import Flow
from workloads.model import outcomes
from workloads.results.verdict import Work
from workloads.traces.retail import Invoice

UNKNOWN = "unknown"
PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 2.0
# Another request under the same key, or for the same order, has not ended yet: its answer is still to come.
STILL_RUNNING = frozenset({"idempotency_in_progress", "payment_in_progress"})
RECEIVED_LINES_MAX = 500

DONE = frozenset({outcomes.PAID, "refunded", "partly_refunded", "goods_in"})
LOST = frozenset({UNKNOWN, outcomes.DROPPED})
# The shop deciding no is what it is there for; anything else that is refused was not meant.
EXPECTED_REFUSALS = frozenset(outcomes.BY_CODE)

Ask = Callable[[str], Request]


@dataclass(slots=True)
class Fate:
    """What became of one invoice. `outcome`: paid, refunded, goods_in, refused, unknown, dropped."""

    invoice: str
    is_return: bool
    customer: str
    lines: int
    units: int
    intended: float
    outcome: str = outcomes.DROPPED
    reason: str = "no free slot in flight"
    user_id: str = ""
    order_id: str = ""
    order_number: str = ""
    done: float = float("nan")
    refunds: int = 0
    attempts: int = 0
    settled_afterwards: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Purchase:
    """A paid order and what of it has not come back yet."""

    order_id: str
    left: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _ReturnPlan:
    """Which orders are refunded for what, and what no order explains."""

    refunds: list[tuple[str, list[tuple[str, int]]]]
    goods_in: dict[str, int]


@dataclass(frozen=True, slots=True)
class People:
    """Who buys and who takes goods back: accounts by the trace's own name of a customer, and guests for the rest."""

    customers: dict[str, Account]
    guests: list[Account]
    staff: Account

    @property
    def user_ids(self) -> set[str]:
        return {account.user_id for account in (*self.customers.values(), *self.guests)}


class InvoiceReplay:
    """Turns invoices into flows of the open loop. Invoices of one customer never overtake each other."""

    def __init__(self, run_id: str, people: People, *, retry_seconds: float) -> None:
        self._run_id, self._people, self._staff = run_id, people, people.staff
        self._retry_seconds = retry_seconds
        self._purchases: dict[str, list[_Purchase]] = defaultdict(list)
        self._before: dict[str, asyncio.Event] = {}
        self._guest_of: dict[str, Account] = {}
        self._returns: dict[str, _ReturnPlan] = {}
        self._asked: list[tuple[Invoice, Fate]] = []

    @property
    def fates(self) -> list[Fate]:
        return [fate for _, fate in self._asked]

    def flow(self, invoice: Invoice) -> Flow:
        """The invoice's arrival. Call in the order of the trace: it fixes each customer's order."""
        units = sum(line.quantity for line in invoice.lines)
        fate = Fate(invoice.number, invoice.is_return, invoice.customer, len(invoice.lines), units, float("nan"))
        self._asked.append((invoice, fate))
        before, mine = self._queue_behind(invoice.customer)

        async def run(exchange: Exchange, intended: float) -> None:
            fate.intended, fate.outcome, fate.reason = intended, UNKNOWN, ""
            try:
                if before is not None:
                    await before.wait()
                await self._play(exchange, intended, invoice, fate)
            finally:
                fate.done = exchange.clock.now()
                mine.set()

        return Flow("receive" if invoice.is_return else "checkout", run, dropped=mine.set)

    async def settle(self, exchange: Exchange, seconds: float) -> int:
        """Asks once more, under the same keys, for every fate that is still unknown: the load is over now. Returns how
        many became known. Goes in the order of the trace, and for so many seconds at most."""
        open_fates = [(invoice, fate) for invoice, fate in self._asked if fate.outcome == UNKNOWN]
        give_up_at = exchange.clock.now() + seconds
        for invoice, fate in open_fates:
            if exchange.clock.now() > give_up_at:
                break
            fate.refunds, fate.reason = 0, ""
            await self._play(exchange, None, invoice, fate)
            fate.settled_afterwards = fate.outcome != UNKNOWN
        return sum(fate.settled_afterwards for _, fate in open_fates)

    async def _play(self, exchange: Exchange, intended: float | None, invoice: Invoice, fate: Fate) -> None:
        await (self._return if invoice.is_return else self._sale)(exchange, intended, invoice, fate)

    def _queue_behind(self, customer: str) -> tuple[asyncio.Event | None, asyncio.Event]:
        """The event to wait for and the one to set. Guests are strangers to each other and wait for nobody."""
        mine = asyncio.Event()
        if not customer:
            return None, mine
        before = self._before.get(customer)
        self._before[customer] = mine
        return before, mine

    def _account(self, invoice: Invoice) -> Account:
        """Who buys. A guest's invoice keeps its guest: a key means something only to the one who used it first."""
        if invoice.customer:
            return self._people.customers[invoice.customer]
        turn = self._people.guests[len(self._guest_of) % len(self._people.guests)]
        return self._guest_of.setdefault(invoice.number, turn)

    async def _sale(self, exchange: Exchange, intended: float | None, invoice: Invoice, fate: Fate) -> None:
        account = self._account(invoice)
        fate.user_id = account.user_id
        lines = [(line.sku, line.quantity) for line in invoice.lines]
        key = f"{self._run_id}:{invoice.number}"
        placed = await self._ask(exchange, account, partial(api.checkout, lines=lines, key=key), fate, intended)
        if placed.status != 201:
            return _refused(fate, placed)
        order = placed.json()["order"]
        fate.order_id, fate.order_number = order["id"], order.get("number", "")
        paid = await self._ask(exchange, account, partial(api.pay, order_id=order["id"], key=f"{key}:pay"), fate)
        if paid.outcome != outcomes.PAID:
            return _refused(fate, paid)
        fate.outcome = outcomes.PAID
        if invoice.customer:
            self._purchases[invoice.customer].append(_Purchase(order["id"], dict(invoice.units_by_sku())))
        return None

    async def _return(self, exchange: Exchange, intended: float | None, invoice: Invoice, fate: Fate) -> None:
        if invoice.number not in self._returns:
            self._returns[invoice.number] = self._match(invoice)
        plan = self._returns[invoice.number]
        for number, (order_id, lines) in enumerate(plan.refunds):
            key = f"{self._run_id}:{invoice.number}:refund:{number}"
            ask = partial(api.refund, order_id=order_id, lines=lines, key=key)
            answer = await self._ask(exchange, self._staff, ask, fate, intended)
            if answer.status != 200:
                return _refused(fate, answer)
            fate.order_id, fate.refunds = order_id, fate.refunds + 1
        fate.outcome = "refunded"
        if plan.goods_in:
            await self._goods_in(exchange, intended, invoice, plan.goods_in, fate)
        return None

    async def _goods_in(
        self, exchange: Exchange, intended: float | None, invoice: Invoice, left: dict[str, int], fate: Fate
    ) -> None:
        """What no earlier paid order of this customer explains still comes back onto the shelf."""
        lines = list(left.items())
        for start in range(0, len(lines), RECEIVED_LINES_MAX):
            part, key = lines[start : start + RECEIVED_LINES_MAX], f"{self._run_id}:{invoice.number}:in:{start}"
            ask = partial(api.receive, lines=part, key=key)
            answer = await self._ask(exchange, self._staff, ask, fate, intended)
            if answer.status >= 300 or answer.status == 0:
                return _refused(fate, answer)
        fate.outcome = "partly_refunded" if fate.refunds else "goods_in"
        fate.reason = "no_matching_order" if invoice.customer else "no_customer"
        return None

    def _match(self, invoice: Invoice) -> _ReturnPlan:
        """Takes what can be refunded out of the customer's purchases, the newest first. Done once per return."""
        plan = _ReturnPlan([], dict(invoice.units_by_sku()))
        for purchase in reversed(self._purchases[invoice.customer] if invoice.customer else []):
            lines = [
                (sku, fits) for sku, units in plan.goods_in.items() if (fits := min(units, purchase.left.get(sku, 0)))
            ]
            for sku, units in lines:
                purchase.left[sku] -= units
                plan.goods_in[sku] -= units
                if not plan.goods_in[sku]:
                    del plan.goods_in[sku]
            if lines:
                plan.refunds.append((purchase.order_id, lines))
        return plan

    async def _ask(
        self, exchange: Exchange, account: Account, ask: Ask, fate: Fate, intended: float | None = None
    ) -> Answer:
        """Sends until the answer is final, or the patience for one invoice is over."""
        give_up_at, pause = exchange.clock.now() + self._retry_seconds, PAUSE_SECONDS
        while True:
            answer = await exchange.send(ask(await account.token(exchange)), intended)
            fate.attempts += 1
            if answer.status == 401:
                account.refused()
            if not _open(answer) or exchange.clock.now() + pause > give_up_at:
                return answer
            await asyncio.sleep(pause)
            intended, pause = None, min(pause * 2, PAUSE_SECONDS_MAX)


def work_of(fates: Iterable[Fate]) -> Work:
    """The invoices as the verdict wants them."""
    fates = list(fates)
    unexpected = (fate for fate in fates if fate.outcome == outcomes.REFUSED and fate.reason not in EXPECTED_REFUSALS)
    done, lost = (sum(fate.outcome in kinds for fate in fates) for kinds in (DONE, LOST))
    return Work("invoices", len(fates), done, lost, Counter(fate.reason for fate in unexpected))


def _open(answer: Answer) -> bool:
    if answer.status == 409:
        return answer.code in STILL_RUNNING
    return answer.outcome in outcomes.UNKNOWN or answer.outcome == outcomes.THROTTLED or answer.status == 401


def _refused(fate: Fate, answer: Answer) -> None:
    fate.outcome = UNKNOWN if _open(answer) else outcomes.REFUSED
    fate.reason = answer.code or answer.outcome
