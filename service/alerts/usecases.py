"""Alerts follow stock, and customers who asked are told when it is back.

Both look at the stock as it is, not at the fact that made them look: a fact that comes late, twice or not at all leaves
nothing wrong that the next look does not put right. Every look is one of the relay's facts or of the daily jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from service.alerts.models import (
    Alert,
    AlertKind,
    InStock,
    Plan,
    Subscription,
    TooManySubscriptions,
    UnknownAlert,
    may_matter,
    plan,
    to_tell,
)
from service.alerts.recipients import Recipients
from service.alerts.repository import AlertRepository, SubscriptionRepository
from service.auth.models import User
from service.clock import Clock
from service.config import Config
from service.email_address import parse_address
from service.events import AddressVerified, AlertRaised, AlertResolved, MailRequested, StockChanged
from service.ids import Ids
from service.infra.mongo.client import Session, Transactions
from service.inventory.models import Stock, UnknownSku
from service.inventory.usecases import Inventory
from service.messaging.deliveries import Delivery
from service.messaging.outbox import Fact, Outbox

BACK_IN_STOCK = "back_in_stock"
DIGEST = "alert_digest"
HEADINGS = {AlertKind.LOW_STOCK: "Low stock", AlertKind.OUT_OF_STOCK: "Out of stock"}
LOOKS_MAX = 5
STAFF_MAX = 100


class Accounts(Protocol):
    async def get(self, user_id: str) -> User | None: ...

    async def newest(self, role: str | None, before: tuple[datetime, str] | None, limit: int) -> list[User]: ...


class Named(Protocol):
    @property
    def name(self) -> str: ...


class Goods(Protocol):
    async def of(self, skus: Iterable[str]) -> Mapping[str, Named]:
        """What those SKUs are called that were ever on sale."""


class Buyers(Protocol):
    async def ordered_since(self, sku: str, since: Mapping[str, datetime]) -> set[str]:
        """Those users who have a living order of the SKU, placed after the instant given for each."""


@dataclass(frozen=True, slots=True)
class Looked:
    raised: int = 0
    resolved: int = 0

    def __add__(self, other: "Looked") -> "Looked":
        return Looked(self.raised + other.raised, self.resolved + other.resolved)


@dataclass(frozen=True, slots=True)
class AlertPage:
    items: tuple[Alert, ...]
    next_id: str | None


class Alerts:
    def __init__(
        self,
        repository: AlertRepository,
        inventory: Inventory,
        accounts: Accounts,
        transactions: Transactions,
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
        config: Config,
    ) -> None:
        self._repository, self._inventory, self._accounts = repository, inventory, accounts
        self._transactions, self._outbox = transactions, outbox
        self._clock, self._ids, self._config = clock, ids, config

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Brings the alerts of changed SKUs in line."""
        changes = [fact.event for fact in facts if isinstance(fact.event, StockChanged)]
        skus = {c.sku for c in changes if may_matter(c.was, c.available, c.threshold)}
        for part in _parts(skus, self._config.alert_skus_max):
            await self.look_at(part)

    async def look_at(self, skus: Iterable[str]) -> Looked:
        """Raises what is missing and resolves what is over, then looks again at what it changed: the stock may have
        moved on while it wrote."""
        looked, changing = Looked(), set(skus)
        for _ in range(LOOKS_MAX):
            if not await self._plan(changing):
                break
            carried_out = await self._transactions.run(partial(self._align, frozenset(changing)))
            looked += Looked(len(carried_out.missing), len(carried_out.over))
            changing = carried_out.skus
        return looked

    async def _plan(self, skus: Iterable[str], session: Session = None) -> Plan:
        wanted = sorted(skus)
        stock = await self._inventory.stock_in(session, wanted)
        return plan(stock, await self._repository.open_of(wanted, session))

    async def _align(self, skus: Iterable[str], session: Session) -> Plan:
        now, todo = self._clock.now(), await self._plan(skus, session)
        raised = [
            Alert(self._ids.new(), stock.sku, kind, stock.available, stock.threshold, now)
            for stock, kind in todo.missing
        ]
        await self._repository.add(raised, session)
        await self._repository.resolve([alert.id for alert in todo.over], now, session)
        facts = [AlertRaised(a.id, a.sku, a.kind.value, a.available, a.threshold) for a in raised]
        over = [AlertResolved(a.id, a.sku, a.kind.value) for a in todo.over]
        await self._outbox.add([*facts, *over], session)
        return todo

    async def low_skus(self, after_sku: str) -> tuple[list[Stock], str | None]:
        """A page of SKUs at or under their threshold, by SKU, and where the next one begins."""
        page = await self._inventory.low_stock(after_sku, self._config.alert_skus_max)
        return list(page.items), page.next_sku

    async def open_alerts(self, kind: AlertKind, before_id: str | None) -> list[Alert]:
        """A page of them, newest first; empty after the last."""
        return await self._repository.newest("unresolved", [kind], before_id, self._config.alert_skus_max)

    async def send_digest(self, kind: AlertKind) -> int:
        """One mail to each recipient about the alerts no digest has named yet, none if there are none. Returns how
        many alerts it named. Whoever runs it and however often, an alert is named once."""
        recipients = await self._recipients()
        if not recipients:
            return 0
        open_count = await self._repository.count_open(kind)
        return await self._transactions.run(partial(self._write_digest, kind, recipients, open_count))

    async def _write_digest(self, kind: AlertKind, to: Sequence[str], open_count: int, session: Session) -> int:
        alerts = await self._repository.undigested(kind, self._config.digest_alerts_max, session)
        if not alerts:
            return 0
        await self._repository.mark_digested([alert.id for alert in alerts], self._clock.now(), session)
        values = {
            "heading": HEADINGS[kind],
            "alerts": [{"sku": a.sku, "available": a.available, "threshold": a.threshold} for a in alerts],
            "open_count": max(open_count, len(alerts)),
        }
        mail = self._ids.new()
        await self._outbox.add([MailRequested(f"{DIGEST}:{mail}:{one}", one, DIGEST, values) for one in to], session)
        return len(alerts)

    async def _recipients(self) -> list[str]:
        """The configured ones, or everybody on the staff."""
        if self._config.alert_mail_to:
            return [address.strip() for address in self._config.alert_mail_to.split(",")]
        staff = [user for role in ("staff", "admin") for user in await self._accounts.newest(role, None, STAFF_MAX)]
        return [user.email for user in staff]

    async def newest(self, status: str, kinds: Sequence[AlertKind], before_id: str | None, limit: int) -> AlertPage:
        found = await self._repository.newest(status, kinds, before_id, limit + 1)
        return AlertPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def acknowledge(self, alert_id: str, actor: str) -> Alert:
        alert = await self._repository.acknowledge(alert_id, actor, self._clock.now())
        if alert is None:
            raise UnknownAlert()
        return alert


class Notices:
    """Who waits for a SKU, and who is told that it is back: never more people than there are units, oldest first."""

    def __init__(
        self,
        repository: SubscriptionRepository,
        inventory: Inventory,
        accounts: Accounts,
        buyers: Buyers,
        goods: Goods,
        recipients: Recipients,
        transactions: Transactions,
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
        config: Config,
    ) -> None:
        self._repository, self._inventory, self._accounts, self._buyers = repository, inventory, accounts, buyers
        self._goods = goods
        self._recipients, self._transactions, self._outbox = recipients, transactions, outbox
        self._clock, self._ids, self._config = clock, ids, config

    async def subscribe(self, sku: str, user_id: str, email: str | None) -> tuple[Subscription, bool]:
        """The subscription, and whether it is new; it is pending until its address has agreed. Raises UnknownSku,
        InStock, TooManySubscriptions, BadAddress."""
        stock = await self._inventory.get(sku)
        if not stock.on_sale:
            raise UnknownSku(f"{sku} is not sold here")
        if stock.sellable > 0:
            raise InStock()
        if await self._repository.count_current(user_id) >= self._config.subscriptions_per_user_max:
            raise TooManySubscriptions(f"At most {self._config.subscriptions_per_user_max} at a time")
        user = await self._accounts.get(user_id)
        assert user is not None, "a caller without an account"
        address = user.email if email is None else parse_address(email)
        agreed = await self._recipients.agreed(user, address)
        now = self._clock.now()
        new = Subscription(self._ids.new(), sku, user_id, address, now, agreed, None, 0, pending=not agreed)
        if not await self._repository.add(new):
            return await self._repository.current_of(sku, user_id) or new, False
        if agreed:
            await self.tell(sku)
        else:
            await self._ask_to_agree(user, address)
        return new, True

    async def _ask_to_agree(self, user: User, address: str) -> None:
        mails = await self._recipients.ask(user, address)
        await self._transactions.run(partial(self._outbox.add, mails))

    async def confirm(self, link: str) -> None:
        """The owner of an address agrees to one user's notices. Raises BadNoticeLink."""
        mark, user_id = await self._recipients.confirm(link)
        await self._begin_to_wait(user_id, mark)

    async def unsubscribe_address(self, link: str) -> None:
        """No notice goes to that address any more, whoever asked for it. Raises BadNoticeLink."""
        await self._recipients.unsubscribe(link)

    async def _begin_to_wait(self, user_id: str, mark: str) -> None:
        for subscription in await self._repository.pending_of(user_id):
            if self._recipients.links.mark(subscription.email) == mark:
                await self._repository.begin_to_wait(subscription)
                await self.tell(subscription.sku)

    async def unsubscribe(self, sku: str, user_id: str) -> None:
        """Also when there was nothing to cancel."""
        await self._repository.cancel(sku, user_id, self._clock.now())

    async def follow(self, facts: Sequence[Fact]) -> None:
        """Tells of SKUs that are there again, notes those that are sold out, and lets those wait whose address has
        been verified."""
        for verified in (fact.event for fact in facts if isinstance(fact.event, AddressVerified)):
            await self._begin_to_wait(verified.user_id, self._recipients.links.mark(verified.email))
        changes = [(fact.at, fact.event) for fact in facts if isinstance(fact.event, StockChanged)]
        gone: dict[datetime, list[str]] = {}
        for at, change in changes:
            if change.available <= 0:
                gone.setdefault(at, []).append(change.sku)
        for at, skus in gone.items():
            await self._repository.sold_out(skus, told_before=at)
        there = {change.sku for _, change in changes if change.available > 0}
        for sku in sorted(await self._repository.waiting_among(there)) if there else ():
            await self.tell(sku)

    async def tell(self, sku: str) -> int:
        """Tells as many of those who wait as there are units nobody was told of. Returns how many it told."""
        told = 0
        while part := await self._tell_some(sku):
            told += part
        return told

    async def _tell_some(self, sku: str) -> int:
        since = self._clock.now() - timedelta(seconds=self._config.notify_claim_seconds)
        if not await self._repository.oldest_waiting(sku, 1):
            return 0
        told_lately = await self._repository.with_fresh_notice(sku, since)
        bought = await self._buyers.ordered_since(sku, told_lately) if told_lately else set()
        offer = (await self._goods.of([sku])).get(sku)
        name = sku if offer is None else offer.name
        return await self._transactions.run(partial(self._tell_in, sku, name, since, bought))

    async def _tell_in(self, sku: str, name: str, since: datetime, bought: set[str], session: Session) -> int:
        await self._repository.lock_queue(sku, session)
        stock = (await self._inventory.stock_in(session, [sku])).get(sku)
        if stock is None:
            return 0
        fresh = (await self._repository.with_fresh_notice(sku, since, session)).keys() - bought
        wanted = min(to_tell(stock.sellable, len(fresh)), self._config.alert_skus_max)
        lucky = await self._repository.oldest_waiting(sku, wanted, session) if wanted else []
        await self._repository.told([one.id for one in lucky], self._clock.now(), session)
        marks = self._recipients.links
        await self._outbox.add([_notice(one, stock, name, marks.mark(one.email)) for one in lucky], session)
        return len(lucky)

    async def waited_for(self, after_sku: str) -> list[str]:
        return await self._repository.waited_for(after_sku, self._config.alert_skus_max)

    async def still_wanted(self, delivery: Delivery) -> bool:
        """Asked right before the mail goes out. If the stock is gone again, the customer goes on waiting."""
        values = delivery.content["values"]
        subscription = await self._repository.told_as(values["subscription_id"], values["round"])
        if subscription is None:
            return False
        if await self._recipients.has_unsubscribed(self._recipients.links.mark(subscription.email)):
            await self._repository.cancel(subscription.sku, subscription.user_id, self._clock.now())
            return False
        stock = (await self._inventory.availability([subscription.sku])).get(subscription.sku)
        if stock is not None and stock.sellable > 0 and await self._recipients.may_be_mailed(subscription):
            return True
        await self._repository.wait_again(subscription)
        return False

    async def may_be_asked(self, delivery: Delivery) -> bool:
        """Whether the mail that asks an address to agree is still wanted."""
        return not await self._recipients.has_unsubscribed(delivery.content["values"]["recipient"])


def _notice(to: Subscription, stock: Stock, name: str, recipient: str) -> MailRequested:
    values = {
        "recipient": recipient,
        "sku": to.sku,
        "name": name,
        "product_id": stock.product_id,
        "subscription_id": to.id,
        "round": to.round,
    }
    return MailRequested(f"{BACK_IN_STOCK}:{to.id}:{to.round}", to.email, BACK_IN_STOCK, values)


def _parts(skus: Iterable[str], size: int) -> Iterable[list[str]]:
    ordered = sorted(skus)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
