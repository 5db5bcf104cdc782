"""Work on whole collections is given the time it needs, however little a request's commands get."""

import asyncio
from dataclasses import replace
from typing import Any

from pymongo import MongoClient

from benchmarks.growth.data import Size, fill
from service import bootstrap
from service.commands import audited
from service.config import Config
from service.infra.mongo import client as stores
from service.orders.indexes import INDEXES as ORDERS_INDEXES

A_REQUESTS_SECONDS = 0.3


def hurried(config: Config) -> Config:
    return replace(config, mongo_timeout_seconds=A_REQUESTS_SECONDS)


async def test_an_audit_of_many_orders_outlasts_the_limit_of_a_request(config: Config):
    with stores.client_without_timeout(config) as client:
        await fill(client[config.database], Size("past", skus=100, orders=12_000), 1, lambda step: None)
    async with bootstrap.shop(hurried(config)) as shop:
        started = shop.clock.monotonic()
        assert (await audited(shop))["ok"]
        assert shop.clock.monotonic() - started > A_REQUESTS_SECONDS


async def test_an_index_is_built_however_long_it_takes(config: Config, mongo: MongoClient[dict[str, Any]]):
    """Writes are locked out for a while, so that the build takes as long as that of a large collection."""
    orders, index = mongo[config.database]["orders"], ORDERS_INDEXES[0]
    orders.drop_index(index.name)
    mongo.admin.command("fsync", lock=True)
    unlocking = asyncio.get_running_loop().call_later(
        3 * A_REQUESTS_SECONDS, lambda: mongo.admin.command("fsyncUnlock")
    )
    try:
        async with bootstrap.shop(hurried(config)):
            assert index.name in orders.index_information()
    finally:
        if not unlocking.cancelled() and unlocking.when() > asyncio.get_running_loop().time():
            unlocking.cancel()
            mongo.admin.command("fsyncUnlock")
