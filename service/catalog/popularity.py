"""What sells comes first, a minute later: units sold are tallied apart and added to their products by a job.

A product's popularity stands in ten of its indexes, and a change of it makes the server work out the keys of all others
too, those of its text included. Done with every payment, that took a third of MongoDB's time.
"""

from collections.abc import Mapping
from dataclasses import replace

from pymongo import UpdateOne

from service.catalog.product_reads import ProductReads
from service.catalog.repository import CatalogRepository
from service.infra.mongo.client import Database

TALLY = "product_sales"
COUNTED_TOGETHER_MAX = 500


class Popularity:
    """An estimate: what is told twice counts twice, and so does what was added when the counting was killed."""

    def __init__(self, database: Database, repository: CatalogRepository, products: ProductReads) -> None:
        self._tally, self._repository, self._products = database[TALLY], repository, products

    async def sold(self, units: Mapping[str, int]) -> None:
        """Units sold per product id."""
        steps = [UpdateOne({"_id": each}, {"$inc": {"units": count}}, upsert=True) for each, count in units.items()]
        if steps:
            await self._tally.bulk_write(steps, ordered=False)

    async def count(self) -> int:
        """Adds what was tallied to the products. What is sold meanwhile waits for the next time. Returns how many
        products sold."""
        counted, last_id = 0, ""
        while units := await self._next(last_id):
            known = await self._products.on_sale(units)
            sold = [replace(each, popularity=each.popularity + units[each.id]) for each in known]
            await self._repository.add_popularity(sold, units)
            await self._subtract(units)
            counted, last_id = counted + len(units), max(units)
        return counted

    async def _next(self, last_id: str) -> dict[str, int]:
        found = self._tally.find({"_id": {"$gt": last_id}}).sort("_id", 1).limit(COUNTED_TOGETHER_MAX)
        return {each["_id"]: each["units"] for each in await found.to_list(None)}

    async def _subtract(self, units: Mapping[str, int]) -> None:
        steps = [UpdateOne({"_id": each}, {"$inc": {"units": -count}}) for each, count in units.items()]
        await self._tally.bulk_write(steps, ordered=False)
        await self._tally.delete_many({"_id": {"$in": list(units)}, "units": {"$lte": 0}})
