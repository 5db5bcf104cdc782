"""An account can be closed, erased and taken along, by its owner and by an admin."""

from collections.abc import AsyncIterator

import pytest
import shops
from secured_app import PASSWORD, Guarded, guarded

from service import bootstrap, commands
from service.auth.models import User
from service.auth.repository import UserRepository
from service.bootstrap import Shop
from service.config import Config


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


async def test_a_disabled_account_is_logged_out_at_once_and_logs_in_no_more_until_it_is_enabled(site: Guarded) -> None:
    admin, ada = await site.token("admin"), await site.register()
    path = f"/api/auth/users/{ada['user']['id']}"
    assert (await site.call("PATCH", path, {"disabled": True}, token=admin)).json["user"]["disabled"] is True
    assert (await site.call("GET", "/api/auth/me", token=ada["accessToken"])).status == 401
    refreshed = await site.call("POST", "/api/auth/refresh", {"refreshToken": ada["refreshToken"]})
    assert refreshed.status == 401
    closed = await site.log_in()
    assert (closed.status, closed.code) == (403, "account_disabled")
    assert (await site.log_in(password="wrong")).code == "bad_credentials", "said to nobody who guesses"
    await site.call("PATCH", path, {"disabled": False}, token=admin)
    assert (await site.log_in()).status == 200


async def test_a_change_of_nothing_is_refused(site: Guarded) -> None:
    admin, ada = await site.token("admin"), await site.register()
    assert (await site.call("PATCH", f"/api/auth/users/{ada['user']['id']}", {}, token=admin)).status == 422


async def test_the_last_admin_can_be_neither_disabled_nor_erased(site: Guarded) -> None:
    admin = await site.token("admin", "root@example.com")
    me = (await site.call("GET", "/api/auth/me", token=admin)).json["user"]["id"]
    assert (await site.call("PATCH", f"/api/auth/users/{me}", {"disabled": True}, token=admin)).status == 409
    admin = (await site.log_in("root@example.com")).json["accessToken"]
    assert (await site.call("POST", f"/api/auth/users/{me}/erase", token=admin)).code == "last_admin"


async def test_an_admin_sees_and_ends_the_logins_of_a_user(site: Guarded) -> None:
    admin, ada = await site.token("admin"), await site.register()
    path = f"/api/auth/users/{ada['user']['id']}/sessions"
    assert len((await site.call("GET", path, token=admin)).json["items"]) == 1
    assert (await site.call("DELETE", path, token=admin)).json == {"ended": 1}
    assert (await site.call("GET", "/api/auth/me", token=ada["accessToken"])).status == 401
    assert (await site.call("GET", "/api/auth/users/nobody/sessions", token=admin)).status == 404
    for role in ("customer", "staff"):
        assert (await site.call("GET", path, token=await site.token(role))).status == 403


async def test_an_erased_account_leaves_no_trace_of_the_person(site: Guarded) -> None:
    ada = await site.register("ada@example.com", "Ada Lovelace")
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    wrong = await site.call("POST", "/api/auth/account/erase", {"password": "a guess"}, token=ada["accessToken"])
    assert (wrong.status, wrong.code) == (403, "wrong_password")
    erased = await site.call("POST", "/api/auth/account/erase", {"password": PASSWORD}, token=ada["accessToken"])
    assert erased.status == 204
    assert (await site.call("GET", "/api/auth/me", token=ada["accessToken"])).status == 401
    assert (await site.log_in("ada@example.com")).code == "bad_credentials"
    document = await site.database["users"].find_one({"_id": ada["user"]["id"]})
    assert "ada@" not in repr(document).lower()
    assert "lovelace" not in repr(document).lower()
    assert not {"resetPasswordToken", "verificationToken"} & document.keys()
    assert not await site.redis.keys("known:*")
    forged = await site.log_in(document["email"], "nobody has this password")
    assert (forged.status, forged.code) == (401, "bad_credentials")
    assert (await site.register("ada@example.com"))["user"]["id"] != ada["user"]["id"]


async def test_the_owner_takes_along_what_the_shop_knows(site: Guarded) -> None:
    ada = await site.register()
    wrong = await site.call("POST", "/api/auth/account/export", {"password": "a guess"}, token=ada["accessToken"])
    assert wrong.code == "wrong_password"
    found = await site.call("POST", "/api/auth/account/export", {"password": PASSWORD}, token=ada["accessToken"])
    assert found.status == 200
    assert found.json["account"]["email"] == "ada@example.com"
    assert [session["current"] for session in found.json["sessions"]] == [True]
    assert "hash" not in found.text.lower()


async def test_orders_are_exported_and_survive_the_person(shop: Shop) -> None:
    now, database = shop.clock.now(), shop.stores.database
    await UserRepository(database).add(User("ada", "ada@example.com", "Ada", "customer", "-", now, now, True))
    await shops.stock(shop, TEA=3, CUP=0)
    order = await shops.buy(shop, "ada", TEA=1)
    background = bootstrap.background(shop)
    await background.wishlists.put("ada", "CUP", notify=True)
    front = bootstrap.http_edge(shop)
    records = await front.auth.personal_data.of("ada")
    assert [(one["id"], one["userId"]) for one in records["orders"]] == [(order.id, "ada")]
    assert [one["sku"] for one in records["wishlist"]] == ["CUP"]
    assert [one["email"] for one in records["notices"]] == ["ada@example.com"]
    await front.auth.accounts.erase("ada")
    await background.relay.relay()
    after = await front.auth.personal_data.of("ada")
    assert [one["id"] for one in after["orders"]] == [order.id]
    assert (after["wishlist"], after["notices"], after["cart"]) == ([], [], [])
    front.auth.passwords.close()
    await background.close()


async def test_whoever_has_the_machine_resets_a_second_factor_on_record(shop: Shop) -> None:
    now, users = shop.clock.now(), shop.stores.database["users"]
    await UserRepository(shop.stores.database).add(User("ada", "ada@example.com", "Ada", "admin", "-", now, now, True))
    await users.update_one({"_id": "ada"}, {"$set": {"secondFactor": {"secret": "-", "recovery": [], "lastStep": 0}}})
    found = await commands._reset_second_factor(shop, "ADA@example.com")
    assert found
    assert found.id == "ada"
    assert "secondFactor" not in await users.find_one({"_id": "ada"})
    (entry,) = await shop.audit_log.find({"target": "/api/auth/users/ada"}, None, 10)
    assert entry["action"] == "holdfast admin reset-second-factor"
    assert await commands._reset_second_factor(shop, "nobody@example.com") is None
