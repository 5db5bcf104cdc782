"""Which routes the audit log follows is derived from what they declare."""

from collections.abc import Iterator
from typing import Any

import pytest

from service import bootstrap
from service.app import create_app
from service.config import Config
from service.web.audit.layer import audited, may_concern_others
from service.web.http.access import Access
from service.web.http.operation import SAFE_METHODS


@pytest.fixture(scope="module")
def routes() -> Iterator[list[Any]]:
    """Of the whole service, on stores that nobody calls."""
    stores = bootstrap.connect(Config())
    shop = bootstrap.build(Config(), stores)
    front = bootstrap.http_edge(shop)
    app = create_app(shop, front, bootstrap.background(shop))
    app.router.finalize()
    yield list(app.router.routes)
    front.auth.passwords.close()
    stores.client.close()


def named(routes: list[Any], chosen: Any) -> set[str]:
    return {f"{one.ctx.operation.method} /{one.path}".rstrip("/") for one in routes if chosen(one)}


def test_everything_an_admin_does_and_everything_staff_change_is_followed(routes: list[Any]) -> None:
    for route in routes:
        operation = route.ctx.operation
        if operation.access is Access.ADMIN:
            assert audited(operation), route.path
        if operation.access is Access.STAFF and operation.method not in SAFE_METHODS:
            assert audited(operation), route.path


def test_everything_that_happens_to_an_account_is_followed(routes: list[Any]) -> None:
    followed = named(routes, lambda route: audited(route.ctx.operation))
    changes = named(
        routes,
        lambda route: route.path.startswith("api/auth/") and route.ctx.operation.method not in SAFE_METHODS,
    )
    assert changes <= followed


def test_a_route_by_which_staff_reach_a_customers_orders_is_followed(routes: list[Any]) -> None:
    reached = named(routes, lambda route: may_concern_others(route.ctx.operation, route.path))
    orders = "/api/orders/<order_id:str>"
    assert {f"GET {orders}", f"POST {orders}/cancel", f"POST {orders}/pay", "GET /api/orders"} <= reached
    assert "GET /api/auth/me" not in reached
    assert "GET /api/products" not in reached
