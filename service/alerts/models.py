"""The rules of alerts and of back-in-stock notices. Pure.

An *alert* stands for a condition of one SKU, as long as the condition lasts. A *subscription* is one customer waiting
for one SKU; when told, the customer has a while to use the notice before somebody else is told of the same unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.errors import Conflict, NotFound
from service.inventory.models import Stock


class UnknownAlert(NotFound):
    code, title = "unknown_alert", "There is no such alert"


class TooManySubscriptions(Conflict):
    code, title = "too_many_subscriptions", "You wait for too many products already"


class InStock(Conflict):
    code, title = "in_stock", "It is in stock: there is nothing to wait for"


class BadNoticeLink(NotFound):
    code, title = "bad_notice_link", "This link is not one of ours"


class AlertKind(StrEnum):
    LOW_STOCK = "low_stock"
    OUT_OF_STOCK = "out_of_stock"


@dataclass(frozen=True, slots=True)
class Alert:
    """Open until its condition ends; whoever acknowledges it takes note, no more."""

    id: str
    sku: str
    kind: AlertKind
    available: int
    threshold: int
    raised_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None

    @property
    def status(self) -> str:
        if self.resolved_at is not None:
            return "resolved"
        return "open" if self.acknowledged_at is None else "acknowledged"


@dataclass(frozen=True, slots=True)
class Subscription:
    """`round` counts how often it was told and put back to wait because the stock was gone before the mail went out.
    `pending` ones do not wait: their address has not agreed yet."""

    id: str
    sku: str
    user_id: str
    email: str
    created_at: datetime
    waiting: bool
    told_at: datetime | None
    round: int
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address that notices go to. `confirmed_for`: the users whose notices it has agreed to receive."""

    mark: str
    unsubscribed: bool
    confirmed_for: frozenset[str]


def conditions(stock: Stock) -> frozenset[AlertKind]:
    """What is the matter with a SKU now. With one that is not sold, nothing."""
    found = set()
    if stock.low:
        found.add(AlertKind.LOW_STOCK)
    if stock.on_sale and stock.available <= 0:
        found.add(AlertKind.OUT_OF_STOCK)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Plan:
    """`missing` are conditions without an alert, `over` alerts without their condition."""

    missing: tuple[tuple[Stock, AlertKind], ...]
    over: tuple[Alert, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.over)

    @property
    def skus(self) -> set[str]:
        return {stock.sku for stock, _ in self.missing} | {alert.sku for alert in self.over}


def plan(stock: Mapping[str, Stock], alerts: Sequence[Alert]) -> Plan:
    """What brings the open alerts of some SKUs in line with their stock. A SKU that is gone has no condition."""
    present = {(found.sku, kind) for found in stock.values() for kind in conditions(found)}
    alerted = {(alert.sku, alert.kind) for alert in alerts}
    return Plan(
        tuple((stock[sku], kind) for sku, kind in sorted(present - alerted)),
        tuple(alert for alert in alerts if (alert.sku, alert.kind) not in present),
    )


def may_matter(was: int, available: int, threshold: int) -> bool:
    """Whether a change of stock can change its alerts: not when there was plenty before and is now. (`was` equal to
    `available` is a new threshold, and what the old one was is not known.)"""
    return was == available or min(was, available) <= threshold


def to_tell(available: int, outstanding: int) -> int:
    """How many more may be told: never more people with a fresh notice than units to buy."""
    return max(0, available - outstanding)
