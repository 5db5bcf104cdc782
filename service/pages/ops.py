"""The live operations page for staff: stock, holds and their ages, checkout rate, conflicts, alerts and jobs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from sanic import Blueprint

from service.alerts.models import AlertKind
from service.alerts.usecases import Alerts
from service.inventory.usecases import Inventory
from service.orders.overview import Overview
from service.pages.api import Api, see_other
from service.pages.render import Pages
from service.web.http.access import Access
from service.web.http.operation import Call, Form, Nothing, PageQuery, Reply, operation

PAGE, SEE_OTHER = {200: None}, {303: None}
LISTED_MAX = 15
JOBS = {
    "expired-cleanup": "Free expired holds",
    "low-stock-check": "Check low stock",
    "out-of-stock-check": "Check sold out",
}


class ReceiveForm(Form):
    sku: Annotated[str, msgspec.Meta(max_length=64)] = ""
    quantity: Annotated[str, msgspec.Meta(max_length=12)] = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Ops:
    """`counters` gives this process's ledger counters since it started."""

    overview: Overview
    counters: Callable[[], dict[str, int]]
    inventory: Inventory
    alerts: Alerts
    api: Api
    pages: Pages

    async def page(self, call: Call[Any], template: str = "ops.html", status: int = 200, **values: Any) -> Reply:
        low = await self.inventory.low_stock("", LISTED_MAX)
        alerts = await self.alerts.newest("unresolved", tuple(AlertKind), None, LISTED_MAX * 2)
        sold_out = {alert.sku for alert in alerts.items if alert.kind is AlertKind.OUT_OF_STOCK}
        shown = [a for a in alerts.items if a.kind is AlertKind.OUT_OF_STOCK or a.sku not in sold_out]
        values = {"key": "", "sku": "", "quantity": "10", **values}
        return self.pages.page(
            call.request, template, status, low=low.items, alerts=shown[:LISTED_MAX], jobs=JOBS, **values
        )


def routes(ops: Ops) -> Blueprint:
    blueprint = Blueprint("ops")
    _watching(blueprint, ops)
    _working(blueprint, ops)
    return blueprint


def _watching(blueprint: Blueprint, ops: Ops) -> None:
    @operation(
        blueprint,
        "GET",
        "/ops",
        "The operations page",
        takes=PageQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def ops_page(call: Call[PageQuery]) -> Reply:
        if call.user.access < Access.STAFF:
            return ops.pages.page(call.request, "login.html", 403, next="/ops")
        return await ops.page(call)

    @operation(
        blueprint,
        "GET",
        "/ops/lists",
        "Low stock and alerts, as a part of the operations page",
        takes=PageQuery,
        returns=PAGE,
        access=Access.STAFF,
        limit="read",
    )
    async def lists(call: Call[PageQuery]) -> Reply:
        return await ops.page(call, "ops_lists.html")

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
        return Reply(200, {**await ops.overview.now(), "ledger": ops.counters()})


def _working(blueprint: Blueprint, ops: Ops) -> None:
    @operation(
        blueprint,
        "POST",
        "/ops/receive",
        "Goods in by form",
        takes=ReceiveForm,
        returns=SEE_OTHER,
        access=Access.STAFF,
    )
    async def receive(call: Call[ReceiveForm]) -> Reply:
        taken = call.taken

        async def again(error: str, status: int) -> Reply:
            return await ops.page(
                call, status=status, error=error, key=taken.idempotency_key, sku=taken.sku, quantity=taken.quantity
            )

        call.request.ctx.again = again
        given = {"lines": [{"sku": taken.sku.strip(), "quantity": taken.quantity.strip()}]}
        await ops.api.call(call.request, "POST /api/inventory/receive", given, key=taken.idempotency_key)
        return see_other("/ops", said="received")

    @operation(
        blueprint,
        "POST",
        "/ops/jobs/<name:str>",
        "Start a job by form",
        takes=Form,
        returns=SEE_OTHER,
        access=Access.STAFF,
    )
    async def start(call: Call[Form], name: str) -> Reply:
        await ops.api.call(call.request, "POST /api/inventory/jobs/<name:str>", name=name)
        return see_other("/ops", said="started")

    @operation(
        blueprint,
        "POST",
        "/ops/alerts/<alert_id:str>/acknowledge",
        "Take note of an alert by form",
        takes=Form,
        returns=SEE_OTHER,
        access=Access.STAFF,
    )
    async def acknowledge(call: Call[Form], alert_id: str) -> Reply:
        name = "POST /api/inventory/alerts/<alert_id:str>/acknowledge"
        await ops.api.call(call.request, name, alert_id=alert_id)
        return see_other("/ops", said="acknowledged")
