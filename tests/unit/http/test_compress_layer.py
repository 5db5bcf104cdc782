"""The compression layer in a running Sanic app: what a client sees on the wire."""

import gzip
import socket
from collections.abc import AsyncIterator
from itertools import count

import aiohttp
import pytest
from sanic import HTTPResponse, Request, Sanic, html, json, raw, text

from service.web.http.compress import Encoded, build_codecs, setup_compress

NAMES = (f"hold{i}" for i in count())
ROWS = [{"sku": f"{i:05}", "name": f"Lantern {i * 7919 % 1000}"} for i in range(400)]
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture
def seen() -> list[Encoded]:
    return []


@pytest.fixture
async def wire(seen: list[Encoded]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not decompress, on a server with one route per case."""
    app = build_app(seen)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = await app.create_server(sock=listening, return_asyncio_server=True, access_log=False)
    assert server is not None
    await server.startup()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session:
        yield session
    server.close()
    await server.wait_closed()


def build_app(seen: list[Encoded]) -> Sanic:
    app = Sanic(next(NAMES), configure_logging=False)
    app.config.TOUCHUP = False  # rewrites methods of the whole process, once: a second app would not start
    setup_compress(app, build_codecs(), seen.append)

    @app.route("/rows", methods=["GET", "HEAD"])
    def rows(request: Request) -> HTTPResponse:
        return json(ROWS, headers={"ETag": '"rows-1"', "Vary": "Origin"})

    @app.get("/page")
    def page(request: Request) -> HTTPResponse:
        return html("<p>lantern</p>" * 200)

    @app.get("/small")
    def small(request: Request) -> HTTPResponse:
        return json({"ok": True}, headers={"ETag": '"small-1"'})

    @app.get("/image")
    def image(request: Request) -> HTTPResponse:
        return raw(b"\0" * 5_000, content_type="image/png", headers={"ETag": '"image-1"'})

    @app.get("/ready-made")
    def ready_made(request: Request) -> HTTPResponse:
        body = gzip.compress(b"kept in a cache")
        return raw(body, content_type="text/plain", headers={"Content-Encoding": "gzip", "ETag": '"kept-1"'})

    @app.get("/token", ctx_compress=False)
    def token(request: Request) -> HTTPResponse:
        return json({"csrfToken": "x" * 5_000})

    @app.get("/problem")
    def problem(request: Request) -> HTTPResponse:
        return json({"detail": "no " * 2_000}, status=409, content_type="application/problem+json")

    @app.get("/nothing")
    def nothing(request: Request) -> HTTPResponse:
        return HTTPResponse(status=204)

    @app.get("/stream")
    async def stream(request: Request) -> None:
        response = await request.respond(content_type="text/plain")
        for _ in range(10):
            await response.send("stock " * 500)
        await response.eof()

    @app.get("/final")
    def final(request: Request) -> HTTPResponse:
        return text("a" * 5_000, headers={"Cache-Control": "public, no-transform"})

    return app


async def test_json_is_gzipped_for_a_client_that_takes_gzip(wire: aiohttp.ClientSession, seen: list[Encoded]):
    async with wire.get("/rows", headers=GZIP) as plain:
        body = await plain.read()
    assert plain.headers["Content-Encoding"] == "gzip"
    assert int(plain.headers["Content-Length"]) == len(body)
    assert gzip.decompress(body).startswith(b'[{"sku":"00000"')
    assert [(e.coding, len(e.body)) for e in seen] == [("gzip", len(body))]


async def test_html_and_problem_documents_are_compressed(wire: aiohttp.ClientSession):
    for path in ("/page", "/problem"):
        async with wire.get(path, headers=GZIP) as response:
            assert response.headers["Content-Encoding"] == "gzip", path


async def test_vary_is_appended_and_never_overwritten(wire: aiohttp.ClientSession):
    for headers in (GZIP, {"Accept-Encoding": "identity"}):
        async with wire.get("/rows", headers=headers) as response:
            assert response.headers["Vary"] == "Origin, Accept-Encoding"


async def test_a_compressed_body_has_a_weak_etag_and_an_untouched_one_keeps_its_strong(wire: aiohttp.ClientSession):
    async with wire.get("/rows", headers=GZIP) as compressed:
        assert compressed.headers["ETag"] == 'W/"rows-1"'
    async with wire.get("/rows", headers={"Accept-Encoding": "identity"}) as untouched:
        assert untouched.headers["ETag"] == '"rows-1"'
        assert "Content-Encoding" not in untouched.headers


@pytest.mark.parametrize("held", ['"rows-1"', 'W/"rows-1"', '"other", W/"rows-1"', "*"])
async def test_if_none_match_answers_304_without_a_body(wire: aiohttp.ClientSession, seen: list[Encoded], held: str):
    async with wire.get("/rows", headers={**GZIP, "If-None-Match": held}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == 'W/"rows-1"'
        assert response.headers["Vary"] == "Origin, Accept-Encoding"
        assert "Content-Encoding" not in response.headers
    assert seen == []


async def test_another_etag_gets_the_body(wire: aiohttp.ClientSession):
    async with wire.get("/rows", headers={**GZIP, "If-None-Match": '"rows-0"'}) as response:
        assert response.status == 200


async def test_head_has_the_headers_of_get_and_no_body(wire: aiohttp.ClientSession):
    async with wire.get("/rows", headers=GZIP) as get, wire.head("/rows", headers=GZIP) as head:
        assert await head.read() == b""
        for name in ("Content-Encoding", "Content-Length", "ETag", "Vary", "Content-Type"):
            assert head.headers[name] == get.headers[name], name


@pytest.mark.parametrize("path", ["/small", "/image", "/token", "/nothing", "/final"])
async def test_small_image_secret_empty_and_final_bodies_are_untouched(wire: aiohttp.ClientSession, path: str):
    async with wire.get(path, headers=GZIP) as response:
        await response.read()
        assert "Content-Encoding" not in response.headers
        assert not response.headers.get("ETag", "").startswith("W/")


async def test_a_body_kept_compressed_in_a_cache_is_sent_as_it_is(wire: aiohttp.ClientSession, seen: list[Encoded]):
    async with wire.get("/ready-made", headers=GZIP) as response:
        assert gzip.decompress(await response.read()) == b"kept in a cache"
        assert response.headers["ETag"] == 'W/"kept-1"'
        assert response.headers["Vary"] == "Accept-Encoding"
    assert seen == []


async def test_a_stream_arrives_whole_and_untouched(wire: aiohttp.ClientSession):
    async with wire.get("/stream", headers=GZIP) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.text() == "stock " * 5_000


async def test_an_unknown_path_is_answered_with_the_layer_on(wire: aiohttp.ClientSession):
    async with wire.get("/nowhere", headers=GZIP) as response:
        assert response.status == 404


async def test_two_accept_encoding_fields_count_as_one_list(wire: aiohttp.ClientSession):
    headers = [("Accept-Encoding", "gzip;q=0.1"), ("Accept-Encoding", "br")]
    async with wire.get("/rows", headers=headers) as response:
        assert response.headers["Content-Encoding"] == "br"
