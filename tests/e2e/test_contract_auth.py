"""/api/auth, row by row."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from api import PASSWORD, Api


def address() -> str:
    return f"ada-{uuid4().hex[:12]}@example.org"


def test_registering_answers_with_a_user_and_tokens(nobody: Api):
    email = address()
    made = nobody.post("/api/auth/register", {"email": email, "password": PASSWORD, "name": "Ada"})
    assert made.status == 201
    assert {"user", "accessToken", "refreshToken", "expiresIn"} <= set(made.json)
    assert made.json["user"]["email"] == email
    assert made.json["user"]["role"] == "customer"
    assert "password" not in made.body.decode().lower()


def test_an_address_is_registered_once(nobody: Api):
    body = {"email": address(), "password": PASSWORD, "name": "Ada"}
    assert nobody.post("/api/auth/register", body).status == 201
    for again in (body["email"], body["email"].upper()):
        refused = nobody.post("/api/auth/register", {**body, "email": again})
        assert (refused.status, refused.code) == (409, "email_taken")


@pytest.mark.parametrize(
    "wrong",
    [{"email": "no address"}, {"password": "short"}, {"name": ""}, {"role": "admin"}, {"email": None}],
    ids=["not an address", "a short password", "no name", "a role of one's own choice", "no e-mail"],
)
def test_a_wrong_registration_is_refused_field_by_field(nobody: Api, wrong: dict):
    refused = nobody.post("/api/auth/register", {"email": address(), "password": PASSWORD, "name": "Ada", **wrong})
    assert refused.status == 422
    assert refused.json["errors"]


def test_logging_in_answers_the_same_shape_and_sets_httponly_cookies(nobody: Api, customer: Api):
    answer = nobody.post("/api/auth/login", {"email": customer.user["email"], "password": PASSWORD})
    assert answer.status == 200
    assert answer.json["user"] == customer.user
    assert {"accessToken", "refreshToken", "expiresIn"} <= set(answer.json)
    assert len(answer.cookies) >= 2
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite" in answer.headers["set-cookie"].lower()


def test_a_wrong_password_and_an_unknown_address_look_the_same(nobody: Api, customer: Api):
    answers = [
        nobody.post("/api/auth/login", {"email": email, "password": "not the password"})
        for email in (customer.user["email"], address())
    ]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].code == answers[1].code
    assert answers[0].json["detail"] == answers[1].json["detail"]


def test_me_is_who_the_token_says(customer: Api, nobody: Api):
    me = customer.get("/api/auth/me")
    assert (me.status, me.json["user"]) == (200, customer.user)
    assert set(me.json["user"]) >= {"id", "email", "name", "role"}
    assert nobody.get("/api/auth/me").status == 401


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "", "é"], ids=["a word", "three parts", "nothing", "not ASCII"])
def test_a_token_that_is_none_of_ours_is_refused(nobody: Api, token: str):
    refused = nobody.get("/api/auth/me", headers={"Authorization": f"Bearer {token}".encode()})
    assert refused.status == 401
    assert "www-authenticate" in refused.headers


def test_refreshing_rotates_and_an_old_token_ends_the_whole_family(nobody: Api):
    first = nobody.post("/api/auth/register", {"email": address(), "password": PASSWORD, "name": "Ada"}).json
    second = nobody.post("/api/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert second.status == 200
    assert second.json["refreshToken"] != first["refreshToken"]
    third = nobody.post("/api/auth/refresh", {"refreshToken": second.json["refreshToken"]})
    assert third.status == 200
    reused = nobody.post("/api/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert (reused.status, reused.code) == (401, "token_reused")
    after = nobody.post("/api/auth/refresh", {"refreshToken": third.json["refreshToken"]})
    assert after.status == 401
    assert Api(nobody.url, nobody.document, third.json["accessToken"]).get("/api/auth/me").status == 401


def test_refreshing_with_the_cookie_works_as_with_the_body(nobody: Api, customer: Api):
    browser = nobody.anonymous()
    browser.post("/api/auth/login", {"email": customer.user["email"], "password": PASSWORD}, keep_cookies=True)
    token = browser.get("/api/auth/csrf").json["csrfToken"]
    refreshed = browser.post("/api/auth/refresh", {}, headers={"X-CSRF-Token": token}, keep_cookies=True)
    assert refreshed.status == 200
    assert browser.get("/api/auth/me").status == 200


def test_a_refresh_token_that_is_none_is_refused(nobody: Api):
    assert nobody.post("/api/auth/refresh", {"refreshToken": "nonsense"}).status in {401, 422}
    assert nobody.post("/api/auth/refresh", {}).status == 401


def test_logging_out_stops_the_access_token_at_once(customer: Api):
    assert customer.post("/api/auth/logout").status == 204
    assert customer.get("/api/auth/me").status == 401
    assert customer.post("/api/auth/logout").status == 401


def test_under_cookies_what_changes_something_needs_the_csrf_token(nobody: Api, customer: Api):
    browser = nobody.anonymous()
    browser.post("/api/auth/login", {"email": customer.user["email"], "password": PASSWORD}, keep_cookies=True)
    assert browser.get("/api/auth/me").status == 200
    token = browser.get("/api/auth/csrf").json["csrfToken"]
    for wrong in ({}, {"X-CSRF-Token": "nonsense"}, {"X-CSRF-Token": token[:-2] + "AA"}):
        refused = browser.post("/api/auth/logout", headers=wrong)
        assert (refused.status, refused.code) == (403, "csrf_failed")
    assert browser.get("/api/auth/me").status == 200, "nothing was changed"
    assert browser.post("/api/auth/logout", headers={"X-CSRF-Token": token}).status == 204
    assert browser.get("/api/auth/me").status == 401


def test_a_page_of_another_site_cannot_use_the_cookies(nobody: Api, customer: Api):
    browser = nobody.anonymous()
    browser.post("/api/auth/login", {"email": customer.user["email"], "password": PASSWORD}, keep_cookies=True)
    token = browser.get("/api/auth/csrf").json["csrfToken"]
    headers = {"X-CSRF-Token": token, "Origin": "https://evil.example"}
    assert browser.post("/api/auth/logout", headers=headers).status == 403


def test_a_bearer_request_needs_no_csrf_token(customer: Api):
    assert customer.post("/api/auth/logout").status == 204


def test_a_forgotten_password_is_answered_the_same_for_everybody(nobody: Api, customer: Api):
    for email in (customer.user["email"], address()):
        answer = nobody.post("/api/auth/password/forgot", {"email": email})
        assert (answer.status, answer.body) == (202, b"")


def test_a_reset_token_that_was_never_sent_is_refused(nobody: Api):
    refused = nobody.post("/api/auth/password/reset", {"token": "x" * 43, "password": PASSWORD + "!"})
    assert refused.status == 422


def test_only_an_admin_looks_users_up_and_gives_roles(admin: Api, staff: Api, customer: Api, nobody: Api):
    for caller, status in ((nobody, 401), (customer, 403), (staff, 403)):
        assert caller.get("/api/auth/users", email=customer.user["email"]).status == status
        assert caller.patch(f"/api/auth/users/{customer.user['id']}", {"role": "staff"}).status == status
    found = admin.get("/api/auth/users", email=customer.user["email"])
    assert found.status == 200
    assert customer.user["id"] in found.body.decode()
    changed = admin.patch(f"/api/auth/users/{customer.user['id']}", {"role": "staff"})
    assert (changed.status, changed.json["user"]["role"]) == (200, "staff")
    assert admin.patch("/api/auth/users/nobody", {"role": "staff"}).status == 404
    assert admin.patch(f"/api/auth/users/{customer.user['id']}", {"role": "king"}).status == 422


def test_of_many_refreshes_at_once_the_session_survives(nobody: Api):
    """Two tabs refresh together: neither is thrown out, and at most one new token family grows from it."""
    first = nobody.post("/api/auth/register", {"email": address(), "password": PASSWORD, "name": "Ada"}).json
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: nobody.post("/api/auth/refresh", {"refreshToken": first["refreshToken"]}), range(4))
        )
    assert 200 in {answer.status for answer in answers}
    assert {answer.status for answer in answers} <= {200, 401}
