"""What the compression layer decides, without a server."""

import gzip
import json

import brotli
import pytest
import zstandard

from service.web.http.accept_encoding import choose, forbids_identity, parse
from service.web.http.compress import Codecs, Encoded, build_codecs, encode, etag_matches, is_compressible, weak

OFFERED = ("zstd", "br", "gzip")
ALL = "gzip, deflate, br, zstd"


@pytest.fixture(scope="module")
def codecs() -> Codecs:
    return build_codecs()


def products(count: int) -> bytes:
    items = [
        {"sku": f"{i:05}", "name": f"Lantern number {i * 7919 % 1000}", "price": i * 31 % 997} for i in range(count)
    ]
    return json.dumps({"items": items}).encode()


def decode(encoded: Encoded) -> bytes:
    match encoded.coding:
        case "gzip":
            return gzip.decompress(encoded.body)
        case "br":
            return brotli.decompress(encoded.body)
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(encoded.body)
    return encoded.body


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "identity"),
        (ALL, "zstd"),
        ("gzip, br", "br"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("gzip ; q=0.5 , br ; q=0.8", "br"),
        ("br;q=0, gzip;q=0.1", "gzip"),
        ("zstd;q=0, *", "br"),
        ("*", "zstd"),
        ("*;q=0", "identity"),
        ("gzip;q=0", "identity"),
        ("identity", "identity"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("gzip;q=2, br;q=0.1", "br"),
        ("gzip;q=-1", "identity"),
        ("gzip;q=0.1234", "identity"),
        ("gzip;level=9", "identity"),
        ("gzip;q=1\n", "gzip"),
        (",, ,gzip,,", "gzip"),
        (";q=1", "identity"),
        ("gzip," * 200, "identity"),
    ],
)
def test_the_highest_weight_wins_and_a_tie_goes_to_the_servers_order(header: str | None, coding: str):
    assert choose(header, OFFERED) == coding


def test_nothing_offered_means_identity():
    assert choose(ALL, ()) == "identity"


@pytest.mark.parametrize(
    ("header", "forbidden"),
    [(None, False), ("gzip", False), ("identity;q=0", True), ("*;q=0", True), ("*;q=0, identity", False)],
)
def test_identity_is_forbidden_only_by_a_weight_of_zero(header: str | None, forbidden: bool):
    assert forbids_identity(header) is forbidden


def test_a_malformed_member_does_not_spoil_its_neighbours():
    assert parse("gzip;q=abc, br;q=0.5, zstd") == {"br": 0.5, "zstd": 1.0}


@pytest.mark.parametrize("accept_encoding", ["gzip", "br", "zstd"])
def test_every_coding_gives_back_the_same_bytes_and_fewer_on_the_wire(codecs: Codecs, accept_encoding: str):
    body = products(500)
    encoded = encode(body, "application/json", accept_encoding, codecs)
    assert encoded.coding == accept_encoding
    assert decode(encoded) == body
    assert len(encoded.body) < encoded.bytes_before / 3
    assert encoded.cpu_ns > 0


def test_the_same_body_compresses_to_the_same_bytes_every_time(codecs: Codecs):
    body = products(100)
    for coding in OFFERED:
        assert encode(body, "text/html", coding, codecs).body == encode(body, "text/html", coding, codecs).body


def test_one_kilobyte_is_sent_as_it_is_and_a_byte_more_is_compressed(codecs: Codecs):
    assert encode(b"a" * 1_024, "text/plain", "gzip", codecs) == Encoded(b"a" * 1_024, bytes_before=1_024)
    assert encode(b"a" * 1_025, "text/plain", "gzip", codecs).coding == "gzip"


def test_a_body_above_the_limit_is_not_compressed_while_the_loop_waits():
    codecs = build_codecs(maximum_bytes=2_000)
    assert encode(b"a" * 2_001, "text/plain", "gzip", codecs).coding == "identity"


def test_a_small_body_is_compressed_for_a_client_that_forbids_identity(codecs: Codecs):
    assert encode(b"{}", "application/json", "gzip, identity;q=0", codecs).coding == "gzip"
    assert encode(b"", "application/json", "gzip, identity;q=0", codecs).coding == "identity"


def test_what_could_have_been_compressed_varies_even_when_it_was_not(codecs: Codecs):
    assert encode(products(100), "text/html", None, codecs).varies
    assert not encode(products(100), "image/png", "gzip", codecs).varies


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/problem+json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "text/html; charset=utf-8",
        "text/css",
        "text/javascript",
        "application/javascript",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/plain;version=0.0.4",
    ],
)
def test_text_is_compressible(content_type: str):
    assert is_compressible(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "image/png",
        "image/webp",
        "video/mp4",
        "application/zip",
        "application/octet-stream",
        "font/woff2",
        "text/event-stream",
        "application/jsonish",
        "text/",
    ],
)
def test_what_is_compressed_already_or_streamed_is_left_alone(content_type: str | None):
    assert not is_compressible(content_type)


def test_an_etag_of_any_coding_matches_the_same_content():
    assert weak('"7"') == 'W/"7"' == weak('W/"7"')
    assert etag_matches('W/"7"', '"7"')
    assert etag_matches('"6", "7"', 'W/"7"')
    assert etag_matches("*", '"7"')
    assert not etag_matches('"77"', '"7"')
