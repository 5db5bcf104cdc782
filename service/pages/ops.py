"""The live operations page for staff: stock, holds and their ages, checkout rate, conflicts, alerts and jobs."""

from collections.abc import Callable
from typing import Any

from sanic import Blueprint

from service.orders.overview import Overview
from service.pages.render import Pages
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


def routes(overview: Overview, counters: Callable[[], dict[str, int]], pages: Pages) -> Blueprint:
    """`counters` gives this process's ledger counters since it started."""
    blueprint = Blueprint("ops")

    @operation(blueprint, "GET", "/ops", "The operations page", returns={200: None}, access=Access.PUBLIC, limit="read")
    async def ops(call: Call[Nothing]) -> Reply:
        if call.caller is None or call.caller.access < Access.STAFF:
            return pages.page(call.request, "login.html", 401 if call.caller is None else 403)
        return pages.page(call.request, "ops.html")

    @operation(
        blueprint,
        "GET",
        "/ops/live",
        "What the operations page shows, now",
        returns={200: dict[str, Any]},
        access=Access.STAFF,
        limit="read",
    )
    async def live(call: Call[Nothing]) -> Reply:
        return Reply(200, {**await overview.now(), "ledger": counters()})

    return blueprint
