"""/health and /metrics: for the supervisor, the load balancer and Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from sanic import Blueprint

from service.infra.mongo.client import UNREACHABLE
from service.infra.redis.client import UNREACHABLE as REDIS_UNREACHABLE
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, Wire, operation

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READY_SECONDS_MAX = 2
Ping = Callable[[], Awaitable[Any]]


class LiveReply(Wire):
    status: str


class ReadyReply(Wire):
    """Each store's state: up or down."""

    status: str
    stores: dict[str, str]


class _Families:
    """Metrics that were read from a store just now, for the exposition format."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def routes(
    pings: Mapping[str, Ping],
    registry: CollectorRegistry,
    lasting: Callable[[], Awaitable[Iterable[Metric]]],
) -> Blueprint:
    """`registry` holds this process's own metrics, `lasting` reads those that all processes share."""
    blueprint = Blueprint("health")

    @operation(blueprint, "GET", "/health/live", "The process answers", returns={200: LiveReply}, access=Access.PUBLIC)
    async def live(call: Call[Nothing]) -> Reply:
        return Reply(200, LiveReply(status="live"))

    @operation(
        blueprint,
        "GET",
        "/health/ready",
        "Each store answers",
        returns={200: ReadyReply, 503: ReadyReply},
        access=Access.PUBLIC,
    )
    async def ready(call: Call[Nothing]) -> Reply:
        states = await asyncio.gather(*(_state(ping) for ping in pings.values()))
        up = all(state == "up" for state in states)
        stores = dict(zip(pings, states, strict=True))
        return Reply(200 if up else 503, ReadyReply(status="ready" if up else "not ready", stores=stores))

    @operation(blueprint, "GET", "/metrics", "Metrics for Prometheus", returns={200: None}, access=Access.PUBLIC)
    async def metrics(call: Call[Nothing]) -> Reply:
        together = CollectorRegistry(auto_describe=False)
        together.register(_Families([*registry.collect(), *await lasting()]))
        return Reply(200, generate_latest(together), content_type=METRICS_TYPE)

    return blueprint


async def _state(ping: Ping) -> str:
    try:
        await asyncio.wait_for(ping(), READY_SECONDS_MAX)
    except (*UNREACHABLE, *REDIS_UNREACHABLE, TimeoutError):
        return "down"
    return "up"
