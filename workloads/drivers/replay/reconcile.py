"""Owns the proof after a replay: every invoice has exactly one order with its lines and the right status, or a reason
why it has none; and no order of the replay's customers is without its invoice."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from workloads.client import api
from workloads.client.accounts import Account
from workloads.client.exchange import Exchange
from workloads.client.running_stack import StackError
from workloads.drivers.replay.invoices import Fate
from workloads.model import outcomes
from workloads.traces.retail import Invoice

PAGES_MAX = 100_000
EXAMPLES_MAX = 20
PAID_STATUSES = frozenset({"paid", "shipped", "delivered", "refunded"})


async def newest_order_ids(exchange: Exchange, staff: Account) -> set[str]:
    """The orders at the top of the list now: where reading the orders of a later run may stop."""
    return {order["id"] for order in (await _page(exchange, staff, None))["items"]}


async def orders_since(exchange: Exchange, staff: Account, known: set[str]) -> list[dict[str, Any]]:
    """Every order that is newer than the first of `known`, newest first."""
    found: list[dict[str, Any]] = []
    cursor = None
    for _ in range(PAGES_MAX):
        page = await _page(exchange, staff, cursor)
        for order in page["items"]:
            if order["id"] in known:
                return found
            found.append(order)
        cursor = page.get("nextCursor")
        if not cursor:
            return found
    raise StackError(f"more than {PAGES_MAX:,} pages of orders")


async def _page(exchange: Exchange, staff: Account, cursor: str | None) -> dict[str, Any]:
    answer = await exchange.send(api.orders(await staff.token(exchange), cursor=cursor))
    if answer.status != 200:
        raise StackError(f"the orders cannot be listed: {answer.status} {answer.code or answer.outcome}")
    page = answer.json()
    assert isinstance(page, dict), "a page of orders is an object"
    return page


def reconcile(
    invoices: Iterable[Invoice], fates: Iterable[Fate], orders: Iterable[Mapping[str, Any]], users: set[str]
) -> dict[str, Any]:
    """`{ok, sales, matched, refused, returns, wrong, orphanOrders}`; `orders` are those placed since the run
    began, `users` the replay's own. Every sale counts once: it is matched, refused or wrong."""
    sales = {invoice.number: invoice for invoice in invoices if not invoice.is_return}
    fates = list(fates)
    sold = [fate for fate in fates if not fate.is_return]
    by_id = {order["id"]: order for order in orders}
    claimed = Counter(fate.order_id for fate in sold if fate.order_id)
    unclaimed = _Unclaimed(order for order in by_id.values() if order["userId"] in users and order["id"] not in claimed)
    wrong = {}
    for fate in sold:
        if why := _why_wrong(fate, sales[fate.invoice], by_id, unclaimed):
            wrong[id(fate)] = f"{fate.invoice}: {why}"
        elif fate.order_id and claimed[fate.order_id] > 1:
            wrong[id(fate)] = f"{fate.invoice}: order {fate.order_id} answers to {claimed[fate.order_id]} invoices"
    right = [fate for fate in sold if id(fate) not in wrong]
    reasons = list(wrong.values())
    return {
        "ok": not wrong and not unclaimed.left,
        "sales": len(sold),
        "matched": sum(fate.outcome == outcomes.PAID for fate in right),
        "refused": dict(Counter(fate.reason for fate in right if fate.outcome != outcomes.PAID)),
        "returns": dict(Counter(_return_kind(fate) for fate in fates if fate.is_return)),
        "wrong": len(wrong),
        "wrongExamples": reasons[:EXAMPLES_MAX],
        "orphanOrders": len(unclaimed.left),
        "orphanExamples": list(unclaimed.left)[:EXAMPLES_MAX],
    }


class _Unclaimed:
    """Orders of the replay's own users that no invoice has named."""

    def __init__(self, orders: Iterable[Mapping[str, Any]]) -> None:
        self.left = {order["id"]: order for order in orders}

    def claim(self, fate: Fate, invoice: Invoice) -> str:
        """The order that an invoice of unknown fate has most likely placed: its customer's, with its lines. Taken away,
        since an invoice whose answer was lost is one fault, and not also an order too many."""
        for order_id, order in self.left.items():
            if order["userId"] == fate.user_id and _units(order) == invoice.units_by_sku():
                del self.left[order_id]
                return str(order_id)
        return ""


def _units(order: Mapping[str, Any]) -> Counter[str]:
    units = Counter[str]()
    for line in order["items"]:
        units[line["sku"]] += line["quantity"]
    return units


def _why_wrong(fate: Fate, invoice: Invoice, orders: Mapping[str, Mapping[str, Any]], unclaimed: _Unclaimed) -> str:
    if fate.outcome == "unknown":
        order_id = fate.order_id or unclaimed.claim(fate, invoice)
        return f"its fate is unknown ({fate.reason})" + (f"; order {order_id} is there" if order_id else "")
    if not fate.order_id:
        return "" if fate.reason else "it has neither an order nor a reason"
    order = orders.get(fate.order_id)
    if order is None:
        return f"order {fate.order_id} is not there"
    if fate.outcome == outcomes.PAID and order["status"] not in PAID_STATUSES:
        return f"paid, but order {fate.order_id} is {order['status']}"
    if fate.outcome == "refused" and order["status"] != "cancelled":
        return f"refused ({fate.reason}), but order {fate.order_id} is {order['status']}"
    return "" if _units(order) == invoice.units_by_sku() else f"order {fate.order_id} has other lines"


def _return_kind(fate: Fate) -> str:
    return f"{fate.outcome}: {fate.reason}" if fate.reason else fate.outcome
