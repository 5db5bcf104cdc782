"""What holds on every route: problems, request ids, idempotency, limits, methods."""

import gzip
import http.client
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

from api import PASSWORD, Answer, Api
from selling import Sell
from stacks import Stack


def checkout(api: Api, sku: str, key: str | None, quantity: int = 1) -> Answer:
    return api.post("/api/orders", {"items": [{"sku": sku, "quantity": quantity}]}, key=key)


def test_a_refusal_is_a_problem_document_and_no_trace(nobody: Api):
    refused = nobody.get("/api/products/no-such-thing")
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json
    assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= set(problem)
    assert (problem["status"], problem["instance"]) == (404, "/api/products/no-such-thing")
    assert problem["requestId"] == refused.headers["x-request-id"]
    assert re.fullmatch(r"[a-z][a-z0-9_]+", problem["code"])
    assert "Traceback" not in refused.body.decode()


def test_what_is_wrong_with_a_body_is_said_field_by_field(customer: Api):
    refused = customer.post("/api/orders", {"items": [{"sku": "A", "quantity": 0}]})
    assert refused.status == 422
    for error in refused.json["errors"]:
        assert set(error) == {"path", "message"}


def test_a_path_nobody_serves_and_a_method_nobody_offers(nobody: Api):
    assert (nobody.get("/api/nowhere").status, nobody.get("/nowhere").status) == (404, 404)
    wrong = nobody.call("PATCH", "/api/auth/login", {})
    assert wrong.status == 405
    assert wrong.headers["allow"] == "POST"
    assert nobody.call("TRACE", "/api/products/tea").headers["allow"] == "GET, HEAD, PATCH, DELETE"


def test_a_whole_number_may_be_written_with_a_point(customer: Api, sell: Sell):
    sku = sell(5)
    put = customer.call("PUT", f"/api/cart/items/{sku}", {"quantity": 2.0})
    assert (put.status, put.json["items"][0]["quantity"]) == (200, 2)
    assert customer.call("PUT", f"/api/cart/items/{sku}", {"quantity": 2.5}).status == 422
    assert customer.call("PUT", f"/api/cart/items/{sku}", {"quantity": 1e300}).status == 422


def test_every_answer_carries_a_request_id_and_takes_a_decent_one_over(nobody: Api):
    assert (
        nobody.get("/health/live", headers={"X-Request-ID": "mine-12345678"}).headers["x-request-id"].startswith("mine")
    )
    made_up = nobody.get("/health/live", headers={"X-Request-ID": "<script>alert(1)</script>"}).headers["x-request-id"]
    assert "<" not in made_up
    assert nobody.get("/health/live").headers["x-request-id"] != nobody.get("/health/live").headers["x-request-id"]


def test_limited_routes_say_what_is_left(customer: Api, nobody: Api):
    for answer in (nobody.get("/api/products"), customer.get("/api/orders"), nobody.get("/api/products/none")):
        assert re.search(r'"[^"]+";r=\d+;t=\d+', answer.headers["ratelimit"])
        assert re.search(r'"[^"]+";q=\d+;w=\d+', answer.headers["ratelimit-policy"])


def test_times_are_rfc_3339_in_utc_and_ids_are_text(customer: Api, sell: Sell):
    order = checkout(customer, sell(), None).json["order"]
    for moment in (order["createdAt"], order["reservation"]["expiresAt"], order["history"][0]["at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", moment)
    assert isinstance(order["id"], str)
    assert isinstance(order["total"], int)


def test_the_same_key_and_body_replays_the_first_answer(customer: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=10), uuid4().hex
    first, again = checkout(customer, sku, key), checkout(customer, sku, key)
    assert (first.status, again.status) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json == again.json
    assert staff.get(f"/api/inventory/{sku}").json["reserved"] == 1


def test_the_same_key_with_another_body_is_refused(customer: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=10), uuid4().hex
    checkout(customer, sku, key)
    refused = checkout(customer, sku, key, quantity=2)
    assert (refused.status, refused.code) == (409, "idempotency_key_reused")
    assert staff.get(f"/api/inventory/{sku}").json["reserved"] == 1


def test_a_key_is_its_users_own(customer: Api, nobody: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=10), uuid4().hex
    mine, theirs = checkout(customer, sku, key), checkout(nobody.newcomer(), sku, key)
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.json["order"]["id"] != theirs.json["order"]["id"]


def test_simultaneous_duplicates_are_one_order(customer: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=100), uuid4().hex
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: checkout(customer, sku, key), range(10)))
    placed = {answer.json["order"]["id"] for answer in answers if answer.status == 201}
    assert len(placed) == 1
    for answer in answers:
        assert answer.status == 201 or answer.code == "idempotency_in_progress"
    assert staff.get(f"/api/inventory/{sku}").json["reserved"] == 1


def test_a_refused_checkout_is_refused_again_under_its_key(customer: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=0), uuid4().hex
    first = checkout(customer, sku, key)
    staff.post("/api/inventory/receive", {"lines": [{"sku": sku, "quantity": 5}]})
    again = checkout(customer, sku, key)
    assert (first.status, again.status, again.headers["idempotency-replayed"]) == (409, 409, "true")
    assert first.json["shortages"] == again.json["shortages"]


def test_simultaneous_payments_under_one_key_are_one_payment(customer: Api, staff: Api, sell: Sell):
    sku, key = sell(stock=10), uuid4().hex
    pay = f"/api/orders/{checkout(customer, sku, None).json['order']['id']}/pay"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: customer.post(pay, {"paymentMethod": "ok"}, key=key), range(6)))
    for answer in answers:
        assert answer.status == 200 or answer.code == "idempotency_in_progress"
        if answer.status != 200:
            assert int(answer.headers["retry-after"]) > 0
    again = customer.post(pay, {"paymentMethod": "ok"}, key=key)
    assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 9


def test_too_many_logins_are_refused_until_later(hasty: Stack):
    body = {"email": "nobody@example.org", "password": PASSWORD}
    refused = None
    for _ in range(60):
        answer = hasty.nobody.post("/api/auth/login", body)
        if answer.status == 429:
            refused = answer
            break
    assert refused is not None, "sixty wrong logins in a row were all heard"
    assert int(refused.headers["retry-after"]) > 0
    assert refused.code in {"rate_limited", "login_locked"}


def test_large_answers_are_compressed_for_those_who_understand(nobody: Api):
    plain = http.client.HTTPConnection(urlsplit(nobody.url).netloc, timeout=10)
    try:
        plain.request("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"})
        answer = plain.getresponse()
        body = answer.read()
    finally:
        plain.close()
    assert answer.getheader("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(body)) == nobody.document.published
    assert "content-encoding" not in nobody.get("/openapi.json").headers


def test_a_store_that_is_down_is_a_503_and_comes_back(hasty: Stack, stack: Stack):
    mongod = stack.processes["mongod"]
    os.kill(mongod, signal.SIGSTOP)
    try:
        ready = hasty.nobody.get("/health/ready")
        assert (ready.status, ready.json["stores"]["mongodb"], ready.json["stores"]["redis"]) == (503, "down", "up")
        down = hasty.nobody.get("/api/inventory/availability", sku="A")
        assert (down.status, down.code) == (503, "unavailable")
        assert int(down.headers["retry-after"]) > 0
    finally:
        os.kill(mongod, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while hasty.nobody.get("/health/ready").status != 200:
        assert time.monotonic() < deadline, "the store is back and nobody noticed"
        time.sleep(0.2)
