"""Alerts and back-in-stock subscriptions on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from service.alerts.models import Alert, Subscription
from service.auth.schemas import Email
from service.web.http.operation import Wire


class AlertsQuery(Wire):
    """`unresolved` is open or acknowledged."""

    status: Literal["unresolved", "open", "acknowledged", "resolved", "all"] = "unresolved"
    kind: Literal["low_stock", "out_of_stock"] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class AlertView(Wire):
    """`available` and `threshold` are those it was raised with."""

    id: str
    sku: str
    kind: Literal["low_stock", "out_of_stock"]
    status: Literal["open", "acknowledged", "resolved"]
    available: int
    threshold: int
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None


class AlertsReply(Wire):
    items: list[AlertView]
    next_cursor: str | None


class NotifyBody(Wire):
    """Without `email`, the account's address is told, once it is verified. Another address is first asked whether it
    agrees."""

    email: Email | None = None


class SubscriptionReply(Wire):
    """`confirmed`: the address has agreed to be told; until then the customer does not wait."""

    sku: str
    email: str
    since: datetime
    confirmed: bool


def alert_view(alert: Alert) -> AlertView:
    return AlertView(
        id=alert.id,
        sku=alert.sku,
        kind=alert.kind.value,
        status=alert.status,  # type: ignore[arg-type]
        available=alert.available,
        threshold=alert.threshold,
        raised_at=alert.raised_at,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        resolved_at=alert.resolved_at,
    )


def subscription_view(subscription: Subscription) -> SubscriptionReply:
    return SubscriptionReply(
        sku=subscription.sku,
        email=subscription.email,
        since=subscription.created_at,
        confirmed=not subscription.pending,
    )
