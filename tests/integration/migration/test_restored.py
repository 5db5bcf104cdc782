"""The drill: copy, sell on, put the older copy back, `holdfast restored`; nothing of the lost time acts any more."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import shops
from click.testing import CliRunner
from mail_servers import webhook_receiver
from pymongo import MongoClient
from shops import MovableClock
from whole_site import PASSWORD, WholeSite, whole_site

from service import bootstrap
from service.bootstrap import Shop
from service.config import Config
from service.messaging.webhooks import signature
from service.migration.schema import Epochs
from service.payments.models import Charge
from service.restored import after_restoration, restored

Copy = dict[str, list[dict[str, Any]]]


def shops_charge() -> Charge:
    return Charge("lost-payment", 1_250, "GBP", "ok", "lost-order")


def copied(mongo: MongoClient[Any], database: str) -> Copy:
    return {name: list(mongo[database][name].find()) for name in mongo[database].list_collection_names()}


def put_back(mongo: MongoClient[Any], database: str, copy: Copy) -> None:
    for name in mongo[database].list_collection_names():
        mongo[database][name].delete_many({})
        if copy.get(name):
            mongo[database][name].insert_many(copy[name])


async def told_of(site: WholeSite, sku: str, after: str | None = None) -> AsyncIterator[tuple[str, int]]:
    """The id of each event, and how much of the SKU can be bought."""
    headers = {"Last-Event-ID": after} if after else {}
    async with site.client.get(f"/api/inventory/stream?sku={sku}", headers=headers) as response:
        event_id = ""
        while line := (await response.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            event_id = value if name == "id" else event_id
            if name == "data":
                data = json.loads(value)
                yield event_id, (data["items"][0] if "items" in data else data)["available"]


async def relay(shop: Shop) -> None:
    background = bootstrap.background(shop)
    while await background.relay.relay():
        pass
    await background.relay.stop()
    await background.close()


async def buys(site: WholeSite, who: str) -> tuple[int, Any]:
    return await site.call("POST", "/api/orders/", {"items": [{"sku": "TEA", "quantity": 1}]}, caller=who)


async def test_after_an_older_copy_was_put_back_nothing_of_the_lost_time_acts_any_more(
    config: Config, clock: MovableClock, mongo: MongoClient[Any]
) -> None:
    """Three seconds, for two starts of the whole application."""
    async with whole_site(config, clock) as site:
        await shops.stock(site.shop, TEA=50)
        assert (await buys(site, "customer"))[0] == 201
        await relay(site.shop)
        seen_id, _ = await anext(told_of(site, "TEA"))
        copy = copied(mongo, config.database)
        await site.log_in("eve")  # who the copy does not know
        for _ in range(5):
            assert (await buys(site, "eve"))[0] == 201
        await relay(site.shop)
        assert (await anext(told_of(site, "TEA")))[1] == 44
        tokens = dict(site.tokens)
    put_back(mongo, config.database, copy)
    async with shops.open_shop(config, clock) as shop:
        assert (await after_restoration(shop)).sessions_ended == 4
        assert (await shop.search.find("x", None, 1)).items == ()
    async with bootstrap.shop(config) as started:
        epoch = started.schema.epoch
    assert epoch > 0
    async with whole_site(config, clock, callers=(), epoch=epoch) as site:
        site.tokens = tokens
        assert (await buys(site, "eve"))[0] == 401, "an account that is not there any more"
        assert (await buys(site, "customer"))[0] == 401, "and one that is: with a session of the lost time"
        async with asyncio.timeout(5):
            stream = told_of(site, "TEA", after=seen_id)
            assert (await anext(stream))[1] == 49, "what it resumes with is what is"
            await shops.buy(site.shop, TEA=2)
            await relay(site.shop)
            assert (await anext(stream))[1] == 47, "not silent until the version has caught up"
        status, made = await site.call(
            "POST", "/api/auth/login", {"email": "customer@example.com", "password": PASSWORD}
        )
        site.tokens["customer"] = made["accessToken"]
        assert ((await buys(site, "customer"))[0], status) == (201, 200)
        assert await shops.violations(site.shop) == {}


async def test_charges_that_the_provider_remembers_and_no_order_knows_are_listed(
    shop: Shop, mongo: MongoClient[Any]
) -> None:
    """The simulator keeps its charges beside the orders; a real provider's are where no backup reaches."""
    await shops.stock(shop, TEA=20)
    known = await shops.pay(shop, await shops.buy(shop, TEA=1))
    copy = copied(mongo, shop.config.database)
    lost = await shops.pay(shop, await shops.buy(shop, TEA=2))
    returned = await shops.pay(shop, await shops.buy(shop, TEA=3))
    assert lost.payment is not None
    assert returned.payment is not None
    await shop.gateway.refund(returned.payment.id, "r1", returned.total)
    copy["gateway_charges"] = list(mongo[shop.config.database]["gateway_charges"].find())
    put_back(mongo, shop.config.database, copy)
    found = await after_restoration(shop)
    assert [(each.payment_id, each.order_id, each.amount) for each in found.charges] == [
        (lost.payment.id, lost.id, lost.total)
    ], f"neither {known.id}, which is known, nor what was given back"
    assert (await after_restoration(shop, since=datetime(2100, 1, 1, tzinfo=UTC))).charges == []


async def test_every_restoration_begins_an_epoch_of_its_own_also_on_a_copy_older_than_the_last(
    shop: Shop, clock: MovableClock, mongo: MongoClient[Any]
) -> None:
    copy = copied(mongo, shop.config.database)
    first = await after_restoration(shop)
    clock.advance(10)
    put_back(mongo, shop.config.database, copy)
    second = await after_restoration(shop)
    third = await after_restoration(shop)
    assert first.epoch < second.epoch < third.epoch == await Epochs(shop.stores.database).current()


async def test_receivers_of_webhooks_are_told(shop: Shop, config: Config, clock: MovableClock) -> None:
    async with webhook_receiver() as receiver:
        telling = replace(config, webhook_urls=receiver.url, webhook_secret="s" * 40)
        async with shops.open_shop(telling, clock) as opened:
            found = await after_restoration(opened)
            background = bootstrap.background(opened)
            while await background.relay.relay():
                pass
            while await background.deliveries.step() == 0.0:
                pass
            await background.close()
        [(headers, body)] = receiver.requests
        told = json.loads(body)
        assert (told["type"], told["data"]) == ("stores_restored", {"epoch": found.epoch})
        at = int(headers["Holdfast-Signature"].partition(",")[0].removeprefix("t="))
        assert headers["Holdfast-Signature"] == signature("s" * 40, at, body)


async def test_the_audit_takes_only_an_accounts_id_for_one(shop: Shop) -> None:
    await shops.stock(shop, TEA=5)
    auth = bootstrap.http_edge(shop).auth.accounts
    admin = await auth.create_admin("ada@example.com", PASSWORD)
    for user in (admin.id, "somebody of another system"):
        await shops.buy(shop, user=user, TEA=1)
    assert await shops.violations(shop) == {}
    await auth.create_admin("eve@example.com", PASSWORD)
    await auth.erase(admin.id)
    assert await shops.violations(shop) == {}, "an erased account is there, without the person"


@pytest.mark.parametrize("as_json", [False, True])
async def test_the_command_says_what_it_did(
    shop: Shop, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    config = shop.config
    for name, value in {"MONGODB_URI": config.mongodb_uri, "REDIS_URL": config.redis_url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDFAST_DATABASE", config.database)
    await shop.gateway.charge(shops_charge())
    arguments = ["--data", "/nowhere", *(["--json"] if as_json else [])]
    said = await asyncio.to_thread(CliRunner().invoke, restored, arguments, standalone_mode=False)
    assert (said.exception, said.return_value) == (None, 1), said.output
    if as_json:
        [charge] = json.loads(said.stdout)["charges"]
        assert (charge["paymentId"], charge["amount"]) == ("lost-payment", 1_250)
    else:
        assert "charges since " in said.output
        assert "lost-payment  £12.50" in said.output
