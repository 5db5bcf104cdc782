"""Owns how a shopper's intended actions become requests, and answers become replies. Drivers differ in how they send;
what is sent and what it means is decided once, here."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workloads.client import api
from workloads.client.exchange import Request
from workloads.model import outcomes
from workloads.model.actions import (
    Action,
    Browse,
    Cancel,
    CheckOut,
    Pay,
    PutInCart,
    Reply,
    Reprice,
    Restock,
    Search,
    Subscribe,
    View,
)

BROWSE_PAGE_SIZE = 24
PRICE_MIN_PENCE = 1
# The only answers whose body the next step depends on; parsing every list of products would slow the driver down.
READ_ROUTES = frozenset({"availability", "checkout", "product"})


@dataclass(frozen=True, slots=True)
class Heard:
    """What a driver heard back for one request: the outcome, and the decoded body where it was asked for."""

    outcome: str
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Customer:
    """One visitor's connection to the shop: the token, the addresses of products, and keys for what moves stock."""

    token: str
    slugs: Mapping[str, str]
    key_prefix: str
    keys_used: int = 0

    def key(self) -> str:
        self.keys_used += 1
        return f"{self.key_prefix}:{self.keys_used}"


Requests = Generator[Request, Heard, Reply]


def perform(action: Action, customer: Customer) -> Requests:
    """The requests of one action, one after the other; the generator's value is the reply for the shopper model."""
    match action:
        case Browse(sort):
            heard = yield api.products(limit=BROWSE_PAGE_SIZE, sort=sort)
        case Search(words):
            heard = yield api.search(words)
        case View(sku):
            return (yield from _view(sku, customer))
        case Subscribe(sku):
            heard = yield api.notify_me(customer.token, sku)
        case PutInCart(sku, quantity):
            heard = yield api.put_in_cart(customer.token, sku, quantity)
        case CheckOut(lines, from_cart):
            return (yield from _check_out(lines, from_cart, customer))
        case Pay(order_id, card_is_good):
            heard = yield api.pay(customer.token, order_id, customer.key(), card_is_good=card_is_good)
        case Cancel(order_id):
            heard = yield api.cancel(customer.token, order_id, customer.key())
        case Restock(lines):
            heard = yield api.receive(customer.token, lines, customer.key())
        case Reprice(sku, factor):
            return (yield from _reprice(sku, factor, customer))
        case _:
            raise AssertionError(f"{type(action).__name__} needs no request")
    return Reply(heard.outcome)


def _view(sku: str, customer: Customer) -> Requests:
    if slug := customer.slugs.get(sku):
        yield api.product(slug)
    heard = yield api.availability([sku])
    items = heard.document.get("items") or [{}]
    return Reply(heard.outcome, in_stock=bool(items[0].get("inStock", True)))


def _check_out(lines: tuple[tuple[str, int], ...], from_cart: bool, customer: Customer) -> Requests:
    if from_cart:
        heard = yield api.checkout_cart(customer.token, customer.key())
    else:
        heard = yield api.checkout(customer.token, lines, customer.key())
    if heard.outcome == outcomes.OUT_OF_STOCK:
        short = heard.document.get("shortages", ())
        return Reply(heard.outcome, shortages=tuple((each["sku"], each["available"]) for each in short))
    return Reply(heard.outcome, order_id=heard.document.get("order", {}).get("id", ""))


def _reprice(sku: str, factor: float, customer: Customer) -> Requests:
    slug = customer.slugs.get(sku)
    if slug is None:
        return Reply(outcomes.REFUSED)
    heard = yield api.product(slug)
    if "price" not in heard.document:
        return Reply(heard.outcome)
    price = max(PRICE_MIN_PENCE, round(heard.document["price"] * factor))
    heard = yield api.reprice(customer.token, heard.document["id"], price)
    return Reply(heard.outcome)
