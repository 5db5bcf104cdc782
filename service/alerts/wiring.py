"""Wires alerts: what staff is told of stock, and customers who asked to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.alerts.recipient_repository import RecipientRepository
from service.alerts.recipients import CONFIRMATION, NoticeLinks, Recipients
from service.alerts.repository import AlertRepository, SubscriptionRepository
from service.alerts.usecases import BACK_IN_STOCK, Alerts, Audience, Goods, NoticeAccounts, Notices, OrderedSince
from service.config import Config
from service.infra.stores import Stores
from service.inventory.usecases import Inventory
from service.messaging.deliveries import StillWanted
from service.messaging.mail import Fill
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class AlertsDomain:
    alerts: Alerts
    notices: Notices

    def guards(self) -> Mapping[str, StillWanted]:
        """What is asked once more before a mail of ours is sent."""
        return {BACK_IN_STOCK: self.notices.still_wanted, CONFIRMATION: self.notices.may_be_asked}


def wire(
    runtime: Runtime,
    stores: Stores,
    work: UnitOfWork,
    inventory: Inventory,
    goods: Goods,
    accounts: NoticeAccounts,
    buyers: OrderedSince,
) -> AlertsDomain:
    clock, config, database = runtime.clock, runtime.config, stores.database
    recipients = Recipients(RecipientRepository(database, clock), NoticeLinks(config), clock, config)
    audience = Audience(accounts, buyers, recipients)
    return AlertsDomain(
        Alerts(AlertRepository(database), inventory, accounts, work, runtime),
        Notices(SubscriptionRepository(database), inventory, audience, goods, work, runtime),
    )


def fills(config: Config) -> Mapping[str, Fill]:
    """What a notice's text is given when it is sent: the links that no store has seen."""
    links, url = NoticeLinks(config), config.public_url

    def with_unsubscribing(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"unsubscribe_url": f"{url}/notices/unsubscribe/{links.unsubscribe(values['recipient'])}"}

    def with_confirming(values: Mapping[str, Any]) -> Mapping[str, Any]:
        confirm_url = f"{url}/notices/confirm/{links.confirm(values['recipient'], values['user'])}"
        return {**with_unsubscribing(values), "confirm_url": confirm_url}

    return {BACK_IN_STOCK: with_unsubscribing, CONFIRMATION: with_confirming}
