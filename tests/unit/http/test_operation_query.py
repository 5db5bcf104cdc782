"""What a query string may say."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import Invalid
from service.web.http.operation import Wire, _read_query


class Asked(Wire):
    role: str | None = None
    limit: int = 24
    words: str = ""


def read(*pairs: tuple[str, str]) -> Any:
    request = SimpleNamespace(query_string="given", get_query_args=lambda keep_blank_values: list(pairs))
    return _read_query(request, Asked, {}, frozenset({"role"}), Asked())  # type: ignore[arg-type]


def test_a_query_is_read_into_its_types() -> None:
    assert read(("role", "staff"), ("limit", "5")) == Asked(role="staff", limit=5)


@pytest.mark.parametrize("word", ["null", "NULL"])
def test_null_is_not_taken_for_nothing(word: str) -> None:
    with pytest.raises(Invalid):
        read(("role", word))


def test_the_word_null_may_be_searched_for() -> None:
    assert read(("words", "null")).words == "null"


@pytest.mark.parametrize("pairs", [[("role", "a"), ("role", "b")], [("unknown", "1")], [("limit", "many")]])
def test_what_the_route_does_not_take_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid):
        read(*pairs)
