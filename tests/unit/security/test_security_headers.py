"""Helmet's twelve headers are all there, none weaker than Helmet's."""

import pytest
from secure import Preset, Secure

from service.web.security.headers import JSON_CSP, as_bytes, page_csp, security_headers


def test_every_header_of_helmet_is_sent() -> None:
    helmet = {name.lower() for name in Secure.from_preset(Preset.BASIC).headers}
    assert helmet - set(security_headers()) == {"content-security-policy"}  # that one depends on what is answered


def test_nothing_says_what_runs_here() -> None:
    assert not {"server", "x-powered-by"} & set(security_headers())


@pytest.mark.parametrize("policy", [JSON_CSP, page_csp("abc")])
def test_no_policy_allows_inline_scripts_or_foreign_sources(policy: str) -> None:
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy


def test_encoded_headers_end_their_lines_and_nothing_else() -> None:
    lines = as_bytes(security_headers()).split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.count(b": ") >= 1 and b"\n" not in line for line in lines)
