"""Mails and webhooks to real servers on this machine: later rather than never, and each once if the wire lets it."""

import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from email.message import Message
from typing import Any

import pytest
from mail_servers import Inboxes, Receiver, smtp_server, webhook_receiver
from shops import MovableClock

from service.bootstrap import Shop
from service.config import Config
from service.events import AlertRaised, MailRequested, OrderPaid, ProductChanged
from service.infra.lasting_metrics import LastingMetrics
from service.messaging.dead_letters import DeadLetters
from service.messaging.deliveries import Deliveries, Delivery, StillWanted
from service.messaging.mail import TEMPLATES, Mailer, mails, server
from service.messaging.outbox import Fact
from service.messaging.webhooks import WebhookSender, to_tell

SECRET = "the secret of the receiver"
SMTP = "smtp://127.0.0.1:1"  # that nobody reaches


@pytest.fixture
async def inboxes() -> AsyncIterator[Inboxes]:
    async with smtp_server() as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as opened:
        yield opened


class Office:
    """Deliveries as a worker has them, with the dead letters beside them."""

    def __init__(self, shop: Shop, config: Config, guards: Mapping[str, StillWanted] | None = None) -> None:
        self.letters = DeadLetters(shop.stores.database, shop.clock)
        self.metrics = LastingMetrics(shop.stores.database)
        channels = {
            "mail": Mailer(
                shop.clock,
                config,
                dict.fromkeys(["password_reset", "email_verification"], lambda _: {"token": "from-the-ticket"}),
            ).send,
            "webhook": WebhookSender(shop.clock, config).send,
        }
        runtime = replace(shop.runtime, config=config)
        self.deliveries = Deliveries(shop.stores.database, channels, guards or {}, self.letters, self.metrics, runtime)

    async def send_all(self) -> None:
        while await self.deliveries.step() == 0.0:
            pass

    async def outcomes(self) -> dict[str, float]:
        await self.metrics.flush()
        [family] = [f for f in await self.metrics.families() if f.name == "holdfast_deliveries"]
        return {sample.labels["outcome"]: sample.value for sample in family.samples}


@pytest.fixture
def office(shop: Shop, inboxes: Inboxes, receiver: Receiver) -> Office:
    return Office(shop, replace(shop.config, smtp_url=inboxes.url, webhook_secret=SECRET))


def notice(n: int, to: str = "ada@example.com") -> Delivery:
    values = {"sku": f"TEA-{n}", "product_id": "p1", "subscription_id": "s1", "round": 0}
    return Delivery(f"mail:{n}", "mail", to, {"template": "back_in_stock", "values": values})


def parts(mail: Message) -> dict[str, str]:
    payloads = {
        part.get_content_type(): part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()
    }
    return {kind: payload.decode() for kind, payload in payloads.items() if isinstance(payload, bytes)}


async def test_a_mail_arrives_in_text_and_html(office: Office, inboxes: Inboxes) -> None:
    await office.deliveries.add([notice(1)])
    await office.send_all()
    [mail] = inboxes.to("ada@example.com")
    assert mail["Subject"] == "TEA-1 is back in stock"
    assert mail["Message-ID"].endswith("@holdfast.invalid>")
    assert "TEA-1, which you asked about" in parts(mail)["text/plain"]
    assert "<h1" in parts(mail)["text/html"]


async def test_what_a_customer_wrote_does_not_become_html(office: Office, inboxes: Inboxes) -> None:
    values = {"name": "<script>alert(1)</script>", "ticket": "t"}
    await office.deliveries.add(
        [Delivery("m", "mail", "ada@example.com", {"template": "password_reset", "values": values})]
    )
    await office.send_all()
    html = parts(inboxes.mails[0])["text/html"]
    assert "<script>" not in html
    assert "token=from-the-ticket" in html


SAID: dict[str, dict[str, Any]] = {
    "alert_digest": {
        "heading": "Low stock",
        "alerts": [{"sku": "TEA", "available": 2, "threshold": 5}],
        "open_count": 3,
    },
    "back_in_stock": {"sku": "TEA", "product_id": "p1", "subscription_id": "s1", "round": 0},
    "email_verification": {"name": "Ada", "ticket": "t"},
    "guest_order": {"number": "HF-1", "order_id": "o1", "token": "t"},
    "notice_confirmation": {"confirm_url": "https://shop.test/c", "unsubscribe_url": "https://shop.test/u"},
    "password_reset": {"name": "Ada", "ticket": "t"},
}


def test_every_template_is_tried_here() -> None:
    assert {path.stem for path in TEMPLATES.iterdir()} - {"layout"} == set(SAID)


@pytest.mark.parametrize("template", SAID)
async def test_every_template_makes_a_mail_with_a_subject_and_both_forms(
    office: Office, inboxes: Inboxes, template: str
) -> None:
    content = {"template": template, "values": SAID[template]}
    await office.deliveries.add([Delivery("m", "mail", "ada@example.com", content)])
    await office.send_all()
    [mail] = inboxes.mails
    assert mail["Subject"]
    assert set(parts(mail)) == {"text/plain", "text/html"}


async def test_a_mail_that_cannot_be_written_is_a_dead_letter_at_once(office: Office, inboxes: Inboxes) -> None:
    content = {"template": "alert_digest", "values": {"heading": "Low stock"}}
    await office.deliveries.add([Delivery("m", "mail", "ada@example.com", content)])
    await office.send_all()
    [letter] = await office.letters.newest(None, 10)
    assert "alert_digest cannot be filled" in letter.error
    assert inboxes.mails == []


async def test_the_same_mail_asked_for_twice_is_sent_once(office: Office, inboxes: Inboxes) -> None:
    await office.deliveries.add([notice(1), notice(2)])
    await office.send_all()
    await office.deliveries.add([notice(1), notice(2), notice(3)])
    await office.send_all()
    assert len(inboxes.mails) == 3


async def test_a_hundred_mails_and_five_senders_send_each_once(shop: Shop, office: Office, inboxes: Inboxes) -> None:
    await office.deliveries.add([notice(n) for n in range(100)])
    while await office.deliveries.step() == 0.0:
        pass
    assert len({mail["Message-ID"] for mail in inboxes.mails}) == len(inboxes.mails) == 100


async def test_a_provider_that_is_down_means_later_never_lost(
    shop: Shop, clock: MovableClock, inboxes: Inboxes
) -> None:
    office = Office(shop, replace(shop.config, smtp_url="smtp://127.0.0.1:1", webhook_secret=SECRET))
    await office.deliveries.add([notice(n) for n in range(5)])
    for _ in range(10):
        await office.send_all()
        clock.advance(shop.config.delivery_retry_pause_max_seconds)
    assert await office.deliveries.backlog() == {"mail": 5}
    healthy = Office(shop, replace(shop.config, smtp_url=inboxes.url, webhook_secret=SECRET))
    clock.advance(shop.config.delivery_retry_pause_max_seconds)
    await healthy.send_all()
    assert len(inboxes.mails) == 5
    assert await office.deliveries.backlog() == {}


async def test_a_mail_put_off_by_the_server_is_sent_later(
    office: Office, inboxes: Inboxes, clock: MovableClock
) -> None:
    inboxes.answers = ["451 try again", "452 full"]
    await office.deliveries.add([notice(1)])
    for _ in range(3):
        await office.send_all()
        clock.advance(office.deliveries._config.delivery_retry_pause_max_seconds)
    assert len(inboxes.mails) == 1
    assert await office.outcomes() == {"retried": 2, "sent": 1}


async def test_a_mail_refused_for_good_is_a_dead_letter_at_once_and_can_be_replayed(
    office: Office, inboxes: Inboxes
) -> None:
    inboxes.answers = ["554 no"]
    await office.deliveries.add([notice(1)])
    await office.send_all()
    [letter] = await office.letters.newest(None, 10)
    assert (letter.kind, letter.about) == ("mail", "mail to ada@example.com")
    await office.letters.replay(letter.id, "staff")
    await office.send_all()
    assert len(inboxes.mails) == 1


async def test_after_three_days_of_trying_a_mail_is_a_dead_letter(
    shop: Shop, clock: MovableClock, inboxes: Inboxes
) -> None:
    office = Office(shop, replace(shop.config, smtp_url="smtp://127.0.0.1:1", webhook_secret=SECRET))
    await office.deliveries.add([notice(1)])
    clock.advance(shop.config.delivery_give_up_seconds + 1)
    await office.send_all()
    assert [letter.kind for letter in await office.letters.newest(None, 10)] == ["mail"]


async def test_a_sender_that_died_leaves_its_mail_to_another_and_the_doubt_is_counted(
    office: Office, inboxes: Inboxes, clock: MovableClock
) -> None:
    await office.deliveries.add([notice(1)])
    assert await office.deliveries._claim() is not None
    await office.send_all()
    assert inboxes.mails == []
    clock.advance(office.deliveries._config.delivery_lease_seconds + 1)
    await office.send_all()
    assert len(inboxes.mails) == 1
    assert await office.outcomes() == {"uncertain": 1, "sent": 1}


async def test_a_copy_that_smtp_itself_cannot_rule_out_carries_the_same_message_id(
    office: Office, inboxes: Inboxes, clock: MovableClock
) -> None:
    inboxes.drop_after_data = 1
    await office.deliveries.add([notice(1)])
    await office.send_all()
    clock.advance(office.deliveries._config.delivery_retry_pause_max_seconds)
    await office.send_all()
    assert len(inboxes.mails) == 2
    assert len({mail["Message-ID"] for mail in inboxes.mails}) == 1


async def test_what_is_not_wanted_any_more_is_not_sent(shop: Shop, inboxes: Inboxes) -> None:
    async def never(_: Delivery) -> bool:
        return False

    config = replace(shop.config, smtp_url=inboxes.url, webhook_secret=SECRET)
    office = Office(shop, config, guards={"back_in_stock": never})
    await office.deliveries.add([notice(1)])
    await office.send_all()
    assert inboxes.mails == []
    assert await office.outcomes() == {"dropped": 1}


async def test_what_was_sent_is_forgotten(shop: Shop, office: Office) -> None:
    await office.deliveries.add([notice(1)])
    await office.send_all()
    document = await shop.stores.database["deliveries"].find_one({"_id": "mail:1"})
    assert "content" not in document
    assert document["outcome"] == "sent"


def fact(n: int, event: Any) -> Fact:
    return Fact(f"entry:{n}", event, MovableClock().now())


async def test_a_webhook_is_signed_over_its_time_and_body(office: Office, receiver: Receiver) -> None:
    raised = fact(1, AlertRaised("a1", "TEA", "low_stock", 2, 5))
    await office.deliveries.add(to_tell([raised], [receiver.url]))
    await office.send_all()
    [(headers, body)] = receiver.requests
    told = json.loads(body)
    assert (told["id"], told["type"]) == ("entry:1", "alert_raised")
    assert told["data"] == {"alertId": "a1", "sku": "TEA", "kind": "low_stock", "available": 2, "threshold": 5}
    at, _, mac = headers["Holdfast-Signature"].partition(",v1=")
    signed = f"{at.removeprefix('t=')}.".encode() + body
    assert hmac.compare_digest(mac, hmac.digest(SECRET.encode(), signed, "sha256").hex())
    assert headers["Holdfast-Event"] == "entry:1"


async def test_a_receiver_that_fails_is_told_again_and_one_that_is_gone_is_not(
    office: Office, receiver: Receiver, clock: MovableClock
) -> None:
    receiver.answers = [500, 503, 302, 200, 410]
    await office.deliveries.add(to_tell([fact(1, OrderPaid("o1", "u1"))], [receiver.url]))
    for _ in range(5):
        await office.send_all()
        clock.advance(office.deliveries._config.delivery_retry_pause_max_seconds)
    assert len(receiver.requests) == 4
    assert len({headers["Holdfast-Event"] for headers, _ in receiver.requests}) == 1
    await office.deliveries.add(to_tell([fact(2, OrderPaid("o2", "u1"))], [receiver.url]))
    await office.send_all()
    assert [letter.kind for letter in await office.letters.newest(None, 10)] == ["webhook"]


def test_each_receiver_gets_each_fact_that_concerns_the_outside() -> None:
    facts = [fact(1, OrderPaid("o1", "u1")), fact(2, ProductChanged("p1", 1)), fact(3, OrderPaid("o2", "u1"))]
    told = to_tell(facts, ["http://one", "http://other"])
    assert len({delivery.id for delivery in told}) == 4


def test_a_requested_mail_becomes_one_delivery() -> None:
    [mail] = mails(
        [fact(1, OrderPaid("o1", "u1")), fact(2, MailRequested("k", "a@b.c", "back_in_stock", {"sku": "T"}))]
    )
    assert (mail.id, mail.channel, mail.to) == ("mail:k", "mail", "a@b.c")


@pytest.mark.parametrize(
    ("url", "port", "tls", "start_tls", "user"),
    [
        ("smtp://mail.example.com", 25, False, None, None),
        ("smtp+starttls://bob:p%40ss@mail.example.com", 587, False, True, "bob"),
        ("smtps://mail.example.com:9465", 9465, True, False, None),
    ],
)
def test_a_mail_server_is_named_by_a_url(
    url: str, port: int, tls: bool, start_tls: bool | None, user: str | None
) -> None:
    found = server(url)
    assert (found.port, found.tls, found.start_tls, found.user) == (port, tls, start_tls, user)


@pytest.mark.parametrize("lacking", ["content", "to", "createdAt", "attempts"])
async def test_a_delivery_of_another_version_that_lacks_something_does_not_stop_the_others(
    shop: Shop, clock: MovableClock, receiver: Receiver, lacking: str
) -> None:
    config = replace(shop.config, webhook_urls=receiver.url, webhook_secret=SECRET, smtp_url=SMTP)
    office = Office(shop, config)
    told = [to_tell([Fact(f"f{n}:0", OrderPaid(f"o{n}", "u1"), clock.now())], [receiver.url])[0] for n in range(2)]
    await office.deliveries.add(told)
    await shop.stores.database["deliveries"].update_one({"_id": told[0].id}, {"$unset": {lacking: ""}})
    await office.send_all()
    assert "f1:0" in [headers["Holdfast-Event"] for headers, _ in receiver.requests]


async def test_a_guard_that_fails_puts_its_mail_off_and_stops_nobody(shop: Shop, clock: MovableClock) -> None:
    async def guard(delivery: Delivery) -> bool:
        raise KeyError("sku")

    office = Office(shop, replace(shop.config, smtp_url=SMTP), {"back_in_stock": guard})
    await office.deliveries.add([Delivery("mail:1", "mail", "ada@example.com", {"template": "back_in_stock"})])
    assert await office.deliveries.step() == shop.config.delivery_poll_seconds
    [kept] = await shop.stores.database["deliveries"].find({}).to_list(None)
    assert (kept["waiting"], kept["error"]) == (True, "KeyError: 'sku'")
