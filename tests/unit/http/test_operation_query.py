"""What a query string may say."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import Invalid
from service.web.http.operation import Wire
from service.web.http.reading import query_reader


class Asked(Wire):
    role: str | None = None
    limit: int = 24
    words: str = ""


def read(*pairs: tuple[str, str]) -> Any:
    request = SimpleNamespace(query_string="given", get_query_args=lambda keep_blank_values: list(pairs))
    return query_reader(Asked, ignore_unknown=False)(request)  # type: ignore[arg-type]


def test_a_query_is_read_into_its_types() -> None:
    found = read(("role", "staff"), ("limit", "5"))
    assert (found.role, found.limit, found.words) == ("staff", 5, "")


@pytest.mark.parametrize("word", ["null", "NULL", "Null", "true", "1", "1.0"])
def test_a_string_is_a_string_whatever_it_looks_like(word: str) -> None:
    assert read(("role", word)).role == word
    assert read(("words", word)).words == word


def test_what_is_left_out_is_nothing() -> None:
    assert read(("words", "x")).role is None


def test_the_word_null_may_be_searched_for() -> None:
    assert read(("words", "null")).words == "null"


@pytest.mark.parametrize("pairs", [[("role", "a"), ("role", "b")], [("unknown", "1")], [("limit", "many")]])
def test_what_the_route_does_not_take_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid):
        read(*pairs)
