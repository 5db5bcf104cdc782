"""What a SKU costs now: one small document a SKU, written with its product in one transaction, read by checkouts and
carts. Waiting readers share one query."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from service.config import Config
from service.infra.batcher import GroupCommit
from service.infra.mongo.client import Database, Session
from service.infra.mongo.commands import Find, Sender

COLLECTION = "offers"
WAITING_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Offer:
    """`unit_price` in minor units. An archived product's offers are kept, inactive. `max_per_order`: None is what the
    shop allows of any SKU; `verified_only` keeps it for accounts with a verified e-mail address."""

    sku: str
    product_id: str
    name: str
    unit_price: int
    currency: str
    active: bool
    slug: str = ""
    image: str = ""
    max_per_order: int | None = None
    verified_only: bool = False


class Offers:
    def __init__(self, database: Database, sender: Sender, config: Config) -> None:
        self._offers, self._sender = database[COLLECTION], sender
        self._read: GroupCommit[tuple[str, ...], dict[str, Offer]] = GroupCommit(
            self._read_together,
            items_max=config.batch_postings_max,
            weight_max=config.batch_lines_max,
            waiting_max=WAITING_MAX,
            weigh=len,
        )

    async def of(self, skus: Iterable[str]) -> dict[str, Offer]:
        """The offers of those SKUs that have one."""
        return await self._read(tuple(skus))

    async def put(self, offers: Sequence[Offer], session: Session = None) -> None:
        writes = [UpdateOne({"_id": offer.sku}, {"$set": _fields(offer)}, upsert=True) for offer in offers]
        await self._offers.bulk_write(writes, ordered=False, session=session)

    async def owners(self, skus: Iterable[str], session: Session = None) -> dict[str, str]:
        """The product id of each of those SKUs that belongs to one."""
        found = self._offers.find({"_id": {"$in": sorted(skus)}}, {"productId": 1}, session=session)
        return {document["_id"]: document["productId"] for document in await found.to_list(None)}

    async def inactive(self, after_sku: str, limit: int) -> list[str]:
        """SKUs that are not sold any more, in their order."""
        found = self._offers.find({"active": False, "_id": {"$gt": after_sku}}, {"_id": 1}).sort("_id", 1)
        return [document["_id"] for document in await found.limit(limit).to_list(limit)]

    async def _read_together(self, batch: Sequence[tuple[str, ...]]) -> list[dict[str, Offer]]:
        skus = {sku for wanted in batch for sku in wanted}
        (found,) = await self._sender.find_all([Find(COLLECTION, {"_id": {"$in": sorted(skus)}})], None)
        offers = {document["_id"]: _to_offer(document) for document in found}
        return [{sku: offers[sku] for sku in wanted if sku in offers} for wanted in batch]


def _fields(offer: Offer) -> dict[str, Any]:
    return {
        "productId": offer.product_id,
        "name": offer.name,
        "price": offer.unit_price,
        "currency": offer.currency,
        "active": offer.active,
        "slug": offer.slug,
        "image": offer.image,
        "maxPerOrder": offer.max_per_order,
        "verifiedOnly": offer.verified_only,
    }


def _to_offer(document: Mapping[str, Any]) -> Offer:
    return Offer(
        document["_id"],
        document["productId"],
        document["name"],
        document["price"],
        document["currency"],
        document["active"],
        document["slug"],
        document["image"],
        document.get("maxPerOrder"),
        document.get("verifiedOnly", False),
    )
