"""Alerts, notify-me, jobs and dead letters over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from app_client import served
from shops import stock, stock_all

from service import bootstrap
from service.alerts.routes import routes
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Background, Shop
from service.jobs.routes import routes as jobs_routes


@pytest.fixture
async def background(shop: Shop) -> AsyncIterator[Background]:
    wired = bootstrap.background(shop)
    yield wired
    await wired.close()


@pytest.fixture
async def client(background: Background) -> AsyncIterator[aiohttp.ClientSession]:
    blueprints = [routes(background.alerts, background.notices), jobs_routes(background.jobs, background.dead_letters)]
    async with served(blueprints) as opened:
        yield opened


async def ask(client: aiohttp.ClientSession, method: str, path: str, **given: Any) -> tuple[int, Any]:
    async with client.request(method, f"/api/inventory{path}", **given) as response:
        return response.status, await response.json() if response.content_length else None


async def test_alerts_are_listed_newest_first_page_by_page_and_filtered(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock_all(shop, {f"S{n}": 0 for n in range(5)})
    await background.alerts.reconcile([f"S{n}" for n in range(5)])
    seen: list[str] = []
    query = "/alerts?limit=4"
    while query:
        status, page = await ask(client, "GET", query)
        assert status == 200
        seen += [alert["id"] for alert in page["items"]]
        query = f"/alerts?limit=4&cursor={page['nextCursor']}" if page["nextCursor"] else ""
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 10
    _, low = await ask(client, "GET", "/alerts?kind=low_stock&limit=100")
    assert {alert["kind"] for alert in low["items"]} == {"low_stock"}
    assert len(low["items"]) == 5


async def test_an_alert_shows_what_it_was_raised_with_and_is_acknowledged(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=3)
    await background.alerts.reconcile(["TEA"])
    _, page = await ask(client, "GET", "/alerts")
    [alert] = page["items"]
    assert alert | {"id": "", "raisedAt": ""} == {
        "id": "",
        "sku": "TEA",
        "kind": "low_stock",
        "status": "open",
        "available": 3,
        "threshold": 5,
        "raisedAt": "",
        "acknowledgedAt": None,
        "acknowledgedBy": None,
        "resolvedAt": None,
    }
    status, acknowledged = await ask(client, "POST", f"/alerts/{alert['id']}/acknowledge")
    assert (status, acknowledged["status"], acknowledged["acknowledgedBy"]) == (200, "acknowledged", "staff-1")
    assert (await ask(client, "GET", "/alerts?status=open"))[1]["items"] == []


async def test_an_unknown_alert_cannot_be_acknowledged(client: aiohttp.ClientSession) -> None:
    status, body = await ask(client, "POST", "/alerts/nope/acknowledge")
    assert (status, body["code"]) == (404, "unknown_alert")


async def test_a_customer_subscribes_once_and_cancels(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=0)
    await account(shop, "ada")
    given: dict[str, Any] = {"json": {"email": "ada@example.com"}, "headers": {"X-Customer": "ada"}}
    status, body = await ask(client, "POST", "/TEA/notify-me", **given)
    assert (status, body["sku"], body["email"]) == (201, "TEA", "ada@example.com")
    assert (await ask(client, "POST", "/TEA/notify-me", **given))[0] == 200
    assert (await ask(client, "DELETE", "/TEA/notify-me", headers=given["headers"]))[0] == 204
    assert (await ask(client, "DELETE", "/TEA/notify-me", headers=given["headers"]))[0] == 204
    assert (await ask(client, "POST", "/TEA/notify-me", **given))[0] == 201
    assert (await ask(client, "POST", "/TEA/notify-me", json={}, headers=given["headers"]))[1]["confirmed"] is True
    await stock(shop, CUP=1)
    status, body = await ask(client, "POST", "/CUP/notify-me", **given)
    assert (status, body["code"]) == (409, "in_stock")


async def account(shop: Shop, name: str) -> None:
    now = shop.clock.now()
    user = User(name, f"{name}@example.com", name, "customer", "-", now, now, email_verified=True)
    await UserRepository(shop.stores.database).add(user)


@pytest.mark.parametrize("email", ["", "ada", "ada@", "a b@example.com", "ada@example", "a@b@c", "x" * 300 + "@e.org"])
async def test_notify_me_refuses_what_is_no_address(shop: Shop, client: aiohttp.ClientSession, email: str) -> None:
    await stock(shop, TEA=0)
    await account(shop, "staff-1")
    status, body = await ask(client, "POST", "/TEA/notify-me", json={"email": email})
    assert (status, body["code"]) == (422, "invalid")


async def test_a_job_is_triggered_by_hand_joined_and_followed(client: aiohttp.ClientSession) -> None:
    for name in ("expired-cleanup", "low-stock-check", "out-of-stock-check"):
        status, accepted = await ask(client, "POST", f"/jobs/{name}")
        assert status == 202
        assert await ask(client, "POST", f"/jobs/{name}") == (202, accepted)
        status, job = await ask(client, "GET", f"/jobs/{accepted['jobId']}")
        assert (status, job["name"], job["status"]) == (200, name, "queued")
    _, page = await ask(client, "GET", "/jobs?limit=2")
    _, rest = await ask(client, "GET", f"/jobs?limit=2&cursor={page['nextCursor']}")
    assert [job["name"] for job in page["items"] + rest["items"]] == [
        "out-of-stock-check",
        "low-stock-check",
        "expired-cleanup",
    ]


async def test_the_result_of_a_finished_job_is_shown(
    shop: Shop, background: Background, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=2)
    _, accepted = await ask(client, "POST", "/jobs/low-stock-check")
    await background.runner.execute(accepted["jobId"])
    _, job = await ask(client, "GET", f"/jobs/{accepted['jobId']}")
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert job["result"] == {"checked": 1, "raised": 1, "resolved": 0, "mailed": 0}


async def test_unknown_jobs_and_runs_are_not_found(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "POST", "/jobs/nope"))[0] == 404
    assert (await ask(client, "GET", "/jobs/nope"))[0] == 404


async def test_dead_letters_are_listed_newest_first_and_replayed(
    background: Background, client: aiohttp.ClientSession
) -> None:
    for n in range(3):
        await background.dead_letters.add("fact", f"entry-{n}", "order_paid", "RuntimeError: no")
    _, page = await ask(client, "GET", "/dead-letters?limit=2")
    _, rest = await ask(client, "GET", f"/dead-letters?limit=2&cursor={page['nextCursor']}")
    assert [letter["reference"] for letter in page["items"] + rest["items"]] == ["entry-2", "entry-1", "entry-0"]
    letter = page["items"][0]
    assert (letter["kind"], letter["about"], letter["replayedBy"]) == ("fact", "order_paid", None)
    status, replayed = await ask(client, "POST", f"/dead-letters/{letter['id']}/replay")
    assert (status, replayed["replayedBy"]) == (200, "staff-1")
    assert (await ask(client, "POST", "/dead-letters/nope/replay"))[0] == 404
