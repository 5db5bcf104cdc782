"""Alerts on real MongoDB: they follow the stock, once per SKU and kind, whatever relays the facts and how often."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from shops import MovableClock, buy, stock, stock_all

from service import bootstrap
from service.alerts.models import AlertKind
from service.alerts.usecases import Alerts
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.config import Config
from service.events import AlertRaised, AlertResolved, StockChanged
from service.inventory.models import Line
from service.jobs.runner import Progress
from service.messaging.outbox import Fact

LOW, OUT = AlertKind.LOW_STOCK, AlertKind.OUT_OF_STOCK


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, alert_mail_to="buyer@example.com, boss@example.com")


@pytest.fixture
async def background(shop: Shop) -> AsyncIterator[Background]:
    wired = bootstrap.background(shop)
    yield wired
    await wired.close()


async def relay(background: Background) -> None:
    while await background.relay.relay():
        pass


async def open_alerts(background: Background) -> set[tuple[str, str]]:
    page = await background.alerts.newest("unresolved", (LOW, OUT), None, 100)
    return {(alert.sku, alert.kind.value) for alert in page.items}


async def run_job(background: Background, name: str) -> dict[str, object]:
    return dict((await background.jobs.run_now(name))["result"])


async def mails(shop: Shop) -> list[dict[str, object]]:
    found = await shop.stores.database["deliveries"].find({"channel": "mail"}).sort("_id", 1).to_list(None)
    return [dict(delivery) for delivery in found]


async def test_a_sale_that_crosses_the_threshold_raises_an_alert_when_it_commits(
    shop: Shop, background: Background
) -> None:
    await stock(shop, TEA=8)
    await buy(shop, TEA=2)
    await relay(background)
    assert await open_alerts(background) == set()
    await buy(shop, TEA=1)
    await relay(background)
    assert await open_alerts(background) == {("TEA", "low_stock")}


async def test_the_last_unit_held_raises_out_of_stock_and_its_release_resolves_it(
    shop: Shop, background: Background, clock: MovableClock
) -> None:
    await stock(shop, TEA=6)
    await buy(shop, TEA=6)
    await relay(background)
    assert await open_alerts(background) == {("TEA", "low_stock"), ("TEA", "out_of_stock")}
    clock.advance(shop.config.reservation_ttl_seconds + 1)
    await shop.expiry.sweep()
    await relay(background)
    assert await open_alerts(background) == set()
    resolved = await background.alerts.newest("resolved", (LOW, OUT), None, 10)
    assert {alert.status for alert in resolved.items} == {"resolved"}


async def test_a_raised_threshold_raises_and_a_lowered_one_resolves(shop: Shop, background: Background) -> None:
    await stock(shop, TEA=8)
    await shop.inventory.set_threshold("TEA", 8, "staff")
    await relay(background)
    assert await open_alerts(background) == {("TEA", "low_stock")}
    await shop.inventory.set_threshold("TEA", 2, "staff")
    await relay(background)
    assert await open_alerts(background) == set()


async def test_ten_looks_at_once_raise_one_alert_of_each_kind(shop: Shop, background: Background) -> None:
    await stock_all(shop, {f"S{n}": n % 3 for n in range(30)})
    skus = [f"S{n}" for n in range(30)]
    await asyncio.gather(*(background.alerts.reconcile(skus) for _ in range(10)))
    found = await shop.stores.database["alerts"].find().to_list(None)
    assert len(found) == len({(alert["sku"], alert["kind"]) for alert in found}) == 40


async def test_each_alert_is_one_fact_when_raised_and_one_when_resolved(shop: Shop, background: Background) -> None:
    told: list[object] = []

    async def remember(facts: list[Fact]) -> None:
        told.extend(fact.event for fact in facts if isinstance(fact.event, AlertRaised | AlertResolved))

    background.relay._consumers = {**background.relay._consumers, "ear": remember}  # type: ignore[dict-item]
    await stock(shop, TEA=0)
    await background.alerts.reconcile(["TEA"])
    await shop.inventory.receive([Line("TEA", 50)], "staff")
    await relay(background)
    kinds = [(type(event).__name__, event.kind) for event in told if isinstance(event, AlertRaised | AlertResolved)]
    assert sorted(kinds) == [
        ("AlertRaised", "low_stock"),
        ("AlertRaised", "out_of_stock"),
        ("AlertResolved", "low_stock"),
        ("AlertResolved", "out_of_stock"),
    ]


async def test_facts_in_the_wrong_order_and_twice_leave_the_alerts_right(
    shop: Shop, background: Background, clock: MovableClock
) -> None:
    await stock(shop, TEA=50)
    late = Fact("e:0", StockChanged("TEA", 0, 50, 0, 5), clock.now())
    await background.alerts.follow([late, late])
    assert await open_alerts(background) == set()


async def test_stock_that_moves_while_an_alert_is_written_is_looked_at_again(
    shop: Shop, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(shop, TEA=0)
    align, calls = Alerts._align, []

    async def slow_align(self: Alerts, skus: frozenset[str], session: object) -> object:
        planned = await align(self, skus, session)
        if not calls:
            calls.append(planned)
            await shop.inventory.receive([Line("TEA", 50)], "staff")
        return planned

    monkeypatch.setattr(Alerts, "_align", slow_align)
    await background.alerts.reconcile(["TEA"])
    assert await open_alerts(background) == set()


async def test_the_daily_check_finds_what_no_fact_told(shop: Shop, background: Background) -> None:
    await stock_all(shop, {f"S{n:03}": n % 10 for n in range(100)})
    await shop.stores.database["outbox"].delete_many({})
    result = await run_job(background, "low-stock-check")
    assert (result["checked"], result["raised"]) == (60, 70)
    await shop.stores.database["inventory"].update_many({}, {"$set": {"low": False, "lowStockThreshold": 0}})
    await shop.inventory.receive([Line(f"S{n:03}", 50) for n in range(100)], "staff")
    await shop.stores.database["outbox"].delete_many({})
    await run_job(background, "low-stock-check")
    await run_job(background, "out-of-stock-check")
    assert await open_alerts(background) == set()


async def test_a_digest_names_each_alert_once_to_each_recipient(shop: Shop, background: Background) -> None:
    await stock(shop, TEA=2, CUP=3)
    assert (await run_job(background, "low-stock-check"))["mailed"] == 2
    assert (await run_job(background, "low-stock-check"))["mailed"] == 0
    await stock(shop, POT=1)
    assert (await run_job(background, "low-stock-check"))["mailed"] == 1
    await relay(background)
    sent = await mails(shop)
    assert sorted(str(mail["to"]) for mail in sent) == ["boss@example.com"] * 2 + ["buyer@example.com"] * 2
    named = [sorted(alert["sku"] for alert in mail["content"]["values"]["alerts"]) for mail in sent]  # type: ignore[index]
    assert sorted(named) == [["CUP", "TEA"], ["CUP", "TEA"], ["POT"], ["POT"]]


async def test_two_workers_checking_at_once_name_each_alert_once(shop: Shop, background: Background) -> None:
    await stock_all(shop, {f"S{n}": 1 for n in range(20)})
    await background.alerts.reconcile([f"S{n}" for n in range(20)])
    named = await asyncio.gather(*(background.alerts.send_digest(LOW) for _ in range(8)))
    assert sum(named) == 20


async def test_without_configured_recipients_the_staff_is_told(shop: Shop, config: Config, clock: MovableClock) -> None:
    users = UserRepository(shop.stores.database)
    now = clock.now()
    for n, role in enumerate(["customer", "staff", "admin"]):
        await users.add(User(f"u{n}", f"{role}@example.com", role, role, "hash", now, now))
    to_staff = bootstrap.background(replace(shop, config=replace(config, alert_mail_to="")))
    await stock(shop, TEA=2)
    await run_job(to_staff, "low-stock-check")
    await relay(to_staff)
    assert {str(mail["to"]) for mail in await mails(shop)} == {"staff@example.com", "admin@example.com"}


async def test_a_check_can_be_stopped_between_two_pages(shop: Shop, background: Background) -> None:
    await stock_all(shop, {f"S{n:03}": 1 for n in range(20)})
    few = bootstrap.background(replace(shop, config=replace(shop.config, alert_skus_max=5)))
    said: list[int] = []

    class Watched(Progress):
        def checkpoint(self, **values: object) -> None:
            said.append(int(str(values.get("checked", 0))))
            super().checkpoint(**values)

    [check] = [job for job in few.jobs.by_name.values() if job.name == "low-stock-check"]
    await check.body(Watched())
    assert said[:4] == [5, 10, 15, 20]


async def test_the_first_to_acknowledge_is_remembered(shop: Shop, background: Background) -> None:
    await stock(shop, TEA=2)
    await background.alerts.reconcile(["TEA"])
    [alert] = (await background.alerts.newest("open", (LOW,), None, 10)).items
    assert (await background.alerts.acknowledge(alert.id, "ann")).status == "acknowledged"
    assert (await background.alerts.acknowledge(alert.id, "bob")).acknowledged_by == "ann"
    assert (await background.alerts.newest("open", (LOW,), None, 10)).items == ()
    assert len((await background.alerts.newest("unresolved", (LOW,), None, 10)).items) == 1
