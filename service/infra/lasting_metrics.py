"""Counters and histograms that outlive a process and are shared by all of them, kept in MongoDB.

What workers do is counted here, because the process that answers `/metrics` is another one. Counts gather in memory and
are added together every now and then; a process that is killed loses its last moment of them, never more."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString
from pymongo import UpdateOne

from service.infra.mongo.client import Database

DURATION_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LAG_BOUNDS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 3_600)

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "holdfast_job_runs": ("Ended attempts to run a job", ("job", "outcome")),
    "holdfast_deliveries": ("Mails and webhooks by how an attempt ended", ("channel", "outcome")),
    "holdfast_outbox_facts": ("Facts relayed after their commit", ()),
}
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...], Sequence[float]]] = {
    "holdfast_job_duration_seconds": ("How long an attempt to run a job took", ("job",), DURATION_BOUNDS),
    "holdfast_job_lag_seconds": ("From a scheduled tick to the start of its run", ("job",), LAG_BOUNDS),
    "holdfast_expiry_lag_seconds": ("From a hold's expiry until its stock was free again", (), LAG_BOUNDS),
    "holdfast_outbox_lag_seconds": ("From a commit until its facts were relayed", (), LAG_BOUNDS),
}


class LastingMetrics:
    def __init__(self, database: Database) -> None:
        self._metrics = database["metrics"]
        self._gathered: dict[tuple[str, tuple[str, ...]], dict[str, float]] = {}

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        assert len(labels) == len(COUNTERS[name][1]), f"{name} has the labels {COUNTERS[name][1]}"
        self._add(name, labels, "count", by)

    def observe(self, name: str, values: Iterable[float], *labels: str) -> None:
        assert len(labels) == len(HISTOGRAMS[name][1]), f"{name} has the labels {HISTOGRAMS[name][1]}"
        bounds = HISTOGRAMS[name][2]
        for value in values:
            at = next((n for n, bound in enumerate(bounds) if value <= bound), len(bounds))
            self._add(name, labels, f"buckets.{at}", 1)
            self._add(name, labels, "sum", value)

    def _add(self, name: str, labels: tuple[str, ...], field: str, by: float) -> None:
        fields = self._gathered.setdefault((name, labels), {})
        fields[field] = fields.get(field, 0) + by

    async def flush(self) -> None:
        """Adds what was gathered. If the store is down it stays gathered."""
        if not self._gathered:
            return
        taken, self._gathered = self._gathered, {}
        updates = [
            UpdateOne({"_id": "|".join((name, *labels))}, {"$inc": fields, "$set": {"labels": labels}}, upsert=True)
            for (name, labels), fields in taken.items()
        ]
        try:
            await self._metrics.bulk_write(updates, ordered=False)
        except BaseException:
            for (name, labels), fields in taken.items():
                for field, by in fields.items():
                    self._add(name, labels, field, by)
            raise

    async def families(self) -> list[Metric]:
        """All of them in Prometheus' own terms."""
        documents = await self._metrics.find().to_list(None)
        by_name: dict[str, list[Mapping[str, Any]]] = {}
        for document in documents:
            by_name.setdefault(document["_id"].partition("|")[0], []).append(document)
        counters: list[Metric] = [_counter(name, by_name.get(name, ())) for name in COUNTERS]
        return counters + [_histogram(name, by_name.get(name, ())) for name in HISTOGRAMS]


def _counter(name: str, documents: Iterable[Mapping[str, Any]]) -> Metric:
    description, labels = COUNTERS[name]
    family = CounterMetricFamily(name, description, labels=labels)
    for document in documents:
        family.add_metric(document["labels"], document["count"])
    return family


def _histogram(name: str, documents: Iterable[Mapping[str, Any]]) -> Metric:
    description, labels, bounds = HISTOGRAMS[name]
    family = HistogramMetricFamily(name, description, labels=labels)
    for document in documents:
        counts = document["buckets"]
        total, buckets = 0.0, []
        for at, bound in enumerate((*map(float, bounds), float("inf"))):
            total += counts.get(str(at), 0)
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
        family.add_metric(document["labels"], buckets, sum_value=document["sum"])
    return family
