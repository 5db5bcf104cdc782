"""The compression layer: smaller bodies on the wire, by what the client accepts and what the content is.

Per response: over 1 KB? not compressed already (image, video, a coding set by a cache)? JSON, HTML or other text?
Then zstd, brotli or gzip, whichever the client weighs highest. `holdfast bench compression --levels` chose them:
zlib-ng 6 sends the bytes of zlib 6 for well under half its CPU; isal is faster still, for 15 % more bytes.

A route that reflects a secret beside a client's input opts out with `ctx_compress=False` (BREACH).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import thread_time_ns
from typing import Any

import brotli
from sanic import HTTPResponse, Request, Sanic
from sanic.compat import Header
from zlib_ng import zlib_ng
from zstandard import ZstdCompressor

from service.web.http.accept_encoding import IDENTITY, choose, forbids_identity

Compress = Callable[[bytes], bytes]

GZIP_CONTAINER = 31
LAST_OF_THE_RESPONSE_LAYERS = 1_000
CONTENT_TYPES_REMEMBERED = 256
UNTOUCHED_STATUSES = frozenset({204, 206, 304})

_COMPRESSIBLE = re.compile(
    r"(?:text/(?!event-stream)[\w.+-]+|application/(?:[\w.-]+\+)?(?:json|xml)|application/javascript|image/svg\+xml)"
    r"\s*(?:;|(?![\s\S]))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A body ready to send. `varies`: whether another `Accept-Encoding` could have given other bytes."""

    body: bytes
    coding: str = IDENTITY
    varies: bool = False
    bytes_before: int = 0
    cpu_ns: int = 0


@dataclass(frozen=True, slots=True)
class Codecs:
    """Codings this server offers, best first: at like CPU zstd sends fewer bytes than gzip, brotli costs twice both."""

    compressors: Mapping[str, Compress]
    minimum_bytes: int
    maximum_bytes: int

    @property
    def offered(self) -> tuple[str, ...]:
        return tuple(self.compressors)


def build_codecs(
    *,
    minimum_bytes: int = 1_024,
    maximum_bytes: int = 8 * 1_024 * 1_024,
    gzip_level: int = 6,
    brotli_quality: int = 5,
    zstd_level: int = 6,
) -> Codecs:
    """Bodies longer than `minimum_bytes`, up to `maximum_bytes`, are compressed: the loop waits meanwhile."""
    zstd = ZstdCompressor(level=zstd_level)
    return Codecs(
        compressors={
            "zstd": zstd.compress,
            "br": lambda body: bytes(brotli.compress(body, mode=brotli.MODE_TEXT, quality=brotli_quality)),
            "gzip": lambda body: zlib_ng.compress(body, gzip_level, GZIP_CONTAINER),
        },
        minimum_bytes=minimum_bytes,
        maximum_bytes=maximum_bytes,
    )


def encode(body: bytes, content_type: str | None, accept_encoding: str | None, codecs: Codecs) -> Encoded:
    """The body in the coding the client prefers, or as it is."""
    size = len(body)
    wanted = size > codecs.minimum_bytes or (size > 0 and forbids_identity(accept_encoding))
    if not wanted or size > codecs.maximum_bytes or not is_compressible(content_type):
        return Encoded(body, bytes_before=size)
    coding = choose(accept_encoding, codecs.offered)
    if coding == IDENTITY:
        return Encoded(body, varies=True, bytes_before=size)
    started = thread_time_ns()
    smaller = codecs.compressors[coding](body)
    return Encoded(smaller, coding, varies=True, bytes_before=size, cpu_ns=thread_time_ns() - started)


def is_compressible(content_type: str | None) -> bool:
    return content_type is not None and _matches(content_type)


@lru_cache(maxsize=CONTENT_TYPES_REMEMBERED)
def _matches(content_type: str) -> bool:
    return _COMPRESSIBLE.match(content_type) is not None


def weak(etag: str) -> str:
    """A strong validator promises equal bytes, which a coding changes; a weak one promises equal content."""
    return etag if etag.startswith("W/") else f"W/{etag}"


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison of RFC 9110 §13.1.2, so the tag of any coding of the same content matches."""
    if if_none_match.strip() == "*":
        return True
    opaque = etag.removeprefix("W/")
    return any(candidate.strip().removeprefix("W/") == opaque for candidate in if_none_match.split(","))


def add_vary(headers: Header, name: str) -> None:
    """Appended, never overwritten: another layer's `Vary` keeps its meaning."""
    present = [field.strip() for value in headers.getall("vary", []) for field in value.split(",") if field.strip()]
    if "*" not in present and name.lower() not in {field.lower() for field in present}:
        headers["vary"] = ", ".join([*present, name])


def setup_compress(app: Sanic[Any, Any], codecs: Codecs, observe: Callable[[Encoded], None] | None = None) -> None:
    """Adds the layer as the last to see a response; `observe` is told of each body that was compressed."""

    def compress(request: Request, response: Any) -> None:
        _settle_conditional(request, response)
        if "content-encoding" in response.headers:
            _mark_as_one_of_several(response)
            return
        if not _may_transform(request, response):
            return
        encoded = encode(response.body or b"", _content_type(response), accept_encoding(request), codecs)
        if encoded.varies:
            add_vary(response.headers, "Accept-Encoding")
        if encoded.coding != IDENTITY:
            _replace_body(response, encoded)
            if observe:
                observe(encoded)

    app.register_middleware(compress, "response", priority=LAST_OF_THE_RESPONSE_LAYERS)


def _settle_conditional(request: Request, response: HTTPResponse) -> None:
    """`If-None-Match` answers 304 whatever coding the client holds; a 304 carries the headers of its 200."""
    etag = response.headers.get("etag")
    if etag is None or request.method not in {"GET", "HEAD"}:
        return
    held = request.headers.get("if-none-match")
    if response.status == 200 and response.body and held is not None and etag_matches(held, etag):
        response.status, response.body = 304, b""
        response.headers.popall("content-length", None)
    if response.status == 304:
        _mark_as_one_of_several(response)


def _mark_as_one_of_several(response: HTTPResponse) -> None:
    add_vary(response.headers, "Accept-Encoding")
    if etag := response.headers.get("etag"):
        response.headers["etag"] = weak(etag)


def _may_transform(request: Request, response: HTTPResponse) -> bool:
    return (
        response.status not in UNTOUCHED_STATUSES
        and "no-transform" not in response.headers.get("cache-control", "")
        and (request.route is None or getattr(request.route.ctx, "compress", True))
    )


def _content_type(response: HTTPResponse) -> str | None:
    return response.headers.get("content-type", response.content_type)


def accept_encoding(request: Request) -> str | None:
    """All its fields as one."""
    fields = request.headers.getall("accept-encoding", None)
    return None if fields is None else ", ".join(fields)


def _replace_body(response: HTTPResponse, encoded: Encoded) -> None:
    response.body = encoded.body
    response.headers["content-encoding"] = encoded.coding
    if "content-length" in response.headers:
        response.headers["content-length"] = str(len(encoded.body))
    _mark_as_one_of_several(response)
