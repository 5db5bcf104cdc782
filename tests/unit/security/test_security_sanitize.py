"""Keys that no honest client sends, at any depth and however they are written."""

import contextlib
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config import Config
from service.errors import Problem
from service.web.security.sanitize import Sanitizer

SANITIZER = Sanitizer(Config(json_tokens_max=1_000))


def refusal(body: bytes) -> str | None:
    try:
        SANITIZER.check_json(body)
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.parametrize(
    "body",
    [
        b'{"$gt": ""}',
        b'{"email": {"$gt": ""}}',
        b'{"a": [1, {"b": {"$where": "1"}}]}',
        b'{"\\u0024gt": ""}',
        b'{"a\\u002eb": 1}',
        b'{"profile.role": "admin"}',
        b'{"a" : 1, "role.$[]" : 2}',
        b'{"a\\u0000": 1}',
        b'{"x$": 1}',
        b'[{"$ne": null}]',
        b'{"a": "}", "$ne": 1}',
        b'{"a": "\\"", "$ne": 1}',
        b'{"a": "\\\\", "$ne": 1}',
    ],
)
def test_a_key_with_an_operator_is_refused_wherever_it_hides(body: bytes) -> None:
    assert refusal(body) == "operator_refused"


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "costs $5, see shop.example"}',
        b'{"text": "{\\"$gt\\": 1}"}',
        b'["$gt", "a.b"]',
        b'{"a": {"x": 1}, "b": {"x": 1}}',
        b"[]",
        b"",
        b"12",
    ],
)
def test_values_may_say_what_they_like(body: bytes) -> None:
    assert refusal(body) is None


@pytest.mark.parametrize("body", [b'{"role": "customer", "role": "admin"}', b'{"role": 1, "r\\u006fle": 2}'])
def test_a_key_given_twice_is_refused_also_when_written_differently(body: bytes) -> None:
    assert refusal(body) == "duplicate_key"


def test_depth_and_size_have_limits() -> None:
    assert refusal(b"[" * 32 + b"]" * 32) is None
    assert refusal(b"[" * 33 + b"]" * 33) == "too_deep"
    assert refusal(b"[" * 500_000) == "too_deep"
    assert refusal(b"[" + b'"a",' * 1_001 + b"1]") == "too_large"


@pytest.mark.alone
@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\"', b"\\", b'{"', b'"a" ', b'"' + b" " * 50, b"[]", b'"a":'])
def test_the_check_takes_linear_time_whatever_is_sent(piece: bytes) -> None:
    sanitizer = Sanitizer(Config(json_tokens_max=10_000_000))

    def seconds(size: int) -> float:
        body = b'"' + piece * (size // len(piece))
        started = time.perf_counter()
        with contextlib.suppress(Problem):
            sanitizer.check_json(body)
        return time.perf_counter() - started

    assert seconds(1_000_000) < 2.0  # quadratic time would be minutes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in keys(inner))]
    return [key for inner in value for key in keys(inner)] if isinstance(value, list) else []


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_exactly_the_documents_with_an_operator_in_a_key_are_refused(value: object) -> None:
    bad = any(character in key for key in keys(value) for character in "$.\x00")
    assert (refusal(msgspec.json.encode(value)) == "operator_refused") == bad
