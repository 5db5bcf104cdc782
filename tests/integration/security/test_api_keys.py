"""Keys of services: what they open and what never, how they end, and what guessing them costs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import shops
from secured_app import PASSWORD, Answer, Guarded, guarded

from service import commands
from service.auth.wiring import key_reader
from service.bootstrap import Shop
from service.config import Config
from service.infra.mongo import client as mongo
from service.web.security.api_keys import HEADER
from service.web.security.rate_limit import CLASSES

PATH = "/api/admin/api-keys"
STOCK = "/api/probe/stock"
UNKNOWN = f"hfk_{'0' * 28}_{'0' * 64}"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


def forget(site: Guarded) -> None:
    """As if the half second had passed for which a key is remembered."""
    keys: Any = site.layers._keys
    keys._known = {digest: memory._replace(fresh_until=0) for digest, memory in keys._known.items()}


@pytest.fixture
async def admin(site: Guarded) -> str:
    return await site.token("admin")


async def made(site: Guarded, admin: str, *scopes: str, **more: Any) -> tuple[str, str]:
    """A key's id, and the key."""
    answer = await site.call("POST", PATH, {"name": "warehouse", "scopes": list(scopes), **more}, token=admin)
    assert answer.status == 201, answer.text
    return answer.json["apiKey"]["id"], answer.json["key"]


async def by_key(site: Guarded, key: str, method: str = "GET", path: str = STOCK, **given: Any) -> Answer:
    headers = {HEADER: key, **given.pop("headers", {})}
    return await site.call(method, path, {} if method == "POST" else None, headers=headers, **given)


async def test_a_key_opens_the_routes_of_its_scopes_and_no_other(site: Guarded, admin: str) -> None:
    key_id, key = await made(site, admin, "stock:read")
    answer = await by_key(site, key)
    assert (answer.status, answer.json) == (200, {"caller": f"key:{key_id}", "role": "key"})
    refused = await by_key(site, key, "POST")
    assert (refused.status, refused.code, refused.json["scope"]) == (403, "scope_missing", "stock:write")
    for who in ("customer", "staff", "admin"):
        for method in ("GET", "POST"):
            assert (await by_key(site, key, method, f"/api/probe/{who}")).code == "key_not_allowed"


async def test_a_key_reaches_no_account_and_makes_no_key_whatever_its_scopes(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:write", "orders:write", "catalog:write")
    body = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
    for method, path in (
        ("POST", "/api/auth/register"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/password/forgot"),
        ("POST", "/api/auth/password/change"),
        ("GET", "/api/auth/me"),
        ("GET", "/api/auth/sessions"),
        ("GET", "/api/auth/second-factor"),
        ("GET", "/api/auth/users"),
        ("GET", "/api/audit"),
        ("GET", PATH),
        ("POST", PATH),
    ):
        answer = await site.call(method, path, body if method == "POST" else None, headers={HEADER: key})
        assert (answer.status, answer.code) == (403, "key_not_allowed"), path


async def test_what_anybody_may_read_stays_open_and_the_key_is_nobody_there(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")
    answer = await by_key(site, key, path="/api/probe/public")
    assert (answer.status, answer.json["caller"]) == (200, None)
    assert (await by_key(site, key, "POST", "/api/probe/guest")).code == "key_not_allowed", "no cart for a key"


async def test_a_key_needs_no_csrf_token_and_is_judged_alone_whatever_cookies_came_along(
    site: Guarded, admin: str
) -> None:
    _, key = await made(site, admin, "stock:write")
    cookies = (await site.log_in((await site.register())["user"]["email"])).cookies
    jar = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = {"Cookie": jar, "Origin": "https://elsewhere.example"}
    assert (await by_key(site, key, "POST", headers=headers)).json["role"] == "key"
    assert (await by_key(site, UNKNOWN, "POST", headers=headers)).code == "bad_api_key"


@pytest.mark.parametrize("wrong", [UNKNOWN, "", "x", "hfk_" + "0" * 10_00, "\u00e9".encode().decode("latin-1")])
async def test_a_wrong_key_is_refused_with_a_sentence_on_every_route(site: Guarded, wrong: str) -> None:
    for path in (STOCK, "/api/probe/public", "/api/probe/admin", "/api/nowhere"):
        answer = await by_key(site, wrong, path=path)
        assert (answer.status, answer.code) == (401, "bad_api_key"), path
        assert "not known" in answer.json["detail"]
    assert site.events("bad_api_key") == 4


async def test_a_right_key_with_another_secret_is_wrong(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")
    assert (await by_key(site, key[:-1] + ("1" if key[-1] == "0" else "0"))).code == "bad_api_key"


async def test_two_credentials_at_once_are_none(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")
    both = await by_key(site, key, headers={"Authorization": f"Bearer {admin}"})
    assert (both.status, both.code) == (401, "bad_api_key")
    twice = f"GET {STOCK} HTTP/1.1\r\nHost: x\r\n{HEADER}: {key}\r\n{HEADER}: {key}\r\nConnection: close\r\n\r\n"
    assert b"bad_api_key" in await site.raw(twice.encode())


async def test_guessed_keys_are_counted_and_do_not_keep_out_who_has_a_right_one(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")
    assert (await by_key(site, key)).status == 200
    free = CLASSES["key-guess"].windows[0].quota
    answers = [await by_key(site, UNKNOWN) for _ in range(free + 2)]
    assert [answer.status for answer in answers] == [401] * free + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 60
    forget(site)
    assert (await by_key(site, key)).status == 200, "from the same address"
    assert (await site.call("GET", "/api/probe/public")).status == 200, "and everything else goes on"


async def test_a_revoked_key_ends_within_a_second(site: Guarded, admin: str) -> None:
    key_id, key = await made(site, admin, "stock:read")
    assert (await by_key(site, key)).status == 200
    assert (await site.call("DELETE", f"{PATH}/{key_id}", token=admin)).status == 204
    await asyncio.sleep(0.6)  # the promise is about real time
    assert (await by_key(site, key)).code == "bad_api_key"
    assert (await site.call("DELETE", f"{PATH}/{key_id}", token=admin)).code == "api_key_not_found"


async def test_a_key_ends_at_the_moment_it_was_made_to(site: Guarded, admin: str, clock: shops.MovableClock) -> None:
    ends = clock.now() + timedelta(seconds=10)
    _, key = await made(site, admin, "stock:read", expiresAt=ends.isoformat())
    clock.advance(9.9)
    assert (await by_key(site, key)).status == 200
    clock.advance(0.1)
    assert (await by_key(site, key)).code == "bad_api_key", "although it was found a moment ago"
    past = {"name": "x", "scopes": ["stock:read"], "expiresAt": clock.now().isoformat()}
    refused = await site.call("POST", PATH, past, token=admin)
    assert (refused.status, refused.json["errors"][0]["path"]) == (422, "expiresAt")


async def test_after_a_rotation_both_work_for_the_overlap(site: Guarded, admin: str, clock: shops.MovableClock) -> None:
    key_id, old = await made(site, admin, "stock:read")
    rotated = await site.call("POST", f"{PATH}/{key_id}/rotate", {"overlapSeconds": 60}, token=admin)
    new = rotated.json["key"]
    assert new != old
    assert [(await by_key(site, key)).status for key in (old, new)] == [200, 200]
    clock.advance(60)  # and remembered or not, at that moment
    assert [(await by_key(site, key)).status for key in (old, new)] == [401, 200]


async def test_a_second_rotation_ends_the_oldest_secret_at_once(site: Guarded, admin: str) -> None:
    key_id, first = await made(site, admin, "stock:read")
    second, third = [
        (await site.call("POST", f"{PATH}/{key_id}/rotate", {}, token=admin)).json["key"] for _ in range(2)
    ]
    assert [(await by_key(site, key)).status for key in (first, second, third)] == [401, 200, 200]
    now = await site.call("POST", f"{PATH}/{key_id}/rotate", {"overlapSeconds": 0}, token=admin)
    forget(site)
    assert [(await by_key(site, key)).status for key in (second, third, now.json["key"])] == [401, 401, 200]


async def test_rotations_at_the_same_moment_show_no_key_that_does_not_work(site: Guarded, admin: str) -> None:
    key_id, _ = await made(site, admin, "stock:read")
    answers = await asyncio.gather(*(site.call("POST", f"{PATH}/{key_id}/rotate", {}, token=admin) for _ in range(5)))
    newest = await site.database["api_keys"].find_one({"_id": key_id})
    working = [(await by_key(site, answer.json["key"])).status for answer in answers if answer.status == 200]
    assert working.count(200) == min(2, len(working))
    assert {answer.status for answer in answers} <= {200, 409}
    assert len(newest["secrets"]) == 2


async def test_the_key_is_shown_once_and_stored_as_a_hash(site: Guarded, admin: str) -> None:
    key_id, key = await made(site, admin, "stock:read", "orders:read", "stock:read")
    stored = str(await site.database["api_keys"].find_one({"_id": key_id}))
    secret = key.rpartition("_")[2]
    assert secret not in stored
    listed = await site.call("GET", PATH, token=admin)
    assert secret not in listed.text
    assert listed.json["items"][0]["scopes"] == ["orders:read", "stock:read"]
    assert secret not in (await site.call("GET", "/api/audit", token=admin)).text


async def test_the_last_use_is_right_to_the_minute_and_no_write_a_request(
    site: Guarded, admin: str, config: Config, clock: shops.MovableClock
) -> None:
    key_id, key = await made(site, admin, "stock:read")
    writes = []
    client = mongo.connect(config)
    try:
        for _ in range(30):
            forget(site)
            assert (await by_key(site, key)).status == 200
            writes.append((await client[config.database]["api_keys"].find_one({"_id": key_id}))["lastUsedAt"])
            clock.advance(5)
    finally:
        client.close()
    assert len(set(writes)) == 3, "one a minute of the two and a half"
    listed = (await site.call("GET", PATH, token=admin)).json["items"][0]
    assert listed["lastUsedAt"] is not None


async def test_a_busy_key_is_read_twice_a_second_and_not_once_a_request(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")
    assert (await by_key(site, key)).status == 200
    await site.database["api_keys"].delete_many({})
    assert [(await by_key(site, key)).status for _ in range(5)] == [200] * 5, "nobody asked the store"


async def test_a_key_spends_limits_of_its_own(config: Config, clock: shops.MovableClock) -> None:
    async with guarded(replace(config, rate_limit_scale=0.02), clock) as site:
        admin = await site.token("admin")
        _, one = await made(site, admin, "stock:read")
        _, other = await made(site, admin, "stock:read")
        quota = round(CLASSES["default"].windows[1].quota * 0.02)
        answers = [await by_key(site, one) for _ in range(quota + 1)]
        assert [answer.status for answer in answers] == [200] * quota + [429]
        assert (await by_key(site, other)).status == 200


async def test_the_audit_log_says_which_key_did_what(site: Guarded, admin: str) -> None:
    key_id, key = await made(site, admin, "stock:write")
    await by_key(site, key, "POST")
    await by_key(site, key, "POST", "/api/auth/login")
    entries = (await site.call("GET", f"/api/audit?actor=key:{key_id}", token=admin)).json["items"]
    told = [(entry["action"], entry["role"], entry["outcome"]) for entry in entries]
    assert told == [
        ("POST /api/auth/login", "key", "key_not_allowed"),
        ("POST /api/probe/stock", "key", "ok"),
    ]
    by_admin = (await site.call("GET", "/api/audit", token=admin)).json["items"]
    assert ("POST /api/admin/api-keys", key_id) in {(entry["action"], entry["subject"]) for entry in by_admin}


async def test_only_admins_make_keys(site: Guarded) -> None:
    body = {"name": "x", "scopes": ["stock:read"]}
    for role, expected in (("customer", 403), ("staff", 403), ("", 401)):
        token = await site.token(role) if role else ""
        assert (await site.call("POST", PATH, body, token=token)).status == expected


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["stock:read"]},
        {"name": "<b>", "scopes": ["stock:read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["stock:everything"]},
        {"name": "x", "scopes": ["stock:read"], "role": "admin"},
        {"name": "x" * 81, "scopes": ["stock:read"]},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(site: Guarded, admin: str, body: dict[str, Any]) -> None:
    assert (await site.call("POST", PATH, body, token=admin)).status == 422


async def test_there_are_only_so_many_keys(config: Config, clock: shops.MovableClock) -> None:
    async with guarded(replace(config, api_keys_max=2), clock) as site:
        admin = await site.token("admin")
        for _ in range(2):
            await made(site, admin, "stock:read")
        answer = await site.call("POST", PATH, {"name": "x", "scopes": ["stock:read"]}, token=admin)
        assert (answer.status, answer.code) == (409, "too_many_api_keys")


async def test_keys_are_listed_page_by_page(site: Guarded, admin: str, clock: shops.MovableClock) -> None:
    ids = []
    for _ in range(3):
        ids.append((await made(site, admin, "stock:read"))[0])
        clock.advance(1)
    first = (await site.call("GET", f"{PATH}?limit=2", token=admin)).json
    rest = (await site.call("GET", f"{PATH}?limit=2&cursor={first['nextCursor']}", token=admin)).json
    assert [item["id"] for item in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["nextCursor"] is None


async def test_without_redis_a_key_is_nobody_and_the_answer_says_so(site: Guarded, admin: str) -> None:
    _, key = await made(site, admin, "stock:read")

    async def down(*_: Any, **__: Any) -> Any:
        from service.web.security.gate import StoreDown

        raise StoreDown(retry_after_seconds=1)

    site.layers.gate.ask = down  # type: ignore[method-assign]
    assert (await by_key(site, key)).status == 503
    assert (await by_key(site, key, path="/api/probe/public")).json["caller"] is None


async def test_the_command_line_makes_a_key_and_that_is_on_record(shop: Shop) -> None:
    made = await commands._made_key(shop, "warehouse", ("stock:read",), days=1)
    known = await key_reader(shop.runtime, shop.stores).find(made.text)
    assert known is not None
    assert known.scopes == {"stock:read"}
    entry = await shop.stores.database["audit_log"].find_one({"action": "holdfast admin create-api-key"})
    assert entry is not None
    assert entry["subject"] == made.key.id
