"""Nobody locks somebody else out, and guessing stays slow (OWASP device cookies, ASVS 6.1.1)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import shops
from secured_app import PASSWORD, Answer, Guarded, guarded

from service.config import Config

ADA = "ada@example.com"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    """Behind a proxy, so that a test chooses the address of a client."""
    behind = replace(config, trusted_proxies="127.0.0.1", login_failures_free_account=8, login_failures_kept_max=30)
    async with guarded(behind, clock) as opened:
        yield opened


async def log_in(site: Guarded, password: str, address: str, cookie: str = "", email: str = ADA) -> Answer:
    headers = {"X-Forwarded-For": address} | ({"Cookie": f"device={cookie}"} if cookie else {})
    return await site.call("POST", "/api/auth/login", {"email": email, "password": password}, headers=headers)


async def registered(site: Guarded, address: str) -> Answer:
    body = {"email": ADA, "password": PASSWORD, "name": "Ada"}
    return await site.call("POST", "/api/auth/register", body, headers={"X-Forwarded-For": address})


async def attack(site: Guarded, rounds: int = 12) -> None:
    """Wrong passwords from ever new addresses, until the account makes strangers wait."""
    for n in range(rounds):
        await log_in(site, "wrong", f"203.0.113.{n}")
    assert (await log_in(site, "wrong", "203.0.113.99")).status == 429


async def test_a_device_that_logged_in_before_is_not_locked_out_by_strangers(site: Guarded) -> None:
    cookie = (await registered(site, "198.51.100.1")).cookies["device"]
    await attack(site)
    assert (await log_in(site, PASSWORD, "192.0.2.7", cookie)).status == 200


async def test_an_address_with_a_past_success_is_not_locked_out_by_strangers(site: Guarded) -> None:
    await registered(site, "198.51.100.1")
    await attack(site)
    assert (await log_in(site, PASSWORD, "198.51.100.1")).status == 200


async def test_who_reads_the_reset_mail_is_let_in_in_the_middle_of_an_attack(site: Guarded) -> None:
    await registered(site, "198.51.100.1")
    await attack(site)
    owner = {"X-Forwarded-For": "192.0.2.7"}
    assert (await log_in(site, PASSWORD, "192.0.2.7")).status == 429
    await site.call("POST", "/api/auth/password/forgot", {"email": ADA}, headers=owner)
    body = {"token": await site.mailed_token("password_reset", ADA), "password": "another good password"}
    assert (await site.call("POST", "/api/auth/password/reset", body, headers=owner)).status == 204
    await attack(site)
    assert (await log_in(site, "another good password", "192.0.2.7")).status == 200


async def test_a_stolen_device_cookie_buys_a_handful_of_guesses(site: Guarded) -> None:
    cookie = (await registered(site, "198.51.100.1")).cookies["device"]
    statuses = [(await log_in(site, "wrong", f"203.0.113.{n}", cookie)).status for n in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert (await log_in(site, PASSWORD, "198.51.100.1")).status == 200, "and locks only itself"


async def test_a_device_cookie_of_another_account_is_worth_nothing(site: Guarded) -> None:
    await registered(site, "198.51.100.1")
    body = {"email": "eve@example.com", "password": PASSWORD, "name": "Eve"}
    eve = await site.call("POST", "/api/auth/register", body, headers={"X-Forwarded-For": "203.0.113.200"})
    await attack(site)
    assert (await log_in(site, PASSWORD, "203.0.113.201", eve.cookies["device"])).status == 429


async def test_logging_out_keeps_the_device_known(site: Guarded) -> None:
    made = await registered(site, "198.51.100.1")
    out = await site.call("POST", "/api/auth/logout", token=made.json["accessToken"])
    assert "access" in out.cookies
    assert "device" not in out.cookies


async def test_failed_logins_of_made_up_accounts_do_not_fill_redis(site: Guarded) -> None:
    for n in range(60):
        await log_in(site, "wrong", f"203.0.113.{n}", email=f"nobody{n}@example.com")
    counters = await site.redis.keys("failures:*")
    assert len(counters) <= 30
    for key in [*counters, b"failures"]:
        assert 0 < await site.redis.ttl(key) <= 86_400


async def test_no_address_of_a_person_or_a_client_is_in_redis_or_in_the_audit_log_unsalted(site: Guarded) -> None:
    await registered(site, "198.51.100.1")
    await log_in(site, "wrong", "203.0.113.9")
    entries = await site.database["audit_log"].find({"outcome": "bad_credentials"}).to_list(None)
    assert [entry["subject"] for entry in entries] == [site.auth.mark("ADA@example.com ")]
    assert hashlib.sha256(ADA.encode()).hexdigest() not in repr(entries), "a list of addresses would read it"
    for key in await site.redis.keys("failures:*") + await site.redis.keys("known:*"):
        assert b"203.0.113.9" not in key
        assert b"ada@" not in key


async def test_strangers_who_ask_for_links_do_not_silence_the_owner(site: Guarded) -> None:
    owner = {"X-Forwarded-For": "198.51.100.1"}
    body = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
    await site.call("POST", "/api/auth/register", body, headers=owner)
    ask = {"email": "ada@example.com"}
    for n in range(30):
        stranger = {"X-Forwarded-For": f"203.0.113.{n % 6}"}
        assert (await site.call("POST", "/api/auth/password/forgot", ask, headers=stranger)).status == 202
    before = await links_mailed(site)
    assert before == site.config.mails_from_strangers_max
    await site.call("POST", "/api/auth/password/forgot", ask, headers=owner)
    assert await links_mailed(site) == before + 1
    token = await site.mailed_token("password_reset", "ada@example.com")
    reset = {"token": token, "password": "another good password"}
    assert (await site.call("POST", "/api/auth/password/reset", reset)).status == 204


async def links_mailed(site: Guarded) -> int:
    await asyncio.sleep(0.3)  # the mail is requested beside the answer
    return int(await site.database["outbox"].count_documents({"facts.template": "password_reset"}))


async def test_no_mail_says_what_a_stranger_typed(site: Guarded) -> None:
    await site.register("victim@example.com", "your parcel is on hold: pay at https://evil.example")
    await site.call("POST", "/api/auth/password/forgot", {"email": "victim@example.com"})
    await site.mailed_token("password_reset", "victim@example.com")
    facts = [fact for entry in await site.database["outbox"].find().to_list(None) for fact in entry["facts"]]
    mails = [fact for fact in facts if fact.get("template")]
    assert {fact["template"] for fact in mails} == {"email_verification", "password_reset"}
    assert all(fact["values"].keys() == {"ticket"} for fact in mails), "what a template is given is all that it can say"
