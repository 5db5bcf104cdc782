"""/api/inventory: alerts, and the customers who want to know when a SKU is back."""

from sanic import Blueprint

from service.alerts.models import AlertKind, InStock, TooManySubscriptions, UnknownAlert
from service.alerts.schemas import (
    AlertsQuery,
    AlertsReply,
    AlertView,
    NotifyBody,
    SubscriptionReply,
    alert_view,
    subscription_view,
)
from service.alerts.usecases import Alerts, Notices
from service.inventory.models import UnknownSku
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


def routes(alerts: Alerts, notices: Notices) -> Blueprint:
    blueprint = Blueprint("alerts", url_prefix="/api/inventory")

    @operation(
        blueprint,
        "GET",
        "/alerts",
        "Low and out-of-stock alerts, newest first",
        takes=AlertsQuery,
        returns={200: AlertsReply},
        access=Access.STAFF,
        scope="alerts:read",
    )
    async def alert_list(call: Call[AlertsQuery]) -> Reply:
        """By default those whose condition still holds, acknowledged or not; `status` and `kind` narrow it down. A
        sold-out SKU has an alert of each kind it meets."""
        taken = call.taken
        kinds = tuple(AlertKind) if taken.kind is None else (AlertKind(taken.kind),)
        before = None if taken.cursor is None else cursor.decode(taken.cursor, str)
        page = await alerts.newest(taken.status, kinds, before, taken.limit)
        next_cursor = None if page.next_id is None else cursor.encode(page.next_id)
        return Reply(200, AlertsReply(items=[alert_view(alert) for alert in page.items], next_cursor=next_cursor))

    @operation(
        blueprint,
        "POST",
        "/alerts/<alert_id:str>/acknowledge",
        "Take note of an alert",
        returns={200: AlertView},
        access=Access.STAFF,
        scope="alerts:write",
        errors=(UnknownAlert,),
    )
    async def acknowledge(call: Call[Nothing], alert_id: str) -> Reply:
        """Says that somebody looks after it. The alert stays until its condition ends; acknowledging twice changes
        nothing."""
        return Reply(200, alert_view(await alerts.acknowledge(alert_id, call.user.user_id)))

    @operation(
        blueprint,
        "POST",
        "/<sku:str>/notify-me",
        "Tell me once when it is back in stock",
        takes=NotifyBody,
        returns={200: SubscriptionReply, 201: SubscriptionReply},
        access=Access.CUSTOMER,
        limit="account",
        errors=(UnknownSku, InStock, TooManySubscriptions),
    )
    async def notify_me(call: Call[NotifyBody], sku: str) -> Reply:
        """One mail, once, when the SKU can be bought again: 201 for a new subscription, 200 for one that was there.
        Nothing is set aside."""
        subscription, new = await notices.subscribe(sku, call.user.user_id, call.taken.email)
        return Reply(201 if new else 200, subscription_view(subscription))

    @operation(
        blueprint,
        "DELETE",
        "/<sku:str>/notify-me",
        "Do not tell me any more",
        returns={204: None},
        access=Access.CUSTOMER,
    )
    async def do_not_notify_me(call: Call[Nothing], sku: str) -> Reply:
        """Ends the subscription if there is one; 204 either way."""
        await notices.unsubscribe(sku, call.user.user_id)
        return Reply(204)

    return blueprint
