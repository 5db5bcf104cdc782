"""What an index costs an order is the server's own count."""

from typing import Any

import pytest

from workloads.client.command_line import ask


@pytest.fixture(scope="module")
def cost() -> dict[str, Any]:
    result = ask("bench", "index-cost", "--quick")
    return result | {"by_name": {f"{row['collection']}.{row['index']}": row for row in result["indexes"]}}


def keys(cost: dict[str, Any], name: str) -> tuple[float, float, float]:
    row = cost["by_name"][name]
    return row["keysPlaced"], row["keysPaid"], row["keysExpired"]


def test_an_index_of_holds_that_are_active_is_written_when_one_begins_and_when_it_ends(cost: dict[str, Any]) -> None:
    assert keys(cost, "reservations.expiresAt_1") == (1, 1, 1)


def test_an_index_of_what_never_changes_is_written_once(cost: dict[str, Any]) -> None:
    assert keys(cost, "orders.userId_1_createdAt_-1__id_-1") == (1, 0, 0)
    assert keys(cost, "orders.status_1_createdAt_-1__id_-1") == (1, 2, 0), "a status is taken out and put in again"


def test_what_many_orders_share_costs_each_a_part(cost: dict[str, Any]) -> None:
    assert 0 < keys(cost, "outbox.waiting_1__id_1")[0] < 0.5


def test_an_index_an_order_does_not_touch_costs_it_nothing(cost: dict[str, Any]) -> None:
    assert not {name for name in cost["by_name"] if name.startswith(("products.", "users.", "offers.", "carts."))}


def test_each_figure_is_there(cost: dict[str, Any]) -> None:
    assert cost["mongodCpuMicrosPerOrder"]["onlyUniqueIndexes"] > 0
    extra = cost["secondaryIndexesMicrosPerOrder"]
    assert extra["low"] <= extra["median"] <= extra["high"]
    assert all(row["bytesPerOrder"] > 0 for row in cost["indexes"] if row["keysPlaced"])
