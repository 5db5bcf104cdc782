"""Past-tense facts. A fact is written to the outbox in the transaction that made it true, and relayed afterwards."""

from dataclasses import dataclass
from typing import Any, ClassVar

BY_NAME: dict[str, type["Event"]] = {}


@dataclass(frozen=True, slots=True)
class Event:
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        BY_NAME[cls.name] = cls

    def document(self) -> dict[str, Any]:
        names: tuple[str, ...] = self.__slots__
        return {"name": self.name} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class StockChanged(Event):
    """One SKU after one committed batch. `was` is its availability before: crossings are read off the pair."""

    name = "stock_changed"
    sku: str
    seq: int
    was: int
    available: int
    threshold: int


@dataclass(frozen=True, slots=True)
class OrderPlaced(Event):
    name = "order_placed"
    order_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class OrderPaid(Event):
    name = "order_paid"
    order_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class OrderCancelled(Event):
    name = "order_cancelled"
    order_id: str
    user_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderRefunded(Event):
    name = "order_refunded"
    order_id: str
    user_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class OrderShipped(Event):
    name = "order_shipped"
    order_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class OrderDelivered(Event):
    name = "order_delivered"
    order_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ProductChanged(Event):
    """A product was created, edited or archived. `version` only grows: a cache never goes back."""

    name = "product_changed"
    product_id: str
    version: int


@dataclass(frozen=True, slots=True)
class MailRequested(Event):
    """A mail that must follow a commit: `template` and what fills it. `key` makes sending it twice visible."""

    name = "mail_requested"
    key: str
    to: str
    template: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlertRaised(Event):
    """`kind` is low_stock or out_of_stock."""

    name = "alert_raised"
    alert_id: str
    sku: str
    kind: str
    available: int
    threshold: int


@dataclass(frozen=True, slots=True)
class AlertResolved(Event):
    name = "alert_resolved"
    alert_id: str
    sku: str
    kind: str
