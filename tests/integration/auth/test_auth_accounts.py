"""Accounts over HTTP: the contract of /api/auth, on the real stores."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator

import pytest
import shops
from secured_app import PASSWORD, Guarded, guarded

from service.auth.models import Device, WeakPassword
from service.config import Config
from service.email_address import BadAddress


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(config, clock) as opened:
        yield opened


async def test_registering_logs_in_and_says_who_one_is(site: Guarded) -> None:
    made = await site.register("ada@example.com", "Ada Lovelace")
    assert set(made) == {"user", "accessToken", "refreshToken", "expiresIn"}
    assert made["expiresIn"] == 900
    me = await site.call("GET", "/api/auth/me", token=made["accessToken"])
    assert me.status == 200
    assert me.json["user"] | {"id": "", "createdAt": ""} == {
        "id": "",
        "email": "ada@example.com",
        "name": "Ada Lovelace",
        "role": "customer",
        "emailVerified": False,
        "disabled": False,
        "secondFactor": False,
        "createdAt": "",
    }


async def test_an_address_has_one_account_whatever_the_case_of_its_letters(site: Guarded) -> None:
    await site.register("ada@example.com")
    answer = await site.call(
        "POST", "/api/auth/register", {"email": "ADA@Example.com", "password": PASSWORD, "name": "Ada"}
    )
    assert (answer.status, answer.code) == (409, "email_taken")
    assert (await site.log_in("Ada@EXAMPLE.com")).status == 200


async def test_of_twenty_simultaneous_registrations_one_gets_the_address(site: Guarded) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
    answers = await asyncio.gather(*(site.call("POST", "/api/auth/register", body) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    assert await site.database["users"].count_documents({}) == 1


async def test_an_address_is_one_however_it_is_typed_at_every_entrance(site: Guarded) -> None:
    made = await site.register(" user@M\u00fcnchen.de ")
    assert made["user"]["email"] == "user@m\u00fcnchen.de"
    taken = {"email": "user@xn--mnchen-3ya.de", "password": PASSWORD, "name": "U"}
    assert (await site.call("POST", "/api/auth/register", taken)).code == "email_taken"
    assert (await site.log_in("USER@xn--mnchen-3ya.de ")).status == 200
    await site.call("POST", "/api/auth/password/forgot", {"email": "user@xn--mnchen-3ya.de"})
    assert await site.mailed_token("password_reset", "user@m\u00fcnchen.de")


async def test_a_typo_in_an_address_is_answered_with_a_sentence_at_every_entrance(site: Guarded) -> None:
    body = {"email": "ada@example", "password": PASSWORD, "name": "Ada"}
    for path, fields in (("register", {*body}), ("login", {"email", "password"}), ("password/forgot", {"email"})):
        wrong = body if path == "register" else {name: body[name] for name in fields} | {"email": "ada.example.com"}
        answer = await site.call("POST", f"/api/auth/{path}", wrong)
        assert answer.status == 422
        assert answer.json["errors"] == [
            {"path": "email", "message": "Enter an e-mail address like ada@example.com"}
        ], path


async def test_a_password_of_the_commonest_is_refused_at_every_entrance(site: Guarded) -> None:
    body = {"email": "ada@example.com", "password": "Password1", "name": "Ada"}
    assert (await site.call("POST", "/api/auth/register", body)).code == "weak_password"
    made = await site.register("ada@example.com")
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    reset = {"token": await site.mailed_token("password_reset", "ada@example.com"), "password": "qwertyuiop"}
    assert (await site.call("POST", "/api/auth/password/reset", reset)).code == "weak_password"
    change = {"currentPassword": PASSWORD, "newPassword": "iloveyou1"}
    answer = await site.call("POST", "/api/auth/password/change", change, token=made["accessToken"])
    assert (answer.status, answer.code) == (422, "weak_password")
    with pytest.raises(WeakPassword):
        await site.accounts.create_admin("root@example.com", "administrator")
    with pytest.raises(BadAddress):
        await site.accounts.create_admin("root", PASSWORD)


async def test_a_login_with_the_same_letters_as_other_bytes_is_let_in(site: Guarded) -> None:
    body = {"email": "ada@example.com", "password": "cr\u00e8me br\u00fbl\u00e9e!", "name": "Ada"}
    assert (await site.call("POST", "/api/auth/register", body)).status == 201
    assert (await site.log_in(password=unicodedata.normalize("NFD", body["password"]))).status == 200


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(site: Guarded) -> None:
    await site.register("ada@example.com")
    wrong = await site.log_in("ada@example.com", "not the password")
    unknown = await site.log_in("bob@example.com", "not the password")
    assert (wrong.status, wrong.code) == (unknown.status, unknown.code) == (401, "bad_credentials")
    strip = {"requestId": "", "instance": ""}
    assert wrong.json | strip == unknown.json | strip


BAD_REGISTRATIONS = [
    {"email": "no-at-sign"},
    {"email": "ada@example.com\nBcc: eve@example.com"},
    {"email": "ada@example"},
    {"email": "a" * 250 + "@example.com"},
    {"email": {"$gt": ""}},
    {"email": ["ada@example.com"]},
    {"password": "short"},
    {"password": "x" * 257},
    {"password": 12345678},
    {"name": ""},
    {"name": "   "},
    {"name": "<script>"},
    {"name": "a\u0000b"},
    {"role": "admin"},
]


async def test_a_registration_with_a_bad_field_is_refused_and_leaves_nothing(site: Guarded) -> None:
    for change in BAD_REGISTRATIONS:
        body = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"} | change
        answer = await site.call("POST", "/api/auth/register", body)
        assert answer.status in {400, 422}, (change, answer.text)
    assert await site.database["users"].count_documents({}) == 0


async def test_a_password_that_anybody_would_try_first_is_refused(site: Guarded) -> None:
    for password in ["ada@example.com", "aaaaaaaaaaaa", "Ada-Lovelace"]:
        body = {"email": "ada@example.com", "password": password, "name": "Ada-Lovelace"}
        answer = await site.call("POST", "/api/auth/register", body)
        assert (answer.status, answer.code) == (422, "weak_password")


async def test_logging_out_ends_the_access_token_at_once(site: Guarded) -> None:
    made = await site.register()
    assert (await site.call("POST", "/api/auth/logout", token=made["accessToken"])).status == 204
    me = await site.call("GET", "/api/auth/me", token=made["accessToken"])
    assert (me.status, me.code) == (401, "unauthenticated")
    again = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert (again.status, again.code) == (401, "bad_refresh_token")
    assert not await site.redis.keys("session:*")


async def test_an_expired_access_token_is_refused_and_refreshed(site: Guarded, clock: shops.MovableClock) -> None:
    made = await site.register()
    clock.advance(901)
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 401
    fresh = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert fresh.status == 200
    assert (await site.call("GET", "/api/auth/me", token=fresh.json["accessToken"])).status == 200


async def test_a_refresh_token_used_again_ends_the_session_and_all_that_came_from_it(
    site: Guarded, clock: shops.MovableClock
) -> None:
    made = await site.register()
    second = (await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})).json
    clock.advance(11)
    third = (await site.call("POST", "/api/auth/refresh", {"refreshToken": second["refreshToken"]})).json
    reused = await site.call("POST", "/api/auth/refresh", {"refreshToken": made["refreshToken"]})
    assert (reused.status, reused.code) == (401, "token_reused")
    assert (await site.call("GET", "/api/auth/me", token=third["accessToken"])).status == 401
    after = await site.call("POST", "/api/auth/refresh", {"refreshToken": third["refreshToken"]})
    assert (after.status, after.code) == (401, "bad_refresh_token")
    assert site.events("token_reused") == 1


async def test_two_tabs_that_refresh_at_once_are_given_the_same_successor(
    site: Guarded, clock: shops.MovableClock
) -> None:
    made = await site.register()
    body = {"refreshToken": made["refreshToken"]}
    answers = await asyncio.gather(*(site.call("POST", "/api/auth/refresh", body) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    successors = {answer.json["refreshToken"] for answer in answers}
    assert len(successors) == 1
    clock.advance(11)
    assert (await site.call("POST", "/api/auth/refresh", {"refreshToken": successors.pop()})).status == 200


async def test_the_second_tab_has_ten_seconds_and_no_more(site: Guarded, clock: shops.MovableClock) -> None:
    made = await site.register()
    body = {"refreshToken": made["refreshToken"]}
    assert (await site.call("POST", "/api/auth/refresh", body)).status == 200
    clock.advance(9)
    assert (await site.call("POST", "/api/auth/refresh", body)).status == 200
    clock.advance(2)
    late = await site.call("POST", "/api/auth/refresh", body)
    assert (late.status, late.code) == (401, "token_reused")


async def test_a_forged_refresh_token_is_refused_and_ends_nobodys_session(site: Guarded) -> None:
    made = await site.register()
    session_id, _, mac = made["refreshToken"].split(".")
    for forge in ["garbage", "a.1.b", "..", "{id}.1.AAAA", "{id}.2.{mac}", "{id}.-1.{mac}", "{id}.１.{mac}"]:
        token = forge.format(id=session_id, mac=mac)
        answer = await site.call("POST", "/api/auth/refresh", {"refreshToken": token})
        assert (answer.status, answer.code) == (401, "bad_refresh_token")
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 200


async def test_logins_are_listed_and_ended_by_their_owner_alone(site: Guarded) -> None:
    first = await site.register("ada@example.com")
    second = (await site.log_in("ada@example.com")).json
    other = await site.register("bob@example.com", "Bob")
    listed = (await site.call("GET", "/api/auth/sessions", token=first["accessToken"])).json["items"]
    assert [item["current"] for item in listed] == [False, True]
    assert {item["address"] for item in listed} == {"127.0.0.1"}
    newer = listed[0]["id"]
    end = {"password": PASSWORD, "sessionId": newer}
    foreign = await site.call("POST", "/api/auth/sessions/end", end, token=other["accessToken"])
    assert (foreign.status, foreign.code) == (404, "session_not_found")
    assert (await site.call("GET", "/api/auth/me", token=second["accessToken"])).status == 200
    guess = await site.call("POST", "/api/auth/sessions/end", end | {"password": "x"}, token=first["accessToken"])
    assert (guess.status, guess.code) == (403, "wrong_password")
    assert (await site.call("POST", "/api/auth/sessions/end", end, token=first["accessToken"])).json == {"ended": 1}
    assert (await site.call("GET", "/api/auth/me", token=second["accessToken"])).status == 401
    assert (await site.call("GET", "/api/auth/me", token=first["accessToken"])).status == 200


async def test_all_other_logins_can_be_ended_at_once(site: Guarded) -> None:
    first = await site.register()
    others = [(await site.log_in()).json for _ in range(3)]
    answer = await site.call("POST", "/api/auth/sessions/end", {"password": PASSWORD}, token=first["accessToken"])
    assert (answer.status, answer.json) == (200, {"ended": 3})
    for other in others:
        assert (await site.call("GET", "/api/auth/me", token=other["accessToken"])).status == 401
    assert (await site.call("GET", "/api/auth/me", token=first["accessToken"])).status == 200


async def test_an_address_is_verified_once_with_the_mailed_token(site: Guarded) -> None:
    made = await site.register("ada@example.com")
    token = await site.mailed_token("email_verification", "ada@example.com")
    assert (await site.call("POST", "/api/auth/email/verify", {"token": token})).status == 204
    me = await site.call("GET", "/api/auth/me", token=made["accessToken"])
    assert me.json["user"]["emailVerified"] is True
    again = await site.call("POST", "/api/auth/email/verify", {"token": token})
    assert (again.status, again.code) == (422, "bad_token")


async def test_only_the_newest_verification_mail_works_and_mails_have_a_limit(site: Guarded) -> None:
    made = await site.register("ada@example.com")
    old = await site.mailed_token("email_verification", "ada@example.com")
    statuses = [
        (await site.call("POST", "/api/auth/email/verification", token=made["accessToken"])).status for _ in range(6)
    ]
    assert statuses == [202] * 5 + [429]
    assert (await site.call("POST", "/api/auth/email/verify", {"token": old})).status == 422
    new = await site.mailed_token("email_verification", "ada@example.com")
    assert (await site.call("POST", "/api/auth/email/verify", {"token": new})).status == 204


async def test_asking_for_a_new_password_never_says_whether_there_is_an_account(site: Guarded) -> None:
    await site.register("ada@example.com")
    known = await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    unknown = await site.call("POST", "/api/auth/password/forgot", {"email": "bob@example.com"})
    assert (known.status, known.text) == (unknown.status, unknown.text) == (202, "")


async def test_a_reset_sets_the_password_once_and_ends_every_session(site: Guarded) -> None:
    made = await site.register("ada@example.com")
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    token = await site.mailed_token("password_reset", "ada@example.com")
    body = {"token": token, "password": "another good password"}
    answers = await asyncio.gather(*(site.call("POST", "/api/auth/password/reset", body) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [204] + [422] * 4
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 401
    assert (await site.log_in("ada@example.com")).status == 401
    assert (await site.log_in("ada@example.com", "another good password")).status == 200


async def test_a_reset_link_expires(site: Guarded, clock: shops.MovableClock) -> None:
    await site.register("ada@example.com")
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    token = await site.mailed_token("password_reset", "ada@example.com")
    clock.advance(3_601)
    answer = await site.call("POST", "/api/auth/password/reset", {"token": token, "password": "another password"})
    assert (answer.status, answer.code) == (422, "bad_token")


async def test_no_token_of_a_mail_is_stored_anywhere(site: Guarded) -> None:
    await site.register("ada@example.com")
    await site.call("POST", "/api/auth/password/forgot", {"email": "ada@example.com"})
    token = await site.mailed_token("password_reset", "ada@example.com")
    for name in await site.database.list_collection_names():
        for document in await site.database[name].find().to_list(None):
            assert token not in repr(document), name
    assert PASSWORD not in repr(await site.database["users"].find().to_list(None))


async def test_changing_the_password_needs_the_old_one_and_ends_the_other_sessions(site: Guarded) -> None:
    made = await site.register()
    other = (await site.log_in()).json
    wrong = {"currentPassword": "not the password", "newPassword": "another good password"}
    answer = await site.call("POST", "/api/auth/password/change", wrong, token=made["accessToken"])
    assert (answer.status, answer.code) == (403, "wrong_password")
    right = {"currentPassword": PASSWORD, "newPassword": "another good password"}
    assert (await site.call("POST", "/api/auth/password/change", right, token=made["accessToken"])).status == 204
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 200
    assert (await site.call("GET", "/api/auth/me", token=other["accessToken"])).status == 401
    assert (await site.log_in(password="another good password")).status == 200


async def test_a_password_change_during_a_login_leaves_no_session_with_the_old_one(site: Guarded) -> None:
    made = await site.register()
    user = await site.auth.get(made["user"]["id"])  # as a login read it, before the change
    await site.auth.change_password(user.id, "", PASSWORD, "another good password", device())
    with pytest.raises(Exception, match="changed during the login"):
        await site.auth._open_session(user, device())
    assert await site.auth.sessions(user.id) == []


async def test_failed_logins_lock_the_account_for_longer_and_longer(site: Guarded, clock: shops.MovableClock) -> None:
    await site.register()
    for _ in range(6):
        assert (await site.log_in(password="wrong")).status == 401
    waits = []
    for _ in range(4):
        locked = await site.log_in()  # even the right password waits
        assert (locked.status, locked.code) == (429, "login_locked")
        waits.append(int(locked.headers["Retry-After"]))
        clock.advance(waits[-1])
        assert (await site.log_in(password="wrong")).status == 401
    assert waits == sorted(waits)
    assert waits[-1] >= 8 * waits[0] - 8
    clock.advance(900)
    assert (await site.log_in()).status == 200
    assert (await site.log_in(password="wrong")).status == 401  # and the count begins anew


async def test_an_account_that_does_not_exist_locks_the_same_way(site: Guarded) -> None:
    statuses = [(await site.log_in("nobody@example.com", "wrong")).status for _ in range(8)]
    assert statuses == [401] * 6 + [429] * 2


async def test_a_burst_of_guesses_gets_no_more_tries_than_slow_ones(site: Guarded) -> None:
    await site.register()
    answers = await asyncio.gather(*(site.log_in(password=f"guess {n}") for n in range(20)))
    assert sorted(answer.status for answer in answers) == [401] * 6 + [429] * 14


async def test_an_admin_finds_a_user_by_address_and_changes_the_role_at_once(site: Guarded) -> None:
    admin = await site.token("admin")
    ada = await site.register("ada@example.com")
    found = await site.call("GET", "/api/auth/users?email=ADA@example.com", token=admin)
    assert [user["id"] for user in found.json["items"]] == [ada["user"]["id"]]
    assert (await site.call("GET", "/api/probe/staff", token=ada["accessToken"])).status == 403
    path = f"/api/auth/users/{ada['user']['id']}"
    changed = await site.call("PATCH", path, {"role": "staff"}, token=admin)
    assert (changed.status, changed.json["user"]["role"]) == (200, "staff")
    assert (await site.call("GET", "/api/probe/staff", token=ada["accessToken"])).status == 200
    await site.call("PATCH", path, {"role": "customer"}, token=admin)
    assert (await site.call("GET", "/api/probe/staff", token=ada["accessToken"])).status == 403


async def test_users_are_listed_newest_first_page_by_page(site: Guarded) -> None:
    admin = await site.token("admin")
    made = [(await site.register(f"u{n}@example.com"))["user"]["id"] for n in range(5)]
    first = (await site.call("GET", "/api/auth/users?limit=4", token=admin)).json
    rest = (await site.call("GET", f"/api/auth/users?limit=4&cursor={first['nextCursor']}", token=admin)).json
    listed = [user["id"] for user in first["items"] + rest["items"]]
    assert listed[:5] == made[::-1]
    assert rest["nextCursor"] is None
    admins = (await site.call("GET", "/api/auth/users?role=admin", token=admin)).json["items"]
    assert [user["role"] for user in admins] == ["admin"]


async def test_two_admins_who_demote_each_other_at_once_leave_one(site: Guarded) -> None:
    people = [await site.accounts.create_admin(f"root{n}@example.com", PASSWORD) for n in range(2)]
    outcomes = await asyncio.gather(
        *(site.accounts.change_role(person.id, "customer") for person in people), return_exceptions=True
    )
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert await site.database["users"].count_documents({"role": "admin"}) == 1


async def test_creating_an_admin_again_gives_that_user_the_role_and_the_password(site: Guarded) -> None:
    made = await site.register("ada@example.com")
    await site.accounts.create_admin("ADA@example.com", "the password of an admin")
    assert (await site.call("GET", "/api/auth/me", token=made["accessToken"])).status == 401
    logged_in = await site.log_in("ada@example.com", "the password of an admin")
    assert logged_in.json["user"]["role"] == "admin"


def device() -> Device:
    return Device("127.0.0.1", "a test")
