"""CSRF tokens are bound to their session; browsers' own word about the caller is believed first."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from sanic.request import RequestParameters

from service.clock import SystemClock
from service.ids import Ids
from service.web.security.csrf import Csrf, CsrfFailed

CSRF = Csrf((b"k" * 32,), Ids(SystemClock()), frozenset({"https://shop.example"}), "csrf")


def request(held: str = "", **headers: str) -> Any:
    cookies = RequestParameters({"csrf": [held]} if held else {})
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | ({"cookie": "sent"} if held else {})
    return SimpleNamespace(headers=sent, cookies=cookies)


def test_a_token_is_good_for_its_own_session_only() -> None:
    token = CSRF.issue("session-1")
    CSRF.check(request(x_csrf_token=token), "session-1")
    for other in ("session-2", "", "session-1\0"):
        with pytest.raises(CsrfFailed):
            CSRF.check(request(x_csrf_token=token), other)


def test_no_two_tokens_are_alike_so_a_compressed_page_never_repeats_one() -> None:
    assert len({CSRF.issue("session-1") for _ in range(1_000)}) == 1_000


def test_a_token_that_is_not_the_one_of_the_cookie_is_refused() -> None:
    token, other = CSRF.issue("session-1"), CSRF.issue("session-1")
    CSRF.check(request(held=token, x_csrf_token=token), "session-1")
    with pytest.raises(CsrfFailed):
        CSRF.check(request(held=other, x_csrf_token=token), "session-1")


def test_two_tabs_are_given_one_token_and_a_new_login_another() -> None:
    token = CSRF.token(request(), "session-1")
    assert CSRF.token(request(held=token), "session-1") == token
    assert CSRF.token(request(held=token), "session-2") != token


def test_a_token_with_any_bit_changed_is_refused() -> None:
    raw = base64.urlsafe_b64decode(CSRF.issue("session-1"))
    for position in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(CsrfFailed):
            CSRF.check(request(x_csrf_token=base64.urlsafe_b64encode(changed).decode()), "session-1")


@pytest.mark.parametrize("token", ["", "x", "x" * 64, "é" * 64, " " * 64, "=" * 64, "A" * 63 + "\n"])
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(CsrfFailed):
        CSRF.check(request(x_csrf_token=token), "session-1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://shop.example"},
        {"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"},
        {"origin": "https://api.example", "host": "api.example"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "https://shop.example", "sec_fetch_site": "cross-site"},
    ],
)
def test_our_own_pages_the_allowed_ones_and_programs_may_call(headers: dict[str, str]) -> None:
    CSRF.check_origin(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "host": "api.example"},
        {"origin": "null", "host": "api.example"},
        {"origin": "", "host": ""},
        {"origin": "https://", "host": ""},
        {"origin": "https://api.example.evil.example", "host": "api.example"},
        {"origin": "ftp://api.example", "host": "api.example"},
        {"origin": "https://shop.example.evil.example", "host": "api.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(CsrfFailed):
        CSRF.check_origin(request(**headers))
