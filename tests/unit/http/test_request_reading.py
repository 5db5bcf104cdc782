"""What a request says, as the types its route declares: every fault named, nothing decoded twice, instants in UTC."""

from datetime import UTC, datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid, Malformed
from service.web.http import cursor
from service.web.http.accept import prefers_html
from service.web.http.operation import Wire
from service.web.http.reading import body_reader, fingerprint, query_reader, segment


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(Wire):
    sku: Annotated[str, msgspec.Meta(pattern="^[A-Z]+$", min_length=1, max_length=5, examples=["TEA"])]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=9)]


class Asked(Wire):
    email: Annotated[str, msgspec.Meta(pattern="^.+@.+$", examples=["ada@example.com"])]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)] = "x"
    colour: Colour = Colour.RED
    size: Literal["s", "m"] = "s"
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    items: Annotated[list[Item], msgspec.Meta(max_length=2)] = msgspec.field(default_factory=list)
    share: Annotated[float, msgspec.Meta(gt=0)] | None = None
    flag: bool = False
    either: list[str] | str = ""
    secret: Annotated[str, msgspec.Meta(pattern="^x$", extra={"sentence": "Say x"})] = "x"


READ = body_reader(Asked)


def post(document: Any) -> Any:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return SimpleNamespace(headers={"content-type": "application/json"}, body=body)


def faults(document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        READ(post(document))
    return {error["path"]: error["message"] for error in refused.value.extra["errors"]}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("email", "nope", "Enter an e-mail address like ada@example.com"),
        ("email", None, "Must be text, not null"),
        ("email", 5, "Must be text"),
        ("name", "", "Must not be empty"),
        ("name", "abcdef", "Must have at most 5 characters, not 6"),
        ("colour", "green", "Must be one of red, blue"),
        ("size", "xl", "Must be one of m, s"),
        ("at", "tomorrow", "Must be a date and time with its zone, like 2026-01-31T12:00:00Z"),
        ("at", "2026-01-31T12:00:00", "Must be a date and time with its zone, like 2026-01-31T12:00:00Z"),
        ("at", "9999-12-31T23:59:59-05:00", "Must be a date and time that exists in UTC, from year 1 to 9999"),
        ("at", "0001-01-01T00:00:00+05:00", "Must be a date and time that exists in UTC, from year 1 to 9999"),
        ("items", [{"sku": "A", "quantity": 1}] * 3, "Must have at most 2 entries, not 3"),
        ("items", {}, "Must be a list"),
        ("share", 0, "Must be above 0"),
        ("share", "1", "Must be a number"),
        ("flag", "true", "Must be true or false"),
        ("either", 5, "Must be a list or text"),
        ("secret", "y", "Say x"),
        ("colur", "red", "Is not known here; did you mean colour?"),
    ],
)
def test_each_type_and_bound_has_its_sentence(field: str, value: Any, sentence: str) -> None:
    assert faults({"email": "a@b", field: value}) == {field: sentence}


def test_all_faults_of_a_body_are_named_at_once_with_their_paths() -> None:
    found = faults({"name": "", "items": [{"sku": "tea", "quantity": 0}, {"quantity": "2"}], "colour": "green", "x": 1})
    assert found == {
        "email": "Is required",
        "name": "Must not be empty",
        "colour": "Must be one of red, blue",
        "items[0].sku": "Must be written like TEA",
        "items[0].quantity": "Must be from 1 to 9",
        "items[1].sku": "Is required",
        "items[1].quantity": "Must be a whole number",
        "x": "Is not known here",
    }


@pytest.mark.parametrize("document", [b"5", b"[]", b"null", b'"x"', b'{"email": 1e999}'])
def test_what_is_no_object_at_all_is_said_too(document: bytes) -> None:
    assert faults(document)


def test_a_thousand_faults_are_not_told_one_by_one() -> None:
    assert len(faults({f"f{n}": 1 for n in range(1_000)})) == 50


NAMES = st.sampled_from([*Asked.__struct_fields__, "x"])
WORDS = st.sampled_from(["", "a@b", "TEA", "2026-01-31T12:00:00Z"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON))
def test_any_document_is_read_or_refused_with_a_fault(document: dict[str, Any]) -> None:
    try:
        assert isinstance(READ(post(document)), Asked)
    except Invalid as refused:
        named = [error["path"].partition(".")[0].partition("[")[0] for error in refused.extra["errors"]]
        if not set(named) <= {*document, "email"}:
            raise


def test_a_number_with_an_empty_fraction_is_whole() -> None:
    assert READ(post(b'{"email":"a@b","items":[{"sku":"A","quantity":3.0}]}')).items[0].quantity == 3


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59+14:00", datetime(9999, 12, 31, 9, 59, 59, tzinfo=UTC)),
    ],
)
def test_instants_are_in_utc_when_a_handler_sees_them(written: str, utc: datetime) -> None:
    taken = READ(post({"email": "a@b", "at": written})).at
    assert (taken, taken.tzinfo) == (utc, UTC)


class Between(Wire):
    since: datetime | None = None
    colour: Colour | None = None
    words: list[str] | None = None
    text: str | None = None


def asked(*pairs: tuple[str, str]) -> Any:
    return SimpleNamespace(query_string="given", get_query_args=lambda keep_blank_values: list(pairs))


def test_instants_of_a_query_are_turned_and_refused_alike() -> None:
    read = query_reader(Between, ignore_unknown=False)
    assert read(asked(("since", "2026-01-31T12:00:00+02:00"))).since == datetime(2026, 1, 31, 10, tzinfo=UTC)
    with pytest.raises(Invalid):
        read(asked(("since", "9999-12-31T23:59:59-05:00")))


def test_a_cursor_with_an_instant_out_of_range_is_no_cursor() -> None:
    made = cursor.encode(["9999-12-31T23:59:59-05:00", "x"])
    with pytest.raises(Invalid) as refused:
        cursor.decode(made, cursor.TimePosition)
    assert refused.value.extra["errors"][0]["path"] == "cursor"


def test_a_page_passes_over_parameters_it_does_not_know() -> None:
    read = query_reader(Between, ignore_unknown=True)
    found = read(
        asked(("utm_source", "letter"), ("text", "a"), ("fbclid", "x"), ("fbclid", "y"), ("text", "b"), ("words", "w"))
    )
    assert (found.text, found.words) == ("a", ["w"])
    with pytest.raises(Invalid):
        query_reader(Between, ignore_unknown=False)(asked(("utm_source", "letter")))


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("Home%20Decor", "Home Decor"),
        ("caf%C3%A9", "café"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("%2541", "%41"),
        ("a+b", "a+b"),
        ("plain", "plain"),
        ("%E8%8C%B6-1", "茶-1"),
    ],
)
def test_a_path_parameter_is_decoded_once(raw: str, decoded: str) -> None:
    assert segment(raw) == decoded


@pytest.mark.parametrize("raw", ["%FF", "a%C3", "%ED%A0%80", "%", "%4", "%zz", "a%2", "%C0%AF"])
def test_a_path_that_is_not_utf_8_or_not_encoded_is_malformed(raw: str) -> None:
    with pytest.raises(Malformed):
        segment(raw)


def fingerprint_of(document: bytes, path: str = "api/orders", **parameters: str) -> str:
    request: Any = SimpleNamespace(method="POST", route=SimpleNamespace(path=path))
    return fingerprint(request, READ(post(document)), parameters)


def test_a_fingerprint_is_of_what_was_asked_and_not_of_its_bytes() -> None:
    first = fingerprint_of(b'{"email":"a@b","items":[{"sku":"A","quantity":3}]}')
    assert first == fingerprint_of(b'{ "items" : [{"quantity": 3.0, "sku":"\\u0041"}],\n"email":"a@b" }')
    assert first == fingerprint_of(b'{"email":"a@b","items":[{"sku":"A","quantity":3}],"name":"x"}', "api/orders/")
    assert first != fingerprint_of(b'{"email":"a@b","items":[{"sku":"A","quantity":2}]}')
    assert first != fingerprint_of(b'{"email":"a@b","items":[{"sku":"A","quantity":3}]}', id="1")
    assert first != fingerprint_of(b'{"email":"a@b","items":[{"sku":"A","quantity":3}]}', "api/other")


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("text/*", True),
        ("application/json;q=0.5, text/html;q=0.9", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0", False),
        ("text/html;q=0.3, application/problem+json", False),
        ("text/html;q=nonsense", False),
        ("text/html" + " " * 2_000, False),
        ("application/json, text/plain, */*", False),
    ],
)
def test_html_is_for_whoever_asks_for_it_first(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html
