"""The short ways through the mock give what mongomock's own long ways give."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mongomock.filtering import filter_applies
from pymongo.errors import WriteError

from workloads.simulation.mongo.documents import applies, change, copied, plain_changes, shown, stored

VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", ""])
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES | st.lists(VALUES, max_size=2), max_size=3)
OPERATORS = st.one_of(
    st.builds(lambda among: {"$in": among}, st.lists(VALUES, max_size=3)),
    st.builds(lambda among: {"$nin": among}, st.lists(VALUES, max_size=3)),
    st.builds(lambda other: {"$ne": other}, VALUES),
    st.builds(lambda there: {"$exists": there}, st.booleans()),
    st.builds(lambda least: {"$gte": least}, st.integers(-2, 2)),
)
CONDITIONS = st.dictionaries(st.sampled_from("abc"), VALUES | OPERATORS, max_size=3)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@given(CONDITIONS, DOCUMENTS)
def test_a_condition_applies_when_mongomock_says_so(condition: dict[str, Any], document: dict[str, Any]) -> None:
    assert applies(condition, document) == filter_applies(condition, document)


def test_a_moment_is_kept_without_its_zone_to_the_millisecond_and_shown_with_it() -> None:
    kept = stored({"at": NOON.replace(microsecond=1999), "inner": [{"at": NOON}]})
    assert kept == {"at": datetime(2026, 3, 2, 12, 0, 0, 1000), "inner": [{"at": datetime(2026, 3, 2, 12)}]}
    assert shown(kept) == {"at": NOON.replace(microsecond=1000), "inner": [{"at": NOON}]}


@pytest.mark.parametrize("copy", [copied, stored, shown])
def test_a_copy_shares_nothing_that_can_change(copy: Any) -> None:
    document = {"items": [{"sku": "a"}], "inner": {"list": [1]}}
    twin = copy(document)
    twin["items"][0]["sku"], twin["inner"]["list"][0] = "b", 2
    assert document == {"items": [{"sku": "a"}], "inner": {"list": [1]}}


@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"refunds.$.done": True}},
        {"$set": {"lines.0.sku": "a"}},
        {"$set": {"a": 1}, "$unset": {"b": 1}},
        {"$push": {"history": {"$each": [1, 2]}}},
        {"$inc": {"inner.n": 1}},
        [{"$set": {"a": 1}}],
    ],
)
def test_an_update_that_is_more_than_plain_is_left_to_mongomock(update: Any) -> None:
    assert plain_changes(update) is None


def test_a_plain_update_says_whether_it_changed_anything() -> None:
    document: dict[str, Any] = {"n": 1}
    changes = plain_changes({"$set": {"a": "x", "inner.b": 2}, "$inc": {"n": 4, "m": 1}, "$push": {"list": {"c": 3}}})
    assert changes is not None
    assert change(document, changes)
    assert document == {"n": 5, "a": "x", "inner": {"b": 2}, "m": 1, "list": [{"c": 3}]}
    assert not change(document, [("$set", "a", "x"), ("$inc", "n", 0)])


@pytest.mark.parametrize("step", [("$set", "name.first", "x"), ("$push", "name", "x")])
def test_a_field_of_the_wrong_kind_is_refused_as_the_server_does(step: tuple[str, str, Any]) -> None:
    with pytest.raises(WriteError):
        change({"name": "y"}, [step])
