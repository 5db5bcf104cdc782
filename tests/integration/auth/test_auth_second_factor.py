"""The second factor of a login: enrolled, confirmed, asked for, used once, removed, required where a shop says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyotp
import pytest
import shops
from redis.exceptions import ConnectionError as RedisConnectionError
from secured_app import PASSWORD, Answer, Guarded, guarded

from service.auth.sessions import SessionStore
from service.config import Config

PATH = "/api/auth/second-factor"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


class Person:
    """An account with an app that shows codes."""

    def __init__(self, site: Guarded, clock: shops.MovableClock) -> None:
        self.site, self.clock, self.token, self.secret, self.user_id = site, clock, "", "", ""
        self.recovery: list[str] = []

    async def enrol(self, role: str = "customer", email: str = "ada@example.com") -> Answer:
        self.token = await self.site.token(role, email)
        self.user_id = (await self.site.call("GET", "/api/auth/me", token=self.token)).json["user"]["id"]
        begun = await self.site.call("POST", PATH, {"password": PASSWORD}, token=self.token)
        assert begun.status == 201, begun.text
        self.secret, self.recovery = begun.json["secret"], begun.json["recoveryCodes"]
        return await self.site.call("POST", f"{PATH}/confirm", {"code": self.code()}, token=self.token)

    def code(self, seconds: float = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.clock.now() + timedelta(seconds=seconds))

    async def log_in(self, code: str | None = None, password: str = PASSWORD) -> Answer:
        body: dict[str, Any] = {"email": "ada@example.com", "password": password}
        return await self.site.call("POST", "/api/auth/login", body | ({} if code is None else {"code": code}))


@pytest.fixture
async def ada(site: Guarded, clock: shops.MovableClock) -> Person:
    person = Person(site, clock)
    assert (await person.enrol()).status == 204
    clock.advance(30)
    return person


async def test_a_login_needs_a_code_once_a_code_has_confirmed_it(ada: Person) -> None:
    missing = await ada.log_in()
    assert (missing.status, missing.code) == (401, "second_factor_required")
    assert (await ada.log_in(password="wrong")).code == "bad_credentials", "said to nobody who guesses"
    assert (await ada.log_in("000000")).code == "bad_code"
    entered = await ada.log_in(ada.code())
    assert entered.status == 200
    assert entered.json["user"]["secondFactor"] is True


async def test_what_was_begun_and_not_confirmed_asks_nobody_for_a_code(site: Guarded) -> None:
    token = await site.token("customer", "ada@example.com")
    wrong = await site.call("POST", PATH, {"password": "a guess"}, token=token)
    assert wrong.code == "wrong_password"
    assert (await site.call("POST", f"{PATH}/confirm", {"code": "123456"}, token=token)).code == "no_second_factor"
    begun = await site.call("POST", PATH, {"password": PASSWORD}, token=token)
    assert begun.json["uri"].startswith("otpauth://totp/Holdfast:ada%40example.com?secret=")
    assert (await site.call("POST", f"{PATH}/confirm", {"code": "000000"}, token=token)).code == "bad_code"
    assert (await site.log_in()).status == 200


async def test_a_code_works_once_and_no_older_one_after_it(ada: Person) -> None:
    code, older = ada.code(), ada.code(-30)
    assert (await ada.log_in(code)).status == 200
    assert (await ada.log_in(code)).code == "bad_code"
    assert (await ada.log_in(older)).code == "bad_code"
    ada.clock.advance(30)
    assert (await ada.log_in(ada.code())).status == 200


async def test_of_many_logins_with_one_code_at_once_one_gets_in(ada: Person) -> None:
    code = ada.code()
    found = await asyncio.gather(*(ada.log_in(code) for _ in range(4)))
    assert [answer.status for answer in found].count(200) == 1


@pytest.mark.parametrize("seconds", [-30, 30])
async def test_a_clock_that_is_half_a_minute_off_does_no_harm(ada: Person, seconds: int) -> None:
    ada.clock.advance(60)
    assert (await ada.log_in(ada.code(seconds))).status == 200


async def test_a_code_of_two_minutes_ago_is_too_old(ada: Person) -> None:
    ada.clock.advance(300)
    assert (await ada.log_in(ada.code(-120))).code == "bad_code"


async def test_a_recovery_code_works_once_however_it_is_typed(ada: Person) -> None:
    typed = ada.recovery[0].lower().replace("-", " ")
    assert (await ada.log_in(typed)).status == 200
    assert (await ada.log_in(ada.recovery[0])).code == "bad_code"
    left = await ada.site.call("GET", PATH, token=ada.token)
    assert left.json == {"enabled": True, "required": False, "recoveryCodesLeft": 9}


async def test_new_recovery_codes_end_the_old_ones(ada: Person) -> None:
    both = {"password": PASSWORD, "code": ada.code()}
    made = await ada.site.call("POST", f"{PATH}/recovery-codes", both, token=ada.token)
    assert len(set(made.json["recoveryCodes"]) - set(ada.recovery)) == 10
    assert (await ada.log_in(ada.recovery[0])).code == "bad_code"
    assert (await ada.log_in(made.json["recoveryCodes"][0])).status == 200


async def test_guesses_of_who_knows_the_password_are_slowed_down_wherever_they_come_from(ada: Person) -> None:
    answers = [(await ada.log_in(f"{number:06}")).code for number in range(12)]
    assert answers[:5] == ["bad_code"] * 5
    assert "login_locked" in answers
    mark = ada.site.auth._factors._mark(ada.user_id)
    (counter,) = await ada.site.redis.keys(f"failures:{mark}*")
    assert int(await ada.site.redis.hget(counter, "count")) > 5, "counted for the account, not for an address"
    ada.clock.advance(3_600)
    assert (await ada.log_in(ada.code())).status == 200


async def test_nothing_that_is_stored_is_a_secret_or_a_code(ada: Person) -> None:
    document = repr(await ada.site.database["users"].find_one({"_id": ada.user_id}))
    assert ada.secret not in document
    assert not any(code.replace("-", "") in document.replace("-", "") for code in ada.recovery)


async def test_a_secret_that_is_copied_to_another_account_opens_nothing(ada: Person) -> None:
    users = ada.site.database["users"]
    eve = await ada.site.register("eve@example.com")
    factor = (await users.find_one({"_id": ada.user_id}))["secondFactor"]
    await users.update_one({"_id": eve["user"]["id"]}, {"$set": {"secondFactor": factor | {"recovery": []}}})
    body = {"email": "eve@example.com", "password": PASSWORD, "code": ada.code()}
    assert (await ada.site.call("POST", "/api/auth/login", body)).code == "bad_code"


async def test_confirming_ends_the_logins_that_gave_a_password_alone(site: Guarded, clock: shops.MovableClock) -> None:
    person = Person(site, clock)
    await site.register()
    other = (await site.log_in()).json["accessToken"]
    person.token = (await site.log_in()).json["accessToken"]
    begun = await site.call("POST", PATH, {"password": PASSWORD}, token=person.token)
    person.secret = begun.json["secret"]
    await site.call("POST", f"{PATH}/confirm", {"code": person.code()}, token=person.token)
    assert (await site.call("GET", "/api/auth/me", token=other)).status == 401
    assert (await site.call("GET", "/api/auth/me", token=person.token)).status == 200


async def test_a_login_by_password_alone_ends_at_its_refresh_although_redis_failed_at_the_confirmation(
    site: Guarded, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(site, clock)
    person.token = await site.token("staff", "ada@example.com")
    stolen = (await site.log_in()).json
    begun = await site.call("POST", PATH, {"password": PASSWORD}, token=person.token)
    person.secret = begun.json["secret"]
    with monkeypatch.context() as broken:

        async def fails(*_: Any, **__: Any) -> int:
            raise RedisConnectionError("gone")

        broken.setattr(SessionStore, "end_all", fails)
        answer = await site.call("POST", f"{PATH}/confirm", {"code": person.code()}, token=person.token)
        assert answer.status == 503
    refreshed = await site.call("POST", "/api/auth/refresh", {"refreshToken": stolen["refreshToken"]})
    assert (refreshed.status, refreshed.code) == (401, "bad_refresh_token")
    assert (await site.call("GET", "/api/auth/me", token=stolen["accessToken"])).status == 401, "it has ended"
    assert (await site.call("GET", "/api/probe/staff", token=person.token)).status == 200, "the one that gave the code"


async def test_what_was_committed_ends_a_login_by_password_alone_without_a_refresh_too(
    site: Guarded, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(site, clock)
    person.token = await site.token("staff", "ada@example.com")
    stolen = (await site.log_in()).json["accessToken"]
    begun = await site.call("POST", PATH, {"password": PASSWORD}, token=person.token)
    person.secret = begun.json["secret"]
    with monkeypatch.context() as broken:

        async def fails(*_: Any, **__: Any) -> int:
            raise RedisConnectionError("gone")

        broken.setattr(SessionStore, "end_all", fails)
        await site.call("POST", f"{PATH}/confirm", {"code": person.code()}, token=person.token)
    user_id = (await site.call("GET", "/api/auth/me", token=person.token)).json["user"]["id"]
    newest = (await site.database["outbox"].find().sort("_id", -1).to_list(1))[0]["facts"]
    assert user_id in newest[0].values(), "the relay will hear of it"
    await site.accounts._alignment.align(user_id)
    assert (await site.call("GET", "/api/auth/me", token=stolen)).status == 401
    assert (await site.call("GET", "/api/auth/me", token=person.token)).status == 200


async def test_the_owner_removes_it_with_password_and_code(ada: Person) -> None:
    call, path = ada.site.call, f"{PATH}/remove"
    wrong = await call("POST", path, {"password": "a guess", "code": ada.code()}, token=ada.token)
    assert wrong.code == "wrong_password"
    assert (await call("POST", path, {"password": PASSWORD, "code": "000000"}, token=ada.token)).code == "bad_code"
    assert (await call("POST", PATH, {"password": PASSWORD}, token=ada.token)).code == "second_factor_exists"
    removed = await call("POST", path, {"password": PASSWORD, "code": ada.code()}, token=ada.token)
    assert removed.status == 204
    assert (await ada.log_in()).status == 200


async def test_a_reset_keeps_the_second_factor(ada: Person) -> None:
    await ada.site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    token, chosen = await ada.site.mailed_token("password_reset", "ada@example.com"), "another staple of horses"
    reset = await ada.site.call("POST", "/api/auth/password/reset", {"token": token, "password": chosen})
    assert reset.status == 204, reset.text
    assert (await ada.log_in(password=chosen)).code == "second_factor_required"
    assert (await ada.log_in(ada.code(), password=chosen)).status == 200


async def test_an_admin_resets_it_which_is_on_record(ada: Person) -> None:
    admin, path = await ada.site.token("admin"), f"/api/auth/users/{ada.user_id}/second-factor"
    assert (await ada.site.call("DELETE", path, token=await ada.site.token("staff"))).status == 403
    assert (await ada.site.call("DELETE", path, token=admin)).status == 204
    assert (await ada.site.call("GET", "/api/auth/me", token=ada.token)).status == 401
    assert (await ada.log_in()).status == 200
    entries = await ada.site.audit_log.find({"target": path, "outcome": "ok"}, None, 10)
    assert [(entry["role"], entry["action"]) for entry in entries] == [
        ("admin", "DELETE /api/auth/users/<user_id:str>/second-factor")
    ]


async def test_where_it_is_required_staff_without_one_may_do_what_customers_may(
    config: Config, clock: shops.MovableClock
) -> None:
    async with guarded(replace(config, second_factor_required="staff"), clock) as site:
        person, probe = Person(site, clock), "/api/probe/staff"
        person.token = await site.token("staff", "ada@example.com")
        fresh = (await person.log_in()).json
        refused = await site.call("GET", probe, token=fresh["accessToken"])
        assert (refused.status, refused.code) == (403, "forbidden")
        refreshed = await site.call("POST", "/api/auth/refresh", {"refreshToken": fresh["refreshToken"]})
        token = refreshed.json["accessToken"]
        assert (await site.call("GET", probe, token=token)).status == 403, "nor after a refresh"
        assert (await site.call("GET", PATH, token=token)).json["required"] is True
        person.secret = (await site.call("POST", PATH, {"password": PASSWORD}, token=token)).json["secret"]
        await site.call("POST", f"{PATH}/confirm", {"code": person.code()}, token=token)
        assert (await site.call("GET", probe, token=token)).status == 200
        clock.advance(30)
        entered = await person.log_in(person.code())
        assert (await site.call("GET", probe, token=entered.json["accessToken"])).status == 200
        clock.advance(30)
        await site.call("POST", f"{PATH}/remove", {"password": PASSWORD, "code": person.code()}, token=token)
        assert (await site.call("GET", probe, token=token)).status == 403


async def test_codes_survive_the_replacement_of_the_secret(config: Config, clock: shops.MovableClock) -> None:
    old, new = "an old secret of more than thirty-two bytes", "a new secret of more than thirty-two bytes"
    async with guarded(replace(config, secret=old), clock) as site:
        person = Person(site, clock)
        await person.enrol()
    for secret, code in ((f"{new},{old}", None), (new, None)):
        clock.advance(60)
        async with guarded(replace(config, secret=secret), clock) as site:
            person.site = site
            hashed = {"$set": {"passwordHash": await site.auth._passwords.hash(PASSWORD)}}
            await site.database["users"].update_one({"_id": person.user_id}, hashed)
            assert (await person.log_in(code or person.code())).status == 200, secret
