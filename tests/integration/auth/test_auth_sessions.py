"""Sessions: sealed, with an end, and in step with what was committed about their account."""

from collections.abc import AsyncIterator

import pytest
import shops
from secured_app import Guarded, guarded

from service.auth.accounts import SessionAlignment
from service.auth.models import Device
from service.auth.repository import UserRepository
from service.auth.sessions import SessionStore
from service.config import Config
from service.events import AccountChanged
from service.messaging.outbox import Fact


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


async def session_key(site: Guarded) -> str:
    (key,) = await site.redis.keys("session:*")
    return str(key.decode())


async def test_a_role_written_into_redis_by_somebody_else_is_not_believed(site: Guarded) -> None:
    made = await site.register()
    await site.redis.hset(await session_key(site), "role", "admin")
    refused = await site.call("GET", "/api/probe/admin", token=made["accessToken"])
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert site.events("forged_session") == 1
    again = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert (again.status, again.code) == (401, "bad_refresh_token")


async def test_a_session_pointed_at_another_user_or_with_anothers_seal_is_not_believed(site: Guarded) -> None:
    made, key = await site.register("ada@example.com"), await session_key(site)
    admin = await site.token("admin", "root@example.com")
    root = await site.database["users"].find_one({"email": "root@example.com"})
    (other,) = [k.decode() for k in await site.redis.keys("session:*") if k.decode() != key]
    stolen = {"user": root["_id"], "role": "admin", "seal": (await site.redis.hget(other, "seal")).decode()}
    for change in ({"user": root["_id"]}, stolen, {"seal": ""}, {"seal": "9" * 13 + ".x"}):
        await site.redis.hset(key, mapping=change)
        assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 401
        refreshed = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
        assert refreshed.status == 401
    assert (await site.call("GET", "/api/probe/admin", token=admin)).status == 200


async def test_a_forged_session_in_the_list_of_a_user_is_not_sealed_when_the_role_changes(site: Guarded) -> None:
    made, key = await site.register("eve@example.com"), await session_key(site)
    bob = await site.register("bob@example.com")
    await site.redis.hset(key, "user", bob["user"]["id"])
    await site.redis.zadd(f"sessions:{bob['user']['id']}", {key.removeprefix("session:"): 1})
    await site.accounts.change_role(bob["user"]["id"], "admin")
    assert (await site.call("GET", "/api/probe/admin", token=made["accessToken"])).status == 401
    assert (await site.call("GET", "/api/probe/admin", token=bob["accessToken"])).status == 200


async def test_a_role_that_was_committed_reaches_the_sessions_also_when_the_process_died_before(
    site: Guarded, clock: shops.MovableClock
) -> None:
    made = await site.register()
    user_id = made["user"]["id"]
    await site.accounts.change_role(user_id, "staff")
    await site.database["users"].update_one({"_id": user_id}, {"$set": {"role": "customer"}})  # committed, no more
    assert (await site.call("GET", "/api/probe/staff", token=made["accessToken"])).status == 200
    sessions = SessionStore(site.redis, clock, site.config)
    alignment = SessionAlignment(UserRepository(site.database), sessions, site.config)
    await alignment.follow([Fact("f", AccountChanged(user_id), clock.now())])
    assert (await site.call("GET", "/api/probe/staff", token=made["accessToken"])).status == 403


async def test_refreshing_takes_over_the_role_that_the_account_has(site: Guarded) -> None:
    made = await site.register()
    await site.database["users"].update_one({"_id": made["user"]["id"]}, {"$set": {"role": "staff"}})
    fresh = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert (await site.call("GET", "/api/probe/staff", token=fresh.json["accessToken"])).status == 200


async def test_with_redis_away_nobody_is_demoted_by_half(site: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await site.register()
    await site.accounts.change_role(made["user"]["id"], "staff")

    async def away(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(SessionStore, "change_role", away)
    with pytest.raises(ConnectionError):
        await site.accounts.change_role(made["user"]["id"], "customer")
    assert (await site.auth.get(made["user"]["id"])).role == "staff"


async def test_a_session_ends_after_its_longest_life_however_often_it_is_refreshed(
    site: Guarded, clock: shops.MovableClock
) -> None:
    token = (await site.register())["refreshToken"]
    refreshed = 0
    while (answer := await site.call("POST", "/api/auth/refresh", {"refreshToken": token})).status == 200:
        token, refreshed = answer.json["refreshToken"], refreshed + 1
        clock.advance(site.config.session_ttl_seconds / 5)
    assert refreshed == 5
    assert answer.code == "bad_refresh_token"


async def test_a_session_of_the_staff_ends_within_a_working_day(site: Guarded, clock: shops.MovableClock) -> None:
    made = await site.register()
    await site.accounts.change_role(made["user"]["id"], "staff")
    ttl_seconds = await site.redis.ttl(await session_key(site))
    assert ttl_seconds <= site.config.staff_session_ttl_seconds
    clock.advance(site.config.staff_session_ttl_seconds + 1)
    late = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert late.status == 401


async def test_the_store_itself_forgets_a_session_that_was_not_refreshed(site: Guarded) -> None:
    await site.register()
    ttl_seconds = await site.redis.ttl(await session_key(site))
    assert site.config.refresh_token_ttl_seconds - 60 < ttl_seconds <= site.config.refresh_token_ttl_seconds


async def test_a_user_has_at_most_fifty_logins_and_the_oldest_gives_way(
    site: Guarded, clock: shops.MovableClock
) -> None:
    first = await site.register()
    user = await site.auth.get(first["user"]["id"])
    for _ in range(site.config.sessions_per_user_max):
        clock.advance(1)
        await site.auth._open_session(user, Device("127.0.0.1", "a test"))
    assert len(await site.auth.sessions(user.id)) == site.config.sessions_per_user_max
    assert (await site.call("GET", "/api/auth/me", token=first["accessToken"])).status == 401
