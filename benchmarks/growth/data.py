"""A shop with a past, inserted in bulk: the documents that its goods in, checkouts and payments would have left.

Going through the ledger would take an hour. So the movements are worked out here, one SKU after the other, and a test
holds the documents to what the service writes and to the audit."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pymongo import WriteConcern

from service.bootstrap import INDEXES
from service.ids import CROCKFORD
from service.infra.mongo.indexes import create_all
from service.inventory.documents import history_id
from service.inventory.models import HoldStatus
from service.orders.models import Order, OrderLine, OrderStatus, Payment, PaymentStatus, ReservationState, StatusChange
from service.orders.repository import order_document, payment_document

BATCH, BLOCK = 2_000, 50_000
UNITS = 1_000_000_000
PRICE, CURRENCY = 1_299, "GBP"
USERS = 200_000
PAST_STARTS, PAST = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=300)
TTL = timedelta(minutes=15)
QUANTITY_MAX = 3

Document = dict[str, Any]
Documents = Mapping[str, Sequence[Document]]
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """`orders` were placed and paid, long ago."""

    name: str
    skus: int
    orders: int

    @property
    def steps(self) -> int:
        return len(range(0, self.orders, BLOCK)) + len(range(0, self.skus, BLOCK)) + 1


def sku(number: int) -> str:
    return f"SKU-{number:07d}"


def user_id(number: int) -> str:
    return f"user-{number:08d}"


async def fill(database: Any, size: Size, seed: int, step: Step) -> None:
    """Documents first, then every index that the service declares; on disk when it returns."""
    past = _Past(size, random.Random(seed))
    await _insert(database, past.orders(), size.orders, lambda count: step(f"{size.name}: {count:,} orders"))
    await _insert(database, past.stock(), size.skus, lambda count: step(f"{size.name}: {count:,} SKUs"))
    await create_all(database, INDEXES)
    await database.client.admin.command("fsync")
    step(f"{size.name}: indexes")


async def _insert(database: Any, things: Iterable[Documents], count: int, tell: Callable[[int], None]) -> None:
    """While one batch is inserted the next one is made. `tell` is called once a block."""
    inserting: asyncio.Future[Any] = asyncio.gather()
    source, told = iter(things), 0
    for start in range(0, count, BATCH):
        by_collection = _gathered(islice(source, BATCH))
        await inserting
        inserting = asyncio.gather(*(_insert_all(database[name], made) for name, made in by_collection.items()))
        await asyncio.sleep(0)
        if start + BATCH >= min(told + BLOCK, count):
            told = min(told + BLOCK, count)
            tell(told)
    await inserting


async def _insert_all(collection: Any, documents: Sequence[Document]) -> None:
    await collection.with_options(write_concern=WriteConcern(1)).insert_many(documents, ordered=False)


def _gathered(things: Iterable[Documents]) -> dict[str, list[Document]]:
    by_collection: dict[str, list[Document]] = {}
    for thing in things:
        for name, documents in thing.items():
            by_collection.setdefault(name, []).extend(documents)
    return by_collection


class _Past:
    """What has happened to each SKU so far: orders come first, then the SKUs as they were left."""

    def __init__(self, size: Size, chance: random.Random) -> None:
        self._size, self._chance = size, chance
        self._on_hand, self._seq = [UNITS] * size.skus, [1] * size.skus
        self._pause = PAST / max(1, size.orders)

    def orders(self) -> Iterator[Documents]:
        for number in range(self._size.orders):
            at, each = _cut(PAST_STARTS + number * self._pause), self._chance.randrange(self._size.skus)
            yield self._sold(self._order(at, each), each)

    def _order(self, at: datetime, each: int) -> Order:
        buyer, quantity = user_id(self._chance.randrange(USERS)), self._chance.randint(1, QUANTITY_MAX)
        bits = self._chance.getrandbits(128)
        return Order(
            id=f"{int(at.timestamp() * 1_000):012x}{bits & 2**64 - 1:016x}",
            number="HF-" + "".join(CROCKFORD[bits >> shift & 31] for shift in range(64, 114, 5)),
            user_id=buyer,
            status=OrderStatus.PAID,
            lines=(OrderLine(*_offered(each), quantity, PRICE),),
            subtotal=quantity * PRICE,
            discount=0,
            total=quantity * PRICE,
            currency=CURRENCY,
            created_at=at,
            reservation=ReservationState(HoldStatus.CONFIRMED, at + TTL),
            history=(StatusChange(OrderStatus.PENDING, at, buyer), StatusChange(OrderStatus.PAID, at, buyer)),
        )

    def _sold(self, order: Order, each: int) -> Documents:
        """Held and confirmed in one moment, so nothing is reserved between two orders."""
        payment = Payment(f"pay-{order.id}", PaymentStatus.PAID, "ok", order.created_at)
        document = {"_id": order.id, **order_document(order), "payment": payment_document(payment), "version": 2}
        quantity, on_hand, seq = order.lines[0].quantity, self._on_hand[each], self._seq[each]
        left = self._on_hand[each] = on_hand - quantity
        self._seq[each] += 2
        by = {"actor": order.user_id, "orderId": order.id, "at": order.created_at}
        history = [
            _entry(each, seq + 1, "reserve", (0, quantity), (on_hand, quantity)) | by | {"reason": "checkout"},
            _entry(each, seq + 2, "confirm", (-quantity, -quantity), (left, 0)) | by | {"reason": "payment"},
        ]
        return {"orders": [document], "reservations": [_reservation(order)], "stock_history": history}

    def stock(self) -> Iterator[Documents]:
        for each in range(self._size.skus):
            received = _entry(each, 1, "receive", (UNITS, 0), (UNITS, 0))
            yield {
                "inventory": [self._stock(each)],
                "offers": [_offer(each)],
                "stock_history": [received | {"actor": "seed", "reason": "seed", "orderId": None, "at": PAST_STARTS}],
            }

    def _stock(self, each: int) -> Document:
        on_hand = self._on_hand[each]
        return {
            "_id": sku(each),
            "productId": _offered(each)[1],
            "onHand": on_hand,
            "reserved": 0,
            "available": on_hand,
            "low": False,
            "lowStockThreshold": 5,
            "seq": self._seq[each],
            "onSale": True,
            "updatedAt": PAST_STARTS + PAST,
        }


def _cut(at: datetime) -> datetime:
    """To milliseconds, as MongoDB keeps it."""
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


def _offered(each: int) -> tuple[str, str, str]:
    """SKU, product id, name."""
    return sku(each), f"{each:028x}", f"Thing number {each}"


def _offer(each: int) -> Document:
    name, product_id, title = _offered(each)
    shown = {"slug": f"thing-number-{each}", "image": "", "maxPerOrder": None, "verifiedOnly": False}
    return {
        "_id": name,
        "productId": product_id,
        "name": title,
        "price": PRICE,
        "currency": CURRENCY,
        "active": True,
    } | shown


def _reservation(order: Order) -> Document:
    [line] = order.lines
    return {
        "_id": f"{order.id}:0",
        "orderId": order.id,
        "userId": order.user_id,
        "sku": line.sku,
        "quantity": line.quantity,
        "status": HoldStatus.CONFIRMED.value,
        "expiresAt": order.reservation.expires_at,
        "createdAt": order.created_at,
        "resolvedAt": order.created_at,
    }


def _entry(each: int, seq: int, kind: str, delta: tuple[int, int], after: tuple[int, int]) -> Document:
    """`delta` and `after`: on hand, reserved."""
    return {
        "_id": history_id(sku(each), seq),
        "sku": sku(each),
        "seq": seq,
        "kind": kind,
        "onHandDelta": delta[0],
        "reservedDelta": delta[1],
        "onHand": after[0],
        "reserved": after[1],
    }
