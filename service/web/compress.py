"""The compression layer: smaller bodies on the wire, by what the client accepts and what the content is.

Per response: over 1 KB? not compressed already (image, video, a coding set by a cache)? JSON, HTML or other text? Then zstd,
brotli or gzip, whichever the client weighs highest. Codecs and levels were chosen by `holdfast bench compression --levels`:
zlib-ng 6 gives the bytes of zlib 6 for well under half its CPU, and isal, four times faster still, costs 15 % more bytes.

A route that reflects a secret beside a client's input opts out with `ctx_compress=False` (BREACH).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import thread_time_ns

import brotli
from sanic import HTTPResponse, Request, Sanic
from zlib_ng import zlib_ng
from zstandard import ZstdCompressor

from service.web.accept_encoding import IDENTITY, choose, forbids_identity

Compress = Callable[[bytes], bytes]

GZIP_CONTAINER = 31
LAST_OF_THE_RESPONSE_LAYERS = -1_000
UNTOUCHED_STATUSES = frozenset({204, 206, 304})

_COMPRESSIBLE = re.compile(
    r"(?:text/(?!event-stream)[\w.+-]+|application/(?:[\w.-]+\+)?(?:json|xml)|application/(?:javascript|manifest\+json)"
    r"|image/svg\+xml)\s*(?:;|(?![\s\S]))",
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
    """Only bodies longer than `minimum_bytes` and up to `maximum_bytes` are compressed: the loop waits while it happens."""
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
    return content_type is not None and _COMPRESSIBLE.match(content_type) is not None


def weak(etag: str) -> str:
    """A strong validator promises equal bytes, which no longer holds once a coding is applied; a weak one, equal content."""
    return etag if etag.startswith("W/") else f"W/{etag}"


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison of RFC 9110 §13.1.2, so the tag of any coding of the same content matches."""
    if if_none_match.strip() == "*":
        return True
    opaque = etag.removeprefix("W/")
    return any(candidate.strip().removeprefix("W/") == opaque for candidate in if_none_match.split(","))


def setup_compress(app: Sanic, codecs: Codecs, observe: Callable[[Encoded], None] = lambda encoded: None) -> None:
    """Adds the layer as the last to see a response; `observe` is told of each body that was compressed."""

    async def compress(request: Request, response: HTTPResponse) -> None:
        if _answered_not_modified(request, response) or not _may_transform(request, response):
            return
        body = response.body or b""
        accept_encoding = request.headers.get("accept-encoding")
        encoded = encode(body, response.content_type, accept_encoding, codecs)
        if encoded.varies:
            add_vary(response, "Accept-Encoding")
        if encoded.coding != IDENTITY:
            _replace_body(response, encoded)
            observe(encoded)

    app.register_middleware(compress, "response", priority=LAST_OF_THE_RESPONSE_LAYERS)
