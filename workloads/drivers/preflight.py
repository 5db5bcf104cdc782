"""Owns what must be true before a run may start: the service is ready, and sells what is going to be asked for. A
replay on a shop of another catalogue would be refused invoice by invoice, quickly, and prove nothing."""

from collections.abc import Iterable, Sequence

from workloads.client import api
from workloads.client.exchange import Exchange, json_request
from workloads.client.running_stack import StackError
from workloads.progress import say
from workloads.traces.retail import Invoice

SKUS_PER_REQUEST = 100
EXAMPLES_MAX = 5
# Some products may have gone since the shop was seeded; above this the shop is another one.
UNKNOWN_SHARE_MAX = 0.2
NOT_SOLD_STATUSES = frozenset({400, 404, 414, 422})


async def check_ready(exchange: Exchange) -> None:
    """Raises StackError for a service that cannot serve yet."""
    answer = await exchange.send(json_request("GET", "/health/ready", "ready"))
    if answer.status != 200:
        raise StackError(f"the service is not ready: {answer.status or answer.outcome}")


async def check_sold(exchange: Exchange, invoices: Sequence[Invoice], trace: str) -> None:
    """Raises StackError when the shop does not sell what the invoices are about; says it where it is only a few."""
    skus = dict.fromkeys(line.sku for invoice in invoices for line in invoice.lines)
    known = await known_skus(exchange, skus)
    unknown = [sku for sku in skus if sku not in known]
    touched = sum(any(line.sku not in known for line in invoice.lines) for invoice in invoices)
    if not unknown:
        return
    examples = ", ".join(unknown[:EXAMPLES_MAX]) + (", …" if len(unknown) > EXAMPLES_MAX else "")
    told = f"the shop does not sell {len(unknown):,} of the {len(skus):,} SKUs of the trace: {examples}"
    if touched > UNKNOWN_SHARE_MAX * len(invoices):
        raise StackError(f"{told}. Seed its catalogue first: holdfast seed --trace {trace}")
    say(f"careful: {told}; {touched:,} of {len(invoices):,} invoices will be refused")


async def known_skus(exchange: Exchange, skus: Iterable[str]) -> set[str]:
    """Those of `skus` that the shop knows, asked a hundred at a time."""
    wanted, known = list(skus), set[str]()
    for start in range(0, len(wanted), SKUS_PER_REQUEST):
        known |= await _known(exchange, wanted[start : start + SKUS_PER_REQUEST])
    return known


async def _known(exchange: Exchange, skus: Sequence[str]) -> set[str]:
    """A SKU that no shop could have makes the whole question invalid: then its halves are asked."""
    answer = await exchange.send(api.availability(skus))
    if answer.status == 200:
        return {str(item["sku"]) for item in answer.json()["items"]}
    if answer.status not in NOT_SOLD_STATUSES:
        raise StackError(f"the catalogue cannot be read: {answer.status} {answer.code or answer.outcome}")
    if len(skus) == 1:
        return set()
    middle = len(skus) // 2
    return await _known(exchange, skus[:middle]) | await _known(exchange, skus[middle:])
