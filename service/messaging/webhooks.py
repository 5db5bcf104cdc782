"""Facts told to other systems over HTTP, signed.

    Holdfast-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, "<t>.<body>")>

The time is inside the signature, so that a receiver can refuse what was recorded and sent again; `Holdfast-Event` is
the fact's id, the same in every attempt, so that it can refuse a copy."""

import hmac
from collections.abc import Sequence

import aiohttp

from service.clock import Clock
from service.config import Config
from service.infra import json
from service.messaging.deliveries import Delivery, Refused
from service.messaging.outbox import Fact

ALERTS = {"alert_raised", "alert_resolved"}
ORDERS = {"order_placed", "order_paid", "order_cancelled", "order_refunded", "order_shipped"}
STORES = {"stores_restored"}
TOLD = frozenset(ALERTS | ORDERS | STORES)
GONE = 410


class NotTaken(Exception):
    """The receiver answered with something else than 2xx."""


def signature(secret: str, at: int, body: bytes) -> str:
    return f"t={at},v1={hmac.digest(secret.encode(), f'{at}.'.encode() + body, 'sha256').hex()}"


def to_tell(facts: Sequence[Fact], urls: Sequence[str]) -> list[Delivery]:
    """One delivery per fact and receiver."""
    return [
        Delivery(f"webhook:{fact.id}:{url}", "webhook", url, {"event": fact.id, "body": _body(fact)})
        for fact in facts
        if fact.event.name in TOLD
        for url in urls
    ]


def _body(fact: Fact) -> str:
    data = {_camel(name): value for name, value in fact.event.document().items() if name != "name"}
    told = {"id": fact.id, "type": fact.event.name, "at": fact.at, "data": data}
    return json.encode(told).decode()


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


class WebhookSender:
    def __init__(self, clock: Clock, config: Config) -> None:
        self._clock, self._config = clock, config

    async def send(self, delivery: Delivery) -> None:
        """Raises NotTaken for later, Refused when the receiver says it is gone for good."""
        body = delivery.content["body"].encode()
        headers = {
            "Content-Type": "application/json",
            "Holdfast-Event": delivery.content["event"],
            "Holdfast-Signature": signature(self._config.webhook_secret, int(self._clock.now().timestamp()), body),
        }
        timeout = aiohttp.ClientTimeout(total=self._config.webhook_seconds_max)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.post(delivery.to, data=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status == GONE:
                raise Refused(f"{delivery.to} is gone")
            if not 200 <= response.status < 300:
                raise NotTaken(f"{delivery.to} answered {response.status}")
