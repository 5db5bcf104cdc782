"""What a process found of the stores' schema at its start, for Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from service.migration.migrate import SchemaState
from service.migration.schema import VERSION

KINDS = ("create", "expire", "make_unique", "switch", "retired", "undeclared")


class SchemaMetrics:
    """A collector."""

    def __init__(self, state: SchemaState) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        drift = GaugeMetricFamily(
            "holdfast_index_drift", "Indexes that were not as declared at the start, by what is wrong", labels=["kind"]
        )
        for kind in KINDS:
            drift.add_metric([kind], self._state.drift[kind])
        yield drift
        version = GaugeMetricFamily("holdfast_schema_version", "Of the process, and of the stores", labels=["of"])
        version.add_metric(["process"], VERSION)
        version.add_metric(["stores"], self._state.store_version)
        yield version
