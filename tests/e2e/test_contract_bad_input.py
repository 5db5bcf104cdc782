"""Whatever is wrong with a checkout, it is answered as the contract says and changes nothing."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from api import Api
from selling import Sell

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def untouched(staff: Api, sell: Sell, customer: Api) -> Any:
    """A SKU of ten; afterwards all ten are there and free, and the customer has no order."""
    sku = sell(stock=10)
    yield sku
    stock = staff.get(f"/api/inventory/{sku}").json
    assert (stock["onHand"], stock["reserved"]) == (10, 0)
    assert customer.get("/api/orders").json["items"] == []


@pytest.mark.parametrize(
    "quantity", [0, -1, 1.5, 2.0000001, "3", None, True, [], {}, 1_000_001, 2**63, 2**64, 10**400, 1e300], ids=repr
)
def test_a_quantity_that_is_no_number_of_things(customer: Api, untouched: str, quantity: Any):
    refused = customer.post("/api/orders", {"items": [{"sku": untouched, "quantity": quantity}]})
    assert (refused.status, refused.code) in {(422, "invalid"), (400, "malformed")}
    if refused.status == 422:
        assert refused.json["errors"][0]["path"] == "items[0].quantity"


@pytest.mark.parametrize(
    "sku", ["NO-SUCH-SKU", "", " ", "a/b", "$ne", "x" * 65, "A\n", "é", 7, None, {"$ne": ""}, ["A"]], ids=repr
)
def test_a_sku_that_nobody_sells(customer: Api, untouched: str, sku: Any):
    body = {"items": [{"sku": untouched, "quantity": 1}, {"sku": sku, "quantity": 1}]}
    refused = customer.post("/api/orders", body)
    assert refused.status in {400, 422}
    assert refused.code in {"unknown_sku", "invalid", "operator_refused"}


@pytest.mark.parametrize("count", [0, 1_001, 10_001])
def test_an_order_without_lines_or_with_too_many(customer: Api, untouched: str, count: int):
    items = [{"sku": untouched, "quantity": 1}] * count
    refused = customer.post("/api/orders", {"items": items})
    assert refused.status in {413, 422}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "items",
        {"items": None},
        {"items": {}},
        {"items": [[]]},
        {"items": [{}]},
        {"items": [{"sku": "A"}]},
        {"items": [{"quantity": 1}]},
        {"fromCart": "yes"},
        {"fromCart": False},
    ],
    ids=repr,
)
def test_a_body_of_the_wrong_shape(customer: Api, untouched: str, body: Any):
    refused = customer.call("POST", "/api/orders", raw=json.dumps(body).encode(), headers=JSON)
    assert refused.status == 422
    assert refused.json["errors"]


def test_items_and_the_cart_at_once(customer: Api, untouched: str):
    body = {"items": [{"sku": untouched, "quantity": 1}], "fromCart": True}
    assert customer.post("/api/orders", body).status == 422


@pytest.mark.parametrize("field", ["price", "unitPrice", "total", "discount"])
def test_a_price_the_client_sends(customer: Api, untouched: str, field: str):
    line = {"sku": untouched, "quantity": 1}
    assert customer.post("/api/orders", {"items": [{**line, field: 1}]}).status == 422
    assert customer.post("/api/orders", {"items": [line], field: 1}).status == 422


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"items": [}',
        b"\xff\xfe",
        b"items=1",
        b'{"items": [{"sku": "A", "quantity": NaN}]}',
        b'{"items": [{"sku": "A", "quantity": Infinity}]}',
        b'{"items": [], "items": []}',
        b"{'items': []}",
        b'{"items": [{"sku": "\\ud800", "quantity": 1}]}',
        b"[" * 10_000,
        b'{"$where": "1"}',
        b'{"items.0.sku": 1}',
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_a_body_that_is_no_json_or_that_hides_something(customer: Api, untouched: str, raw: bytes):
    refused = customer.call("POST", "/api/orders", raw=raw, headers=JSON)
    assert refused.status == 400
    assert refused.code in {"malformed", "duplicate_key", "too_deep", "operator_refused"}


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
    ],
)
def test_another_content_type(customer: Api, untouched: str, kind: str | None):
    raw = json.dumps({"items": [{"sku": untouched, "quantity": 1}]}).encode()
    refused = customer.call("POST", "/api/orders", raw=raw, headers={} if kind is None else {"Content-Type": kind})
    assert (refused.status, refused.code) == (415, "unsupported_media_type")


def test_a_body_larger_than_allowed(customer: Api, untouched: str):
    raw = b'{"items": "' + b"x" * 1_100_000 + b'"}'
    refused = customer.call("POST", "/api/orders", raw=raw, headers=JSON)
    assert (refused.status, refused.code) == (413, "too_large")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "tab\tin"], ids=repr)
def test_an_idempotency_key_that_is_none(customer: Api, untouched: str, key: str):
    body = json.dumps({"items": [{"sku": untouched, "quantity": 1}]}).encode()
    headers = {**JSON, "Idempotency-Key": key.encode("latin-1").decode("latin-1")}
    assert customer.call("POST", "/api/orders", raw=body, headers=headers).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"paymentMethod": ""},
        {"paymentMethod": None},
        {"paymentMethod": "x" * 201},
        {"amount": 1, "paymentMethod": "ok"},
    ],
    ids=repr,
)
def test_a_wrong_payment_changes_nothing(customer: Api, staff: Api, sell: Sell, body: dict):
    sku = sell(stock=10)
    placed = customer.post("/api/orders", {"items": [{"sku": sku, "quantity": 1}]}).json["order"]
    assert customer.post(f"/api/orders/{placed['id']}/pay", body).status == 422
    after = customer.get(f"/api/orders/{placed['id']}").json["order"]
    assert (after["status"], after["paymentStatus"]) == ("pending", None)


@pytest.mark.parametrize("path", ["%00", "a%00b", "..%2f..%2fetc", "%ff", "a" * 3_000, "'--", "<script>", "${7*7}"])
def test_an_id_that_is_none(staff: Api, path: str):
    for route in ("/api/orders/", "/api/products/", "/api/inventory/"):
        assert staff.get(route + path).status in {400, 404}


def test_a_request_that_is_no_http_is_answered_with_a_problem_or_hung_up_on(nobody: Api):
    connection = http.client.HTTPConnection(urlsplit(nobody.url).netloc, timeout=10)
    try:
        connection.putrequest("GET", "/api/products", skip_host=True)
        connection.putheader("Host", "shop.example")
        connection.putheader("X-Many", "y" * 20_000)
        connection.endheaders()
        response = connection.getresponse()
        assert 400 <= response.status < 500
        assert json.loads(response.read())["code"]
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path"), [("PUT", "/api/products/categories/{}"), ("DELETE", "/api/cart/items/{}")])
def test_a_part_of_a_path_longer_than_any_id(staff: Api, method: str, path: str):
    body = {"name": "Mugs"} if method == "PUT" else None
    assert staff.call(method, path.format("%C3%A9" * 200), body).status < 300
    refused = staff.call(method, path.format("a" * 201), body)
    assert (refused.status, refused.code) == (400, "malformed")
