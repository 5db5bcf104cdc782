"""When a SKU has an alert, and how many people may be told that it is back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.alerts.models import Alert, AlertKind, conditions, may_matter, plan, to_tell
from service.inventory.models import Stock

LOW, OUT = AlertKind.LOW_STOCK, AlertKind.OUT_OF_STOCK
A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def stock(available: int, threshold: int = 5, reserved: int = 0) -> Stock:
    return Stock("TEA", available + reserved, reserved, 1, threshold)


def alert(kind: AlertKind, sku: str = "TEA") -> Alert:
    return Alert(f"{sku}-{kind}", sku, kind, 0, 5, A_MOMENT)


@pytest.mark.parametrize(("available", "found"), [(6, set()), (5, {LOW}), (1, {LOW}), (0, {LOW, OUT})])
def test_a_sku_is_low_at_its_threshold_and_out_at_nothing(available: int, found: set[AlertKind]) -> None:
    assert conditions(stock(available)) == found


def test_held_stock_counts_as_gone() -> None:
    assert OUT in conditions(stock(0, reserved=9))


def test_what_is_missing_is_raised_and_what_is_over_is_resolved() -> None:
    todo = plan({"TEA": stock(3)}, [alert(OUT)])
    assert [(found.sku, kind) for found, kind in todo.missing] == [("TEA", LOW)]
    assert todo.over == (alert(OUT),)


def test_nothing_is_done_twice() -> None:
    assert not plan({"TEA": stock(0)}, [alert(LOW), alert(OUT)])


def test_the_alerts_of_a_sku_that_is_gone_are_over() -> None:
    assert plan({}, [alert(LOW, "GONE")]).over == (alert(LOW, "GONE"),)


@given(was=st.integers(0, 30), available=st.integers(0, 30), threshold=st.integers(0, 30))
def test_a_change_that_does_not_matter_changes_no_condition(was: int, available: int, threshold: int) -> None:
    if not may_matter(was, available, threshold):
        assert conditions(stock(was, threshold)) == conditions(stock(available, threshold))


@given(available=st.integers(0, 50), outstanding=st.integers(0, 50))
def test_never_more_people_with_a_fresh_notice_than_units(available: int, outstanding: int) -> None:
    told = to_tell(available, outstanding)
    assert told >= 0
    assert outstanding + told <= max(available, outstanding)
