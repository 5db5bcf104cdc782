"""The layers over HTTP: their order, what each refuses, and the headers of every answer."""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import shops
from secured_app import PASSWORD, Answer, Guarded, guarded

from service.config import Config
from service.errors import TooMany
from service.web.http.access import Access
from service.web.security.headers import JSON_CSP, security_headers


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[Guarded]:
    async with guarded(replace(config, cors_origins="https://shop.example"), clock) as opened:
        yield opened


async def cookies_of(site: Guarded) -> tuple[dict[str, str], str]:
    """A logged-in browser's cookies and its CSRF token."""
    await site.register()
    cookies = (await site.log_in()).cookies
    token = await site.call("GET", "/api/auth/csrf", cookies=cookies)
    return cookies, token.json["csrfToken"]


async def test_every_role_enters_where_it_may_and_nowhere_else(site: Guarded) -> None:
    tokens = {"": "", **{role: await site.token(role) for role in ("customer", "staff", "admin")}}
    ranks = {"": Access.PUBLIC, "customer": Access.CUSTOMER, "staff": Access.STAFF, "admin": Access.ADMIN}
    for access in Access:
        for role, token in tokens.items():
            for method in ("GET", "POST"):
                answer = await site.call(
                    method, f"/api/probe/{access.name.lower()}", {} if method == "POST" else None, token
                )
                expected = 200 if ranks[role] >= access else 403 if role else 401
                assert answer.status == expected, (access, role, method)


async def test_a_public_route_knows_a_caller_who_shows_a_good_token_and_ignores_a_bad_one(site: Guarded) -> None:
    made = await site.register()
    known = await site.call("GET", "/api/probe/public", token=made["accessToken"])
    assert known.json["caller"] == made["user"]["id"]
    unknown = await site.call("GET", "/api/probe/public", token="garbage")
    assert (unknown.status, unknown.json["caller"]) == (200, None)


async def test_a_route_that_keeps_something_for_its_caller_refuses_a_bad_token(site: Guarded) -> None:
    assert (await site.call("POST", "/api/probe/guest", {})).status == 200
    assert (await site.call("POST", "/api/probe/guest", {}, token="garbage")).status == 401


async def test_a_bearer_token_is_judged_alone_whatever_cookies_come_along(site: Guarded) -> None:
    cookies, _ = await cookies_of(site)
    answer = await site.call("GET", "/api/auth/me", token="garbage", cookies=cookies)
    assert answer.status == 401


async def test_no_other_credential_is_taken(site: Guarded) -> None:
    for value in ("Basic YWRhOnB3", "Bearer", "Bearer ", "bearer\tx", "Bearer a b", "Bearer " + "x" * 5_000):
        answer = await site.call("GET", "/api/auth/me", headers={"Authorization": value})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_two_authorization_headers_are_none(site: Guarded) -> None:
    made = await site.register()
    line = f"Authorization: Bearer {made['accessToken']}\r\n"
    request = f"GET /api/auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}"
    assert (await site.raw((request + "\r\n").encode())).startswith(b"HTTP/1.1 200")
    assert (await site.raw((request + line + "\r\n").encode())).startswith(b"HTTP/1.1 401")


async def test_unsafe_requests_by_cookie_need_the_sessions_token(site: Guarded) -> None:
    cookies, token = await cookies_of(site)
    assert (await site.call("GET", "/api/auth/me", cookies=cookies)).status == 200
    without = await site.call("POST", "/api/probe/customer", {}, cookies=cookies)
    assert (without.status, without.code) == (403, "csrf_failed")
    shown = {"X-CSRF-Token": token}
    assert (await site.call("POST", "/api/probe/customer", {}, cookies=cookies, headers=shown)).status == 200
    other = (await site.log_in()).cookies
    foreign = await site.call("POST", "/api/probe/customer", {}, cookies=other, headers=shown)
    assert (foreign.status, foreign.code) == (403, "csrf_failed")
    assert site.events("csrf_failed") == 2


async def test_a_guest_route_asks_a_logged_in_browser_for_the_token_and_a_guest_for_none(site: Guarded) -> None:
    cookies, token = await cookies_of(site)
    assert (await site.call("POST", "/api/probe/guest", {})).status == 200
    assert (await site.call("POST", "/api/probe/guest", {}, cookies=cookies)).status == 403
    answer = await site.call("POST", "/api/probe/guest", {}, cookies=cookies, headers={"X-CSRF-Token": token})
    assert answer.status == 200


async def test_a_bearer_request_needs_no_token(site: Guarded) -> None:
    made = await site.register()
    assert (await site.call("POST", "/api/probe/customer", {}, token=made["accessToken"])).status == 200


async def test_a_browser_refreshes_and_logs_out_by_cookie_with_the_token(
    site: Guarded, clock: shops.MovableClock
) -> None:
    cookies, token = await cookies_of(site)
    clock.advance(901)  # the access cookie has expired; the refresh cookie still names the session
    refused = await site.call("POST", "/api/auth/refresh", {}, cookies=cookies)
    assert (refused.status, refused.code) == (403, "csrf_failed")
    shown = {"X-CSRF-Token": (await site.call("GET", "/api/auth/csrf", cookies=cookies)).json["csrfToken"]}
    fresh = await site.call("POST", "/api/auth/refresh", {}, cookies=cookies, headers=shown)
    assert fresh.status == 200
    assert set(fresh.json) == {"user", "expiresIn"}, "what a cookie brought, no script is given"
    gone = await site.call("POST", "/api/auth/logout", cookies=fresh.cookies, headers={"X-CSRF-Token": token})
    assert (gone.status, gone.cookies) == (204, {"access": "", "refresh": "", "csrf": ""})


async def test_a_page_of_another_site_can_not_even_log_its_visitor_in(site: Guarded) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = await site.call("POST", "/api/auth/login", body, headers=headers)
        assert (answer.status, answer.code) == (403, "csrf_failed")
    allowed = await site.call("POST", "/api/auth/login", body, headers={"Origin": "https://shop.example"})
    assert allowed.status == 401


async def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(site: Guarded, clock: shops.MovableClock) -> None:
    await site.register()
    plain = (await site.log_in()).headers.getall("Set-Cookie")
    assert all("HttpOnly" in cookie and "SameSite" in cookie and "Path=/" in cookie for cookie in plain)
    assert not any("__Host-" in cookie or "Secure" in cookie for cookie in plain)  # plain http, in development
    secure = replace(site.config, public_url="https://shop.example")
    async with guarded(secure, clock) as tls_site:
        for cookie in (await tls_site.log_in()).headers.getall("Set-Cookie"):
            assert re.match(
                r"__Host-(access|refresh|device)=[^;]+; Path=/; Max-Age=\d+; SameSite=(Lax|Strict); Secure; HttpOnly",
                cookie,
            )
            assert "Domain" not in cookie


async def test_a_cookie_given_twice_is_none(site: Guarded) -> None:
    cookies, _ = await cookies_of(site)
    header = {"Cookie": f"access={cookies['access']}; access=other"}
    assert (await site.call("GET", "/api/auth/me", headers=header)).status == 401


async def test_rate_limited_answers_say_what_is_left_and_when_to_come_again(site: Guarded) -> None:
    body = {"email": "nobody@example.com", "password": "wrong"}
    first = await site.call("POST", "/api/auth/login", body)
    assert first.headers["RateLimit-Policy"] == '"login-client-60";q=30;w=60, "login-client-3600";q=300;w=3600'
    assert re.fullmatch(r'"login-client-60";r=29;t=\d+', first.headers["RateLimit"])
    answers = await asyncio.gather(
        *(site.call("POST", "/api/auth/login", body | {"email": f"u{n}@example.com"}) for n in range(60))
    )
    limited = [answer for answer in answers if answer.status == 429]
    assert len(answers) - len(limited) == 29
    assert {answer.code for answer in limited} == {"rate_limited"}
    assert all(0 < int(answer.headers["Retry-After"]) <= 66 for answer in limited)
    assert all(re.fullmatch(r'"login-client-60";r=0;t=\d+', answer.headers["RateLimit"]) for answer in limited)
    assert (await site.call("GET", "/api/probe/public")).status == 200  # each class of routes by itself
    assert site.events("rate_limited") == 31


async def test_an_account_is_limited_wherever_it_calls_from(site: Guarded) -> None:
    async with guarded(replace(site.config, trusted_proxies="127.0.0.1"), shops.MovableClock()) as behind:
        made = await behind.register()
        answers = [
            await behind.call(
                "POST", "/api/probe/checkout", {}, made["accessToken"], headers={"X-Forwarded-For": f"198.51.100.{n}"}
            )
            for n in range(62)
        ]
        assert [answer.status for answer in answers] == [200] * 60 + [429] * 2
        other = await behind.token("customer")
        assert (await behind.call("POST", "/api/probe/checkout", {}, other)).status == 200


async def test_the_scale_multiplies_every_limit(site: Guarded, clock: shops.MovableClock) -> None:
    async with guarded(replace(site.config, rate_limit_scale=100), clock) as scaled:
        answer = await scaled.log_in("nobody@example.com", "wrong")
        assert answer.headers["RateLimit-Policy"].startswith('"login-client-60";q=3000;w=60')


async def test_the_layers_answer_in_their_order(site: Guarded) -> None:
    """One request that every layer would refuse, mended layer by layer: the first layer in the order speaks first."""
    cookies, _ = await cookies_of(site)
    ended = (await site.log_in()).cookies
    ended_csrf = (await site.call("GET", "/api/auth/csrf", cookies=ended)).json["csrfToken"]
    await site.auth.end_other_sessions((await site.call("GET", "/api/auth/me", cookies=cookies)).json["user"]["id"], "")
    body = {"$gt": ""}

    async def post(path: str, cookies: dict[str, str], token: str) -> Answer:
        return await site.call("POST", path, body, cookies=cookies, headers={"X-CSRF-Token": token})

    assert (await post("/api/probe/admin", ended, "bad")).code == "csrf_failed"
    assert (await post("/api/probe/admin", ended, ended_csrf)).code == "unauthenticated"
    live = (await site.log_in()).cookies
    live_csrf = (await site.call("GET", "/api/auth/csrf", cookies=live)).json["csrfToken"]
    assert (await post("/api/probe/admin", live, live_csrf)).code == "forbidden"
    assert (await post("/api/probe/customer", live, live_csrf)).code == "operator_refused"
    await asyncio.gather(*(site.log_in("x@example.com", "wrong") for _ in range(30)))
    limited = await site.call("POST", "/api/auth/login", body, headers={"Origin": "https://evil.example"})
    assert limited.code == "rate_limited"


async def test_operators_are_refused_in_body_query_and_path(site: Guarded) -> None:
    assert (await site.call("POST", "/api/probe/public", {"extra": {"a": {"$ne": 1}}})).code == "operator_refused"
    assert (await site.call("POST", "/api/probe/public", {"extra": {"a.b": 1}})).code == "operator_refused"
    assert (await site.call("POST", "/api/probe/public", {"unknown": 1})).code == "invalid"
    for query in ("q[$ne]=1", "$where=1", "q.x=1", "%24gt=1", "q%5B%24ne%5D=1"):
        assert (await site.call("GET", f"/api/probe/public?{query}")).status == 400, query
    for query in ("unknown=1", "q=1&q=2"):
        assert (await site.call("GET", f"/api/probe/public?{query}")).status == 422, query
    for query in ("q=%00", "q=a%0d%0ab", "q=%7f"):
        assert (await site.call("GET", f"/api/probe/public?{query}")).status == 400, query
    assert (await site.call("GET", "/api/probe/public?q=%24ne")).status == 200  # a value is only text
    assert (await site.raw(b"GET /api/probe/public%00 HTTP/1.1\r\nHost: x\r\n\r\n", 0.3)).startswith(b"HTTP/1.1 40")
    assert site.events("operator_refused") == 7


BODIES = [
    ("text/plain", b'{"text": "a"}', 415),
    ("application/x-www-form-urlencoded", b"text=a", 415),
    ("", b'{"text": "a"}', 415),
    ("application/json; charset=utf-8", b'{"text": "a"}', 200),
    ("APPLICATION/JSON", b"{}", 200),
    ("application/json", b"", 400),
    ("application/json", b"{", 400),
    ("application/json", b'{"text": "\xff"}', 400),
    ("application/json", b'{"text": "\\ud800"}', 400),
    ("application/json", b'{"extra": NaN}', 400),
    ("application/json", b'{"extra": 1e999}', 422),
    ("application/json", b'{"text": 1}', 422),
    ("application/json", b"[]", 422),
    ("application/json", b"[" * 60_000, 400),
    ("application/json", b'{"text": "a", "text": "b"}', 400),
    ("application/json", b'{"text": "' + b"x" * 1_100_000 + b'"}', 413),
]


async def test_a_body_is_json_of_the_declared_shape_or_refused(site: Guarded) -> None:
    for content_type, body, status in BODIES:
        headers = {"Content-Type": content_type} if content_type else {}
        options = {"headers": headers, "skip_auto_headers": ["Content-Type"]}
        async with site.client.post("/api/probe/public", data=io.BytesIO(body), **options) as answer:
            assert answer.status == status, (body[:50], await answer.text())


async def test_every_answer_carries_the_security_headers(site: Guarded) -> None:
    asked = ["GET /api/probe/public", "GET /api/probe/admin", "GET /nothing", "PUT /api/probe/public"]
    for method, path in (line.split() for line in asked):
        answer = await site.call(method, path)
        sent = {name.lower(): value for name, value in answer.headers.items()}
        assert security_headers().items() <= sent.items()
        assert sent["content-security-policy"] == JSON_CSP
        assert sent["cache-control"] == "no-store"
        assert "server" not in sent
        assert sent["x-request-id"]


async def test_answers_to_bytes_that_are_no_request_carry_them_too(site: Guarded) -> None:
    answer = await site.raw(b"NONSENSE\r\n\r\n", 1)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"content-security-policy: default-src 'none'" in answer


async def test_a_request_keeps_its_own_id_if_it_is_harmless_and_is_given_one_if_not(site: Guarded) -> None:
    kept = await site.call("GET", "/api/probe/public", headers={"X-Request-ID": "client-chosen-0001"})
    assert kept.headers["X-Request-ID"] == "client-chosen-0001"
    for bad in ("short", "x" * 65, "with space", "<script>", "a\tbcdefgh", "-leading-dash"):
        answer = await site.call("GET", "/nothing", headers={"X-Request-ID": bad})
        assert answer.headers["X-Request-ID"] not in {bad, ""}
        assert answer.json["requestId"] == answer.headers["X-Request-ID"]


async def test_only_allow_listed_origins_may_read_across_origins(site: Guarded) -> None:
    allowed = await site.call("GET", "/api/probe/public", headers={"Origin": "https://shop.example"})
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://shop.example.evil"},
    ):
        answer = await site.call("GET", "/api/probe/public", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]  # a cache must not hand one origin's answer to another


async def test_a_preflight_is_answered_for_allowed_origins_alone(site: Guarded) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-csrf-token"}
    for path in ("/api/probe/customer", "/api/auth/users/x"):
        allowed = await site.call("OPTIONS", path, headers=ask | {"Origin": "https://shop.example"})
        assert (allowed.status, allowed.text) == (204, "")
        assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
        assert "X-CSRF-Token" in allowed.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Request-Headers" in ", ".join(allowed.headers.getall("Vary"))
        refused = await site.call("OPTIONS", path, headers=ask | {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Methods" not in refused.headers
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_an_unsafe_request_is_carried_out_when_its_client_has_hung_up(site: Guarded) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST /api/probe/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    await asyncio.sleep(0.1)
    writer.close()
    await asyncio.sleep(0.5)
    assert site.done == ["slow"]


def admitted(client: str, user_id: str = "") -> Any:
    """A request that has passed its route's own limit."""
    principal = SimpleNamespace(user_id=user_id) if user_id else None
    return SimpleNamespace(ctx=SimpleNamespace(rate=object(), client=client, principal=principal, answer=None))


async def test_large_checkouts_are_charged_by_their_lines_and_small_ones_are_not(site: Guarded) -> None:
    for _ in range(300):
        await site.layers.charge(admitted("198.51.100.7", "buyer"), 20)
    for _ in range(4):
        await site.layers.charge(admitted("198.51.100.7", "buyer"), 500)
    with pytest.raises(TooMany) as refused:
        await site.layers.charge(admitted("198.51.100.7", "buyer"), 500)
    assert refused.value.retry_after_seconds
    await site.layers.charge(admitted("198.51.100.7", "somebody else"), 500)


async def test_a_client_that_takes_no_cookie_makes_no_end_of_guest_carts(site: Guarded) -> None:
    for _ in range(60):
        await site.layers.also_limit(admitted("198.51.100.8"), "guest")
    with pytest.raises(TooMany):
        await site.layers.also_limit(admitted("198.51.100.8"), "guest")
    await site.layers.also_limit(admitted("198.51.100.9"), "guest")


async def test_coupon_codes_are_guessed_ten_times_an_hour_and_no_more(site: Guarded) -> None:
    for _ in range(10):
        await site.layers.also_limit(admitted("198.51.100.10", "guesser"), "guess", 0)
        await site.layers.also_limit(admitted("198.51.100.10", "guesser"), "guess")
    with pytest.raises(TooMany):
        await site.layers.also_limit(admitted("198.51.100.11", "guesser"), "guess", 0)
