"""What each layer does while a store is down: one test for each row of the table in docs/operating/security.md."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio
import shops
from proxy import Proxy, proxied
from secured_app import PASSWORD, Guarded, guarded

from service.config import Config


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxied(redis_url) as opened:
        yield opened


@pytest.fixture
async def mongo_proxy(config: Config) -> AsyncIterator[Proxy]:
    async with proxied(config.mongodb_uri) as opened:
        yield opened


@pytest.fixture
async def site(
    config: Config, clock: shops.MovableClock, redis_proxy: Proxy, mongo_proxy: Proxy
) -> AsyncIterator[Guarded]:
    limits: dict[str, Any] = {"redis_timeout_seconds": 0.3, "mongo_timeout_seconds": 0.5, "redis_pause_seconds": 0.2}
    behind = replace(config, redis_url=redis_proxy.url, mongodb_uri=mongo_proxy.url, **limits)
    async with guarded(behind, clock) as opened:
        yield opened


async def test_redis_down_public_reads_are_served(site: Guarded, redis_proxy: Proxy) -> None:
    await redis_proxy.down()
    answer = await site.call("GET", "/api/probe/public")
    assert answer.status == 200
    assert "RateLimit" not in answer.headers


async def test_redis_down_public_reads_know_nobody_and_refuse_nobody(site: Guarded, redis_proxy: Proxy) -> None:
    token = await site.token("customer")
    await redis_proxy.down()
    answer = await site.call("GET", "/api/probe/public", token=token)
    assert (answer.status, answer.json["caller"]) == (200, None)


async def test_redis_down_public_reads_still_have_a_limit(
    config: Config, clock: shops.MovableClock, redis_proxy: Proxy
) -> None:
    few = replace(config, redis_url=redis_proxy.url, rate_limit_scale=0.01, redis_timeout_seconds=0.3)
    async with guarded(few, clock) as site:
        await redis_proxy.down()
        statuses = [(await site.call("GET", "/api/probe/public")).status for _ in range(14)]
    assert statuses == [200] * 12 + [429] * 2


async def test_redis_down_a_guest_is_served_and_a_logged_in_caller_is_not_taken_for_one(
    site: Guarded, redis_proxy: Proxy
) -> None:
    token = await site.token("customer")
    await redis_proxy.down()
    assert (await site.call("POST", "/api/probe/guest", {})).status == 200
    assert (await site.call("POST", "/api/probe/guest", {}, token=token)).status == 503


async def test_redis_down_authenticated_routes_are_closed(site: Guarded, redis_proxy: Proxy) -> None:
    token = await site.token("admin")
    await redis_proxy.down()
    for path in ("customer", "staff", "admin"):
        answer = await site.call("GET", f"/api/probe/{path}", token=token)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await site.call("GET", f"/api/probe/{path}")).status == 401
        assert (await site.call("GET", f"/api/probe/{path}", token="forged")).status == 401


async def test_redis_down_nobody_logs_in_registers_resets_refreshes_or_checks_out(
    site: Guarded, redis_proxy: Proxy
) -> None:
    made = await site.register()
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    reset = await site.mailed_token("password_reset", "ada@example.com")
    before = await site.database["users"].find_one()
    await redis_proxy.down()
    token = made["accessToken"]
    asked: list[tuple[str, dict[str, Any], str]] = [
        ("/api/auth/login", {"email": "ada@example.com", "password": PASSWORD}, ""),
        ("/api/auth/register", {"email": "bob@example.com", "password": PASSWORD, "name": "Bob"}, ""),
        ("/api/auth/password/forgot", {"email": "ada@example.com"}, ""),
        ("/api/auth/password/reset", {"token": reset, "password": "another good password"}, ""),
        ("/api/auth/refresh", {"refreshToken": made["refreshToken"]}, ""),
        ("/api/auth/logout", {}, token),
        ("/api/probe/checkout", {}, token),
    ]
    for path, body, credential in asked:
        answer = await site.call("POST", path, body, token=credential)
        assert (answer.status, answer.code) == (503, "unavailable"), path
    assert await site.database["users"].find().to_list(None) == [before]


async def test_redis_silent_one_request_waits_a_moment_and_the_others_do_not(site: Guarded, redis_proxy: Proxy) -> None:
    token = await site.token("customer")
    redis_proxy.freeze()
    started = time.monotonic()
    answers = await asyncio.gather(*(site.call("GET", "/api/probe/customer", token=token) for _ in range(30)))
    assert {answer.status for answer in answers} == {503}
    assert time.monotonic() - started < 1.5
    assert (await site.call("GET", "/api/probe/public")).status == 200


async def test_redis_back_all_is_well_again_within_its_pause(site: Guarded, redis_proxy: Proxy) -> None:
    token = await site.token("customer")
    await redis_proxy.down()
    assert (await site.call("GET", "/api/probe/customer", token=token)).status == 503
    await redis_proxy.up()
    await asyncio.sleep(0.25)
    assert (await site.call("GET", "/api/probe/customer", token=token)).status == 200


async def test_redis_emptied_every_session_is_gone_and_a_login_makes_a_new_one(site: Guarded, redis_url: str) -> None:
    made = await site.register()
    async with redis.asyncio.Redis.from_url(redis_url) as store:
        await store.flushdb()
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 401
    assert (await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})).status == 401
    assert (await site.log_in()).status == 200


async def test_redis_full_is_as_good_as_down(site: Guarded, redis_url: str) -> None:
    token = await site.token("customer")
    async with redis.asyncio.Redis.from_url(redis_url) as store:
        before = (await store.config_get("maxmemory"))["maxmemory"]
        await store.config_set("maxmemory", "1")
        try:
            assert (await site.call("GET", "/api/probe/public")).status == 200
            assert (await site.call("GET", "/api/probe/customer", token=token)).status == 503
            assert (await site.log_in()).status == 503
        finally:
            await store.config_set("maxmemory", before)


async def test_mongodb_down_accounts_are_closed_and_sessions_still_hold(site: Guarded, mongo_proxy: Proxy) -> None:
    token = await site.token("customer", "ada@example.com")
    await mongo_proxy.down()
    assert (await site.call("GET", "/api/probe/customer", token=token)).status == 200
    for answer in (await site.log_in(), await site.call("GET", "/api/auth/me", token=token)):
        assert (answer.status, answer.code) == (503, "unavailable")


async def test_mongodb_down_what_could_not_be_put_on_record_is_in_the_log(
    site: Guarded, mongo_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    await site.register()
    await mongo_proxy.down()
    with caplog.at_level(logging.ERROR):
        assert (await site.log_in()).status == 503
    entry = next(record.getMessage() for record in caplog.records if "audit entry not stored" in record.message)
    assert '"action":"POST /api/auth/login"' in entry
    assert PASSWORD not in caplog.text
    assert "ada@example.com" not in caplog.text
