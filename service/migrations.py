"""The migration of the configured stores: every declared index, and what is done to documents of older versions."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.config import Config
from service.indexes import INDEXES
from service.infra.mongo.client import client_without_timeout
from service.infra.redis import client as redis
from service.infra.stores import Stores
from service.migration.migrate import DataStep, Migration, SchemaState
from service.shop import Shop

Build = Callable[[Config, Stores], Shop]


def steps_of(shop: Shop) -> list[DataStep]:
    return [DataStep(2, "prices, keys of search and what is on sale, of every product", shop.catalog.upgrade)]


async def prepare(state: SchemaState, config: Config, build: Build) -> None:
    """What a process does at its start. Raises SchemaMismatch."""
    async with opened(config, build) as migration:
        await migration.prepare(state, migrate=config.migrate_at_start)


@asynccontextmanager
async def opened(config: Config, build: Build) -> AsyncIterator[Migration]:
    """On connections of its own, on which it is given all the time it needs."""
    with client_without_timeout(config) as client:
        stores = Stores(client, client[config.database], redis.connect(config))
        shop = build(config, stores)
        try:
            yield Migration(stores.database, INDEXES, steps_of(shop), shop.runtime)
        finally:
            await shop.gateway.close()
            await stores.redis.aclose()
