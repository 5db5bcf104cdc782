"""Wires what follows a commit: the relay of facts to their consumers, mails and webhooks, and what was given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.config import Config
from service.infra.lasting_metrics import LastingMetrics
from service.infra.mongo.lease import Lease
from service.infra.stores import Stores
from service.messaging.backlogs import Backlogs
from service.messaging.dead_letters import DeadLetters
from service.messaging.deliveries import Deliveries, Send, StillWanted
from service.messaging.mail import Fill, Mailer, mails
from service.messaging.outbox import Fact, Outbox
from service.messaging.relay import Consumer, Relay
from service.messaging.webhooks import WebhookSender, to_tell
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class MessagingDomain:
    dead_letters: DeadLetters
    metrics: LastingMetrics
    deliveries: Deliveries
    relay: Relay
    backlogs: Backlogs


def wire(
    runtime: Runtime,
    stores: Stores,
    outbox: Outbox,
    consumers: Mapping[str, Consumer],
    guards: Mapping[str, StillWanted],
    fills: Mapping[str, Fill],
) -> MessagingDomain:
    """Facts go to `consumers`; `fills` gives a mail its links when it is sent, `guards` says whether it still is."""
    clock, ids, config, database = runtime.clock, runtime.ids, runtime.config, stores.database
    metrics, dead_letters = LastingMetrics(database), DeadLetters(database, clock)
    deliveries = Deliveries(database, _channels(runtime, fills), guards, dead_letters, metrics, runtime)
    lease = Lease(database, "relay", ids.new(), config.outbox_lease_seconds, clock)
    following = {**consumers, "deliveries": _deliver_with(deliveries, config)}
    return MessagingDomain(
        dead_letters,
        metrics,
        deliveries,
        Relay(outbox, lease, following, dead_letters, metrics, runtime),
        Backlogs(outbox, deliveries, dead_letters, metrics),
    )


def _channels(runtime: Runtime, fills: Mapping[str, Fill]) -> Mapping[str, Send]:
    """Without a mail server mails wait; a receiver of webhooks that is taken away leaves its own waiting."""
    channels: dict[str, Send] = {}
    if runtime.config.smtp_url:
        channels["mail"] = Mailer(runtime.clock, runtime.config, fills).send
    if runtime.config.webhook_urls:
        channels["webhook"] = WebhookSender(runtime.clock, runtime.config).send
    return channels


def _deliver_with(deliveries: Deliveries, config: Config) -> Consumer:
    urls = [url.strip() for url in config.webhook_urls.split(",") if url.strip()]

    async def deliver(facts: Sequence[Fact]) -> None:
        await deliveries.add([*mails(facts), *to_tell(facts, urls)])

    return deliver
