"""Past-tense facts. A fact is written to the outbox in the transaction that made it true, and relayed afterwards, maybe
by another version: a field that is added has a default, and one that is taken away is still read over. What each
release wrote is kept in tests/integration/messaging/facts."""

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict

BY_NAME: dict[str, type["Event"]] = {}


class Event(Struct, frozen=True):
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        BY_NAME[cls.name] = cls

    def document(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


class StockChanged(Event, frozen=True):
    """One SKU after one committed batch, or after its offer came or went. `was` is what could be bought of it before:
    crossings are read off the pair."""

    name = "stock_changed"
    sku: str
    seq: int
    was: int
    available: int
    threshold: int
    on_sale: bool = True


class OrderPlaced(Event, frozen=True):
    name = "order_placed"
    order_id: str
    user_id: str


class OrderPaid(Event, frozen=True):
    name = "order_paid"
    order_id: str
    user_id: str


class OrderCancelled(Event, frozen=True):
    name = "order_cancelled"
    order_id: str
    user_id: str
    reason: str


class OrderRefunded(Event, frozen=True):
    name = "order_refunded"
    order_id: str
    user_id: str
    amount: int


class OrderShipped(Event, frozen=True):
    name = "order_shipped"
    order_id: str
    user_id: str


class OrderDelivered(Event, frozen=True):
    name = "order_delivered"
    order_id: str
    user_id: str


class ProductChanged(Event, frozen=True):
    """A product was created, edited or archived. `version` only grows: a cache never goes back."""

    name = "product_changed"
    product_id: str
    version: int


class MailRequested(Event, frozen=True):
    """A mail that must follow a commit: `template` and what fills it. `key` makes sending it twice visible."""

    name = "mail_requested"
    key: str
    to: str
    template: str
    values: dict[str, Any]


class AccountChanged(Event, frozen=True):
    """The role of an account, or whether it may log in: its sessions follow."""

    name = "account_changed"
    user_id: str


class AccountErased(Event, frozen=True):
    """The person is gone: whoever keeps something of theirs lets go of it. Orders are kept."""

    name = "account_erased"
    user_id: str


class AddressVerified(Event, frozen=True):
    """Somebody who reads the mails of this address has said so."""

    name = "address_verified"
    user_id: str
    email: str


class AlertRaised(Event, frozen=True):
    """`kind` is low_stock or out_of_stock."""

    name = "alert_raised"
    alert_id: str
    sku: str
    kind: str
    available: int
    threshold: int


class AlertResolved(Event, frozen=True):
    name = "alert_resolved"
    alert_id: str
    sku: str
    kind: str


class StoresRestored(Event, frozen=True):
    """An older backup was put back: what was told since it was made may not have been. Whoever keeps a copy of anything
    reads it anew."""

    name = "stores_restored"
    epoch: int
