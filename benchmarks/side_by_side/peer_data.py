"""Gives the peer what Holdfast sells: the same products under the same slugs and SKUs, as the peer's own documents."""

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.shopfront import skus_of
from benchmarks.kit.wire import Wire, request

AMPLE_UNITS = 10_000_000
PAGE_SIZE, PAGES_MAX = 100, 20_000
FIELDS = ("slug", "name", "description", "category", "brand", "tags", "price", "currency", "images", "rating", "sku")


async def copy_catalogue(from_url: str, mongodb_uri: str, database: str) -> int:
    """Reads the catalogue over HTTP and writes it for the peer. Returns the number of products."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.drop_database(database)
        copied, cursor = 0, ""
        async with Wire(from_url) as wire:
            for _ in range(PAGES_MAX):
                page = (await wire.send(request("GET", f"/api/products?limit={PAGE_SIZE}{cursor}"))).json()
                _insert(client[database], page["items"])
                copied += len(page["items"])
                if page["nextCursor"] is None:
                    return copied
                cursor = f"&cursor={page['nextCursor']}"
    raise RunInvalid(f"the catalogue of {from_url} does not end after {PAGES_MAX:,} pages")


def _insert(database: Any, items: list[dict[str, Any]]) -> None:
    database.products.insert_many([_product(item) for item in items])
    database.inventories.insert_many([_inventory(sku) for item in items for sku in skus_of(item)])


def _product(item: dict[str, Any]) -> dict[str, Any]:
    variants = [{key: variant[key] for key in ("sku", "name", "price")} for variant in item.get("variants") or []]
    fields = {name: item[name] for name in FIELDS if name in item}
    return {**fields, "variants": variants, "isActive": True, "createdAt": datetime.now(UTC)}


def _inventory(sku: str) -> dict[str, Any]:
    units = {"onHand": AMPLE_UNITS, "available": AMPLE_UNITS, "reserved": 0}
    return {"sku": sku, "lowStockThreshold": 5, **units}
