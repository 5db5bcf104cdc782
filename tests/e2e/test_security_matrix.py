"""Every route × every role against the running service, as docs/frontend/access.md says; and objects of somebody else.

HOLDFAST_WRITE_DOCS=1 writes the table of docs/frontend/access.md anew."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shops
from whole_site import PASSWORD, RANKS, Route, WholeSite, whole_site

from service import bootstrap
from service.config import Config
from service.web.http.access import SCOPES, Access
from service.web.http.operation import UNLIMITED
from service.web.security.api_keys import HEADER, is_open_to_keys

ACCESS_TABLE = Path(__file__).parents[2] / "docs" / "frontend" / "access.md"
STREAMS = {"/api/inventory/stream"}
OWN_GUARD = {"/ops": Access.STAFF}  # a page that tells a stranger to log in instead of sending a problem document
CHECKOUT = {"items": [{"sku": "no-such-thing", "quantity": 1}]}  # who nobody is shows in the body: a guest has `email`
INTRODUCTION = """# Who may call what

Made from the routes' own declarations; `tests/e2e/test_security_matrix.py` calls every route as every role and checks
that it answers so. A route that declares nothing is refused to everybody. Rate limits are listed in
[security](../operating/security.md#rate-limits). A service's key opens the routes of its scopes, and what anybody may
read. Guests see, pay and cancel their own orders, by their cookie or the order's token.

| route | who | rate limit | nobody | customer | staff | admin | API key |
|---|---|---|---|---|---|---|---|
"""


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[WholeSite]:
    async with whole_site(replace(config, rate_limit_scale=1_000), clock) as opened:
        yield opened


def filled(path: str) -> str:
    return re.sub(r"<[^>]+>", "no-such-thing", path)


def shown(route: Route) -> str:
    return re.sub(r"<(\w+):[^>]+>", r"{\1}", route.path)


def needed(route: Route) -> Access:
    return OWN_GUARD.get(route.path, route.operation.access)


def body_of(route: Route) -> Any:
    if route.method not in {"POST", "PUT", "PATCH"}:
        return None
    return CHECKOUT if route.path.rstrip("/") == "/api/orders" else {}


def expected(route: Route, role: str) -> str:
    if RANKS[role] >= needed(route):
        return "yes"
    if role == "nobody" and route.operation.guests_too:
        return "guests"
    return "401" if role == "nobody" else "403"


def by_key(route: Route) -> str:
    """The scope that opens it, or what a key gets instead."""
    if route.operation.scope:
        return f"`{route.operation.scope}`"
    if route.path in OWN_GUARD:
        return "401"
    return "yes" if route.operation.limit == UNLIMITED or is_open_to_keys(route.operation) else "403"


def table(routes: list[Route]) -> str:
    rows = [
        f"| `{route.method} {shown(route)}` | {needed(route).name.lower()} | {route.operation.limit} | "
        + " | ".join(expected(route, role) for role in RANKS)
        + f" | {by_key(route)} |\n"
        for route in routes
    ]
    return INTRODUCTION + "".join(rows)


async def answered(site: WholeSite, route: Route, role: str) -> tuple[int, str]:
    body = body_of(route)
    as_people = {} if route.path.startswith("/api") else {"Accept": "text/html"}  # a page leads to the log-in
    status, document = await site.call(route.method, filled(route.path), body, role, headers=as_people)
    return status, document.get("code", "") if isinstance(document, dict) else ""


async def test_every_route_lets_in_whom_the_table_says_and_nobody_else(site: WholeSite) -> None:
    routes = [route for route in site.routes() if route.path not in STREAMS]
    wrong = []
    for role in RANKS:
        for route in routes:
            if route.path == "/api/auth/logout":
                continue  # tried last: it ends the caller's session
            status, code = await answered(site, route, role)
            let_in = status not in {401, 403} or code in {"bad_refresh_token", "wrong_password", "invalid_signature"}
            verdict = "yes" if let_in else str(status)
            if expected(route, role) == "guests":  # who shows nothing is refused, by the handler or before it
                verdict = "guests" if status in {401, 415, 422} else verdict
            if verdict != expected(route, role) or status >= 500:
                wrong.append((route.method, route.path, role, status, code))
    assert wrong == []
    for role in RANKS:
        assert (await site.call("POST", "/api/auth/logout", {}, caller=role))[0] == (401 if role == "nobody" else 204)
        if role != "nobody":
            assert (await site.call("GET", "/api/auth/me", caller=role))[0] == 401


async def test_a_key_with_every_scope_opens_what_the_table_says_and_nothing_else(site: WholeSite) -> None:
    made = await bootstrap.http_edge(site.shop).auth.api_keys.create("everything", SCOPES, "test")
    wrong = []
    for route in (route for route in site.routes() if route.path not in STREAMS):
        body = body_of(route)
        headers = {HEADER: made.text, "Accept": "application/json"}
        status, document = await site.call(route.method, filled(route.path), body, headers=headers)
        code = document.get("code") if isinstance(document, dict) else ""
        closed = by_key(route) in {"401", "403"}
        refused = code in {"key_not_allowed", "scope_missing"} or status == 401
        if refused != closed or status >= 500:
            wrong.append((route.method, route.path, status, code))
    assert wrong == []


async def test_every_route_of_staff_in_the_api_has_a_scope(site: WholeSite) -> None:
    staffs = [route for route in site.routes() if route.operation.access is Access.STAFF]
    without = [route.path for route in staffs if not route.operation.scope]
    assert [path for path in without if path.startswith("/api/")] == []


async def test_the_table_in_the_docs_is_what_the_routes_declare(site: WholeSite) -> None:
    now = table(site.routes())
    if os.environ.get("HOLDFAST_WRITE_DOCS"):
        ACCESS_TABLE.write_text(now)
    assert ACCESS_TABLE.read_text() == now, "HOLDFAST_WRITE_DOCS=1 pytest tests/e2e/test_security_matrix.py mends it"


async def test_nobody_reads_or_changes_what_belongs_to_another(site: WholeSite) -> None:
    await shops.stock(site.shop, TEA=10)
    for name in ("ada", "bob"):
        await site.log_in(name)
    status, made = await site.call("POST", "/api/orders/", {"items": [{"sku": "TEA", "quantity": 1}]}, "ada")
    assert status == 201, made
    order = f"/api/orders/{made['order']['id']}"
    sessions = (await site.call("GET", "/api/auth/sessions", caller="ada"))[1]["items"]
    user = (await site.call("GET", "/api/auth/me", caller="ada"))[1]["user"]["id"]
    tried: list[tuple[str, str, Any, int]] = [
        ("GET", order, None, 404),
        ("POST", f"{order}/pay", {"paymentMethod": "ok"}, 404),
        ("POST", f"{order}/cancel", {}, 404),
        ("POST", f"{order}/refund", {}, 403),
        ("POST", f"{order}/ship", {}, 403),
        ("POST", "/api/auth/sessions/end", {"password": PASSWORD, "sessionId": sessions[0]["id"]}, 404),
        ("PATCH", f"/api/auth/users/{user}", {"role": "admin"}, 403),
        ("GET", f"/api/orders/?userId={user}", None, 403),
    ]
    for method, path, body, refused in tried:
        status, answer = await site.call(method, path, body, "bob")
        assert status == refused, (method, path, answer)
    assert (await site.call("GET", "/api/orders/", caller="bob"))[1]["items"] == []
    assert (await site.call("GET", order, caller="ada"))[1]["order"]["status"] == "pending"
    assert (await site.call("GET", order, caller="staff"))[0] == 200


async def test_a_key_of_one_customer_never_replays_the_answer_of_another(site: WholeSite) -> None:
    await shops.stock(site.shop, TEA=10)
    await site.log_in("ada")
    await site.log_in("bob")
    body, key = {"items": [{"sku": "TEA", "quantity": 1}]}, {"Idempotency-Key": "guessable"}
    ask = [site.call("POST", "/api/orders/", body, name, headers=key) for name in ("ada", "bob")]
    (_, ada), (_, bob) = await asyncio.gather(*ask)
    assert ada["order"]["id"] != bob["order"]["id"]
