"""/health and /metrics: for the supervisor, the load balancer and Prometheus. No limit and no layer that asks a store
stands before a probe; `live` asks nobody, and the process's own metrics wait for nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sanic import Blueprint

from service.infra.mongo.client import UNREACHABLE
from service.infra.redis.client import UNREACHABLE as REDIS_UNREACHABLE
from service.web.http.access import Access
from service.web.http.operation import UNLIMITED, Call, Nothing, Reply, Wire, operation

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READY_SECONDS_MAX = 2
SHARED_SECONDS_MAX = 2
Ping = Callable[[], Awaitable[Any]]


class LiveReply(Wire):
    status: str


class ReadyReply(Wire):
    """Each store's state: up or down. A process that was told to stop is not ready, whatever they are."""

    status: str
    stores: dict[str, str]


class MetricsPart(StrEnum):
    """Every process tells what all of them share: who scrapes several asks each for its own and one for the rest."""

    ALL = "all"
    PROCESS = "process"
    SHARED = "shared"


class MetricsQuery(Wire):
    part: MetricsPart = MetricsPart.ALL


class _Families:
    """Metrics that were read from a store just now, for the exposition format."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


class Health:
    """`registry` holds this process's own metrics, `lasting` reads those that all processes share."""

    def __init__(
        self,
        pings: Mapping[str, Ping],
        registry: CollectorRegistry,
        lasting: Callable[[], Awaitable[Iterable[Metric]]],
    ) -> None:
        self._pings, self._registry, self._lasting = pings, registry, lasting
        self.stopping = False

    async def live(self) -> Reply:
        """200 as long as the process can answer at all; asks no store. For a supervisor that restarts."""
        return Reply(200, LiveReply(status="live"))

    async def ready(self) -> Reply:
        """Says of each store whether it answers; 503 if one does not. For a balancer that sends traffic."""
        states = await asyncio.gather(*(_state(ping) for ping in self._pings.values()))
        up = all(state == "up" for state in states) and not self.stopping
        stores = dict(zip(self._pings, states, strict=True))
        return Reply(200 if up else 503, ReadyReply(status="ready" if up else "not ready", stores=stores))

    async def metrics(self, part: MetricsPart = MetricsPart.ALL) -> Reply:
        """Counters and histograms in the Prometheus text format. Those of the process wait for no store."""
        own = [] if part is MetricsPart.SHARED else self._registry.collect()
        shared = [] if part is MetricsPart.PROCESS else await self._shared()
        together = CollectorRegistry(auto_describe=False)
        together.register(_Families([*own, *shared]))
        return Reply(200, generate_latest(together), content_type=METRICS_TYPE)

    async def _shared(self) -> Iterable[Metric]:
        shared: Iterable[Metric] = ()
        try:
            shared = await asyncio.wait_for(self._lasting(), SHARED_SECONDS_MAX)
            up = True
        except (*UNREACHABLE, *REDIS_UNREACHABLE, TimeoutError):
            up = False
        help_text = "Whether the metrics that all processes share could be read for this answer"
        return [*shared, GaugeMetricFamily("holdfast_shared_metrics_up", help_text, int(up))]


def routes(health: Health, metrics_for: Access = Access.PUBLIC) -> Blueprint:
    """`metrics_for`: who may read the metrics here; a port of their own needs no credential."""
    blueprint = Blueprint("health")

    @operation(
        blueprint,
        "GET",
        "/health/live",
        "The process answers",
        returns={200: LiveReply},
        access=Access.PUBLIC,
        limit=UNLIMITED,
    )
    async def live(call: Call[Nothing]) -> Reply:
        """200 as long as the process can answer at all; asks no store. For a supervisor that restarts."""
        return await health.live()

    @operation(
        blueprint,
        "GET",
        "/health/ready",
        "Each store answers",
        returns={200: ReadyReply, 503: ReadyReply},
        access=Access.PUBLIC,
        limit=UNLIMITED,
    )
    async def ready(call: Call[Nothing]) -> Reply:
        """Says of each store whether it answers; 503 if one does not. For a balancer that sends traffic."""
        return await health.ready()

    @operation(
        blueprint,
        "GET",
        "/metrics",
        "Metrics for Prometheus",
        takes=MetricsQuery,
        returns={200: None},
        access=metrics_for,
        scope="metrics:read" if metrics_for is not Access.PUBLIC else "",
    )
    async def metrics(call: Call[MetricsQuery]) -> Reply:
        """Counters and histograms in the Prometheus text format: of this `process`, what all `shared`, or both."""
        return await health.metrics(call.taken.part)

    return blueprint


async def _state(ping: Ping) -> str:
    try:
        await asyncio.wait_for(ping(), READY_SECONDS_MAX)
    except (*UNREACHABLE, *REDIS_UNREACHABLE, TimeoutError):
        return "down"
    return "up"
