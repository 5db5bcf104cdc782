"""The audit log of a running server: what goes on record, what never does, and that tampering shows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import shops
from secured_app import PASSWORD, Guarded, guarded

from service.config import Config
from service.ids import Ids
from service.web.audit.chain import AuditEntry
from service.web.audit.log import AuditLog


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


async def entries(site: Guarded) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await site.database["audit_log"].find().sort("_id", 1).to_list(None)
    return found


async def test_what_staff_do_is_on_record_with_who_what_where_and_outcome(site: Guarded) -> None:
    staff = await site.token("staff")
    me = (await site.call("GET", "/api/auth/me", token=staff)).json["user"]
    answer = await site.call("POST", "/api/probe/staff", {}, staff, headers={"X-Request-ID": "staff-request-1"})
    assert answer.status == 200
    entry = (await entries(site))[-1]
    named = {name: entry[name] for name in ("actor", "role", "action", "target", "outcome", "status", "address")}
    assert named == {
        "actor": me["id"],
        "role": "staff",
        "action": "POST /api/probe/staff",
        "target": "/api/probe/staff",
        "outcome": "ok",
        "status": 200,
        "address": "127.0.0.1",
    }
    assert entry["request_id"] == "staff-request-1"


async def test_refusals_failures_and_what_happens_to_accounts_are_on_record(site: Guarded) -> None:
    made = await site.register()
    await site.log_in(password="wrong")
    await site.log_in()
    await site.call("GET", "/api/probe/admin", token=made["accessToken"])
    await site.call("POST", "/api/probe/customer", {"text": "no business of the audit"}, token=made["accessToken"])
    await site.call("GET", "/api/probe/public")
    recorded = [(entry["action"], entry["outcome"]) for entry in await entries(site)]
    assert recorded == [
        ("POST /api/auth/register", "ok"),
        ("POST /api/auth/login", "bad_credentials"),
        ("POST /api/auth/login", "ok"),
        ("GET /api/probe/admin", "forbidden"),
    ]
    users = [entry["subject"] for entry in await entries(site)][:3]
    assert users[0] == users[2] == made["user"]["id"]
    assert users[1] not in {"", users[0], "ada@example.com"}


async def test_no_secret_and_no_address_is_ever_on_record(site: Guarded) -> None:
    made = await site.register("ada@example.com")
    await site.log_in("ada@example.com", "my secret in the wrong field")
    await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    text = repr(await entries(site))
    for secret in (PASSWORD, "my secret", "ada@example.com", made["accessToken"], made["refreshToken"]):
        assert secret not in text


async def test_nobody_can_fill_the_log_with_refusals(site: Guarded) -> None:
    token = await site.token("customer")
    before = len(await entries(site))
    await asyncio.gather(*(site.call("GET", "/api/probe/admin", token=token) for _ in range(100)))
    await asyncio.gather(*(site.call("POST", "/api/probe/staff", {}, token=token) for _ in range(100)))
    await asyncio.gather(*(site.call("POST", "/api/probe/staff", {}) for _ in range(100)))
    assert len(await entries(site)) - before == 60, "twenty of each kind"


async def test_many_refusals_hide_neither_another_kind_nor_how_many_they_were(site: Guarded) -> None:
    token = await site.token("customer")
    for _ in range(125):
        await site.call("GET", "/api/probe/admin", token=token)
    await site.call("POST", "/api/probe/admin", {}, token=token)
    await site.call("POST", "/api/probe/staff", {})
    refused = [entry for entry in await entries(site) if entry["outcome"] in {"forbidden", "unauthenticated"}]
    kinds = [(entry["action"], entry["count"]) for entry in refused]
    assert kinds[:20] == [("GET /api/probe/admin", 1)] * 20
    assert kinds[20:] == [("GET /api/probe/admin", 100), ("POST /api/probe/admin", 1), ("POST /api/probe/staff", 1)]
    assert (await site.audit_log.verify())["ok"]


async def test_what_staff_do_in_a_customers_place_is_on_record_and_what_the_customer_does_is_not(
    site: Guarded,
) -> None:
    staff, customer = await site.token("staff"), await site.token("customer")
    before = len(await entries(site))
    for token in (customer, staff):
        await site.call("POST", "/api/probe/customer", {}, token=token)
        await site.call("GET", "/api/probe/customer", token=token)
    assert [entry["action"] for entry in (await entries(site))[before:]] == ["POST /api/probe/customer"]


async def test_logging_out_is_on_record(site: Guarded) -> None:
    made = await site.register()
    await site.call("POST", "/api/auth/logout", token=made["accessToken"])
    last = (await entries(site))[-1]
    assert (last["action"], last["actor"], last["outcome"]) == ("POST /api/auth/logout", made["user"]["id"], "ok")


async def test_the_log_verifies_across_processes_that_write_at_once(
    site: Guarded, config: Config, clock: shops.MovableClock
) -> None:
    logs = [AuditLog(site.database, clock, Ids(clock), config) for _ in range(3)]
    entry = AuditEntry("u1", "staff", "POST /x", "/x", "ok", 200, "127.0.0.1", "r1")
    await asyncio.gather(*(log.record(replace(entry, request_id=f"r{n}")) for log in logs for n in range(100)))
    report = await site.audit_log.verify()
    assert (report["ok"], report["entries"], len(report["heads"])) == (True, 300, 3)


async def test_tampering_behind_the_services_back_shows(site: Guarded) -> None:
    for n in range(4):
        await site.log_in(f"u{n}@example.com", "wrong")
    collection = site.database["audit_log"]
    assert (await site.audit_log.verify())["ok"]
    ids = [entry["_id"] for entry in await entries(site)]
    await collection.update_one({"_id": ids[1]}, {"$set": {"outcome": "ok"}})
    changed = await site.audit_log.verify()
    assert changed["checks"][0]["examples"] == [f"{ids[1]} was changed"]
    await collection.delete_one({"_id": ids[1]})
    assert not (await site.audit_log.verify())["ok"]
    await collection.delete_many({"_id": {"$gt": ids[0]}})
    cut = await site.audit_log.verify()
    assert "its head says 4" in cut["checks"][0]["examples"][0]


async def test_entries_that_the_store_deleted_in_their_time_are_not_missed(
    site: Guarded, clock: shops.MovableClock, config: Config
) -> None:
    await site.log_in("a@example.com", "wrong")
    clock.advance(config.audit_ttl_seconds - 10)
    await site.log_in("b@example.com", "wrong")
    clock.advance(60)
    await site.database["audit_log"].delete_many({"expiresAt": {"$lte": clock.now()}})
    assert len(await entries(site)) == 1
    assert (await site.audit_log.verify())["ok"]


async def test_admins_read_the_log_page_by_page_and_by_actor(site: Guarded) -> None:
    admin, staff = await site.token("admin"), await site.token("staff")
    me = (await site.call("GET", "/api/auth/me", token=staff)).json["user"]["id"]
    for _ in range(5):
        await site.call("POST", "/api/probe/staff", {}, token=staff)
    assert (await site.call("GET", "/api/audit/", token=staff)).status == 403
    first = (await site.call("GET", f"/api/audit/?actor={me}&limit=4", token=admin)).json
    rest = (await site.call("GET", f"/api/audit/?actor={me}&limit=4&cursor={first['nextCursor']}", token=admin)).json
    shown = first["items"] + rest["items"]
    assert [entry["outcome"] for entry in shown] == ["forbidden"] + ["ok"] * 5
    assert {entry["actor"] for entry in shown} == {me}
    assert rest["nextCursor"] is None
    reading = (await site.call("GET", "/api/audit/?outcome=forbidden", token=admin)).json["items"]
    assert [entry["target"] for entry in reading] == ["/api/audit/"]
