"""The edge of the whole application: HEAD, pages for browsers, encodings, CORS, encoded paths."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import shops
from whole_site import WholeSite, whole_site

from service.config import Config
from service.web.http.operation import EventStream

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SHOP = "https://shop.example"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[WholeSite]:
    async with whole_site(replace(config, rate_limit_scale=1_000, cors_origins=SHOP), clock) as opened:
        yield opened


async def asked(site: WholeSite, method: str, path: str, **given: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    async with site.client.request(method, path, **given) as response:
        return response, await response.read()


async def test_head_is_get_without_a_body_on_every_route_but_the_stream(site: WholeSite) -> None:
    plain = {"Accept-Encoding": "identity"}  # a nonce changes the length of what is compressed
    for route in site.routes():
        if route.method != "GET" or "<" in route.path:
            continue
        head, nothing = await asked(site, "HEAD", route.path, headers=plain)
        assert nothing == b""
        if EventStream in route.operation.returns.values():
            assert (head.status, head.headers["Allow"]) == (405, "GET")
            continue
        get, _ = await asked(site, "GET", route.path, headers=plain)
        assert head.status == get.status, route.path
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        if get.status == 200 and route.path != "/metrics":
            assert head.headers["Content-Length"] == get.headers["Content-Length"], route.path


async def test_a_browser_that_asks_for_what_is_not_there_gets_a_page_with_that_status(site: WholeSite) -> None:
    for path, status in {"/nothing": 404, "/p/nothing": 404, "/api/nothing": 404, "/api/products?limit=x": 422}.items():
        page, content = await asked(site, "GET", path, headers=BROWSER)
        assert (page.status, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert b"<h1>" in content
        assert "Accept" in re.split(", *", ",".join(page.headers.getall("Vary")))
        assert "style-src 'self'" in page.headers["Content-Security-Policy"]
        problem, _ = await asked(site, "GET", path, headers={"Accept": "*/*"})
        assert (problem.status, problem.content_type) == (status, "application/problem+json")


async def test_what_a_page_of_errors_repeats_is_escaped(site: WholeSite) -> None:
    _, content = await asked(site, "GET", "/api/products?<script>alert(1)</script>=1", headers=BROWSER)
    assert b"<script>alert" not in content


async def test_a_link_with_parameters_of_others_opens_the_page(site: WholeSite) -> None:
    for path in ("/?utm_source=letter", "/login?next=/cart&fbclid=x", "/cart?gclid=1&gclid=2", "/docs?x=y"):
        page, _ = await asked(site, "GET", path, headers=BROWSER)
        assert page.status == 200, path
    api, _ = await asked(site, "GET", "/api/products?utm_source=letter")
    assert api.status == 422


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "gzip, identity", "x"])
async def test_a_body_in_a_coding_is_refused_with_what_is_taken_instead(site: WholeSite, coding: str) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    answer, _ = await asked(site, "POST", "/api/auth/login", data=b"\x1f\x8b\x08rest", headers=headers)
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")


async def test_a_body_that_says_it_is_as_it_is_is_read(site: WholeSite) -> None:
    headers = {"Content-Encoding": "identity", "Content-Type": "application/json"}
    answer, _ = await asked(site, "POST", "/api/auth/login", data=b"{}", headers=headers)
    assert answer.status == 422


async def test_cors_allows_and_exposes_what_the_routes_read_and_write(site: WholeSite) -> None:
    asks = {"Origin": SHOP, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}
    preflight, _ = await asked(site, "OPTIONS", "/api/cart/items/TEA", headers=asks)
    allowed = {name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert {name.lower() for route in site.routes() for name in route.operation.reads} <= allowed
    assert {"if-match", "if-none-match", "idempotency-key", "last-event-id", "x-csrf-token", "authorization"} <= allowed
    answer, _ = await asked(site, "GET", "/api/products", headers={"Origin": SHOP})
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Idempotency-Replayed", "Retry-After", "X-Request-ID"} <= exposed


async def test_a_category_with_a_blank_in_its_name_is_reached_by_its_path(site: WholeSite) -> None:
    path = "/api/products/categories/Home%20D%C3%A9cor%2FLamps"
    status, made = await site.call("PUT", _raw(path), {"name": "Home Décor/Lamps"}, "staff")
    assert status in {200, 201}, made
    status, known = await site.call("GET", "/api/products/categories")
    assert [one["id"] for one in known["items"]] == ["Home Décor/Lamps"]
    assert (await site.call("PUT", _raw("/api/products/categories/%FF"), {"name": "x"}, "staff"))[0] == 400


async def test_the_same_order_is_known_again_with_a_slash_more_and_other_blanks(site: WholeSite) -> None:
    await shops.stock(site.shop, TEA=5)
    headers = {"Idempotency-Key": "one-and-the-same", "Content-Type": "application/json"}
    headers["Authorization"] = f"Bearer {site.tokens['customer']}"
    first, made = await asked(
        site, "POST", "/api/orders", data=b'{"items":[{"sku":"TEA","quantity":1}]}', headers=headers
    )
    again, same = await asked(
        site, "POST", "/api/orders/", data=b'{ "items": [ {"quantity": 1, "sku": "TEA"} ] }', headers=headers
    )
    assert (first.status, again.status) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert made == same


async def test_whom_to_tell_of_a_hole_is_where_finders_look(site: WholeSite) -> None:
    answer, content = await asked(site, "GET", "/.well-known/security.txt")
    assert answer.status == 200
    assert content.startswith(b"Contact: mailto:shop@holdfast.invalid\nExpires: ")


async def test_the_document_is_compressed_once_and_its_page_written_once(site: WholeSite) -> None:
    for _ in range(3):
        answer, _ = await asked(site, "GET", "/openapi.json", headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
        held = {"If-None-Match": answer.headers["ETag"]}
        assert (await asked(site, "GET", "/openapi.json", headers=held))[0].status == 304
        assert (await asked(site, "GET", "/docs"))[0].status == 200


def _raw(path: str) -> Any:
    from yarl import URL

    return URL(path, encoded=True)
