"""Owns the service's HTTP contract as requests: one function per route that the workbench uses. Built here once, sent
by the open loop and by locust alike."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from workloads.client.exchange import Request, json_request

GOOD_CARD, BAD_CARD = "pm_card_visa", "pm_card_declined"
PAGE_SIZE_MAX = 100
Lines = Iterable[tuple[str, int]]


def register(email: str, password: str, name: str) -> Request:
    return json_request("POST", "/api/auth/register", "register", {"email": email, "password": password, "name": name})


def login(email: str, password: str) -> Request:
    return json_request("POST", "/api/auth/login", "login", {"email": email, "password": password})


def refresh(refresh_token: str) -> Request:
    return json_request("POST", "/api/auth/refresh", "refresh", {"refreshToken": refresh_token})


def products(*, limit: int = 24, cursor: str | None = None, sort: str | None = None) -> Request:
    return json_request("GET", f"/api/products?{_query(limit=limit, cursor=cursor, sort=sort)}", "products")


def search(words: str) -> Request:
    return json_request("GET", f"/api/products/search?{_query(q=words)}", "search")


def product(slug: str) -> Request:
    return json_request("GET", f"/api/products/{_segment(slug)}", "product")


def availability(skus: Iterable[str]) -> Request:
    return json_request("GET", f"/api/inventory/availability?{urlencode([('sku', s) for s in skus])}", "availability")


def put_in_cart(token: str, sku: str, quantity: int) -> Request:
    return json_request("PUT", f"/api/cart/items/{_segment(sku)}", "cart", {"quantity": quantity}, bearer(token))


def empty_cart(token: str) -> Request:
    return json_request("DELETE", "/api/cart", "cart_empty", None, bearer(token))


def notify_me(token: str, sku: str) -> Request:
    return json_request("POST", f"/api/inventory/{_segment(sku)}/notify-me", "notify_me", {}, bearer(token))


def checkout(token: str, lines: Lines, key: str) -> Request:
    return _keyed("POST", "/api/orders", "checkout", {"items": _items(lines)}, token, key)


def checkout_cart(token: str, key: str) -> Request:
    return _keyed("POST", "/api/orders", "checkout", {"fromCart": True}, token, key)


def pay(token: str, order_id: str, key: str, *, card_is_good: bool = True) -> Request:
    card = GOOD_CARD if card_is_good else BAD_CARD
    return _keyed("POST", f"/api/orders/{order_id}/pay", "pay", {"paymentMethod": card}, token, key)


def cancel(token: str, order_id: str, key: str) -> Request:
    return _keyed("POST", f"/api/orders/{order_id}/cancel", "cancel", {}, token, key)


def refund(token: str, order_id: str, lines: Lines, key: str) -> Request:
    body = {"items": _items(lines), "restock": True}
    return _keyed("POST", f"/api/orders/{order_id}/refund", "refund", body, token, key)


def orders(token: str, *, cursor: str | None = None, limit: int = PAGE_SIZE_MAX) -> Request:
    return json_request("GET", f"/api/orders?{_query(limit=limit, cursor=cursor)}", "orders", None, bearer(token))


def receive(token: str, lines: Lines, key: str) -> Request:
    return _keyed("POST", "/api/inventory/receive", "receive", {"lines": _items(lines)}, token, key)


def inventory(token: str, sku: str) -> Request:
    return json_request("GET", f"/api/inventory/{_segment(sku)}", "inventory", None, bearer(token))


def reprice(token: str, product_id: str, price: int) -> Request:
    """`price` in minor units."""
    return json_request("PATCH", f"/api/products/{_segment(product_id)}", "reprice", {"price": price}, bearer(token))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _keyed(method: str, path: str, route: str, document: Mapping[str, Any], token: str, key: str) -> Request:
    return json_request(method, path, route, document, {**bearer(token), "Idempotency-Key": key})


def _items(lines: Lines) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": quantity} for sku, quantity in lines]


def _segment(text: str) -> str:
    return quote(text, safe="")


def _query(**parameters: Any) -> str:
    return urlencode({name: value for name, value in parameters.items() if value is not None})
