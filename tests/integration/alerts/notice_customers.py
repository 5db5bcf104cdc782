"""Customers who wait for a SKU, and what they find in their mailboxes."""

import re
from email.message import Message

from mail_servers import Inboxes

from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.inventory.models import Line


def address(n: int) -> str:
    return f"c{n:04}@example.com"


async def customers(shop: Shop, *ids: str, verified: bool = True) -> None:
    """Accounts with an address each, `ID@example.com`, unless they are there."""
    now, database = shop.clock.now(), shop.stores.database
    known = {document["_id"] for document in await database["users"].find({}, {"_id": 1}).to_list(None)}
    new = [User(id_, f"{id_}@example.com", id_, "customer", "-", now, now, verified) for id_ in {*ids} - known]
    if new:
        await UserRepository(database).add_many(new)


async def wait_for(shop: Shop, background: Background, count: int, sku: str = "TEA", start: int = 0) -> None:
    """Customers who subscribe one after the other."""
    await customers(shop, *(f"c{n:04}" for n in range(start, start + count)))
    for n in range(start, start + count):
        await background.notices.subscribe(sku, f"c{n:04}", None)


async def follow_up(background: Background) -> None:
    """Relays and delivers until nothing is left."""
    while await background.relay.relay() or await background.deliveries.step() == 0.0:
        pass


def told(inboxes: Inboxes) -> list[str]:
    return [str(mail["To"]) for mail in inboxes.mails]


async def restock(shop: Shop, background: Background, quantity: int) -> None:
    await shop.inventory.receive([Line("TEA", quantity)], "staff")
    await follow_up(background)


def text(mail: Message) -> str:
    plain = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    body = plain.get_payload(decode=True)
    assert isinstance(body, bytes)
    return body.decode()


def link(mail: Message, kind: str) -> str:
    """The signed part of a link in a mail."""
    found = re.search(rf"/notices/{kind}/(\S+)", text(mail))
    assert found
    return found[1]
