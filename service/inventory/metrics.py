"""The ledger's counters for Prometheus, read when they are asked for."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.infra.mongo.client import Transactions
from service.inventory.ledger import Ledger


class LedgerMetrics:
    """A collector: batches, postings, retries after conflicts, and what waits."""

    def __init__(self, ledger: Ledger, transactions: Transactions) -> None:
        self._ledger, self._transactions = ledger, transactions

    def collect(self) -> Iterable[Metric]:
        group = self._ledger.group
        yield _counter("holdfast_ledger_batches", "Transactions that committed postings", group.batches)
        yield _counter("holdfast_ledger_postings", "Postings answered", group.items)
        yield _counter(
            "holdfast_transaction_retries", "Transactions run again after a conflict", self._transactions.retries
        )
        waiting = GaugeMetricFamily("holdfast_ledger_waiting", "Postings waiting for the next batch")
        waiting.add_metric([], group.waiting)
        yield waiting


def _counter(name: str, description: str, value: float) -> Metric:
    family = CounterMetricFamily(name, description)
    family.add_metric([], value)
    return family
