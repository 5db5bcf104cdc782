"""/api/inventory, row by row."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from api import Api
from selling import Sell


def buy(api: Api, sku: str, quantity: int = 1) -> dict:
    answer = api.post("/api/orders", {"items": [{"sku": sku, "quantity": quantity}]})
    assert answer.status == 201, answer.body
    order: dict = answer.json["order"]
    return order


def test_anyone_sees_what_can_be_bought(nobody: Api, staff: Api, sell: Sell, customer: Api):
    plenty, gone = sell(stock=100), sell(stock=0)
    answer = nobody.get("/api/inventory/availability", sku=[plenty, gone])
    assert answer.status == 200
    found = {item["sku"]: item for item in answer.json["items"]}
    assert found[plenty]["available"] == 100
    assert (found[plenty]["inStock"], found[plenty]["lowStock"], found[plenty]["action"]) == (
        True,
        False,
        "add_to_cart",
    )
    assert (found[gone]["inStock"], found[gone]["lowStock"], found[gone]["action"]) == (False, True, "notify_me")
    buy(customer, plenty, 40)
    [item] = nobody.get("/api/inventory/availability", sku=plenty).json["items"]
    assert item["available"] == 60


def test_availability_takes_a_hundred_skus_and_no_more(nobody: Api, sell: Sell):
    sku = sell(stock=1)
    many = [sku] + [f"NONE-{number}" for number in range(99)]
    assert nobody.get("/api/inventory/availability", sku=many).status == 200
    assert nobody.get("/api/inventory/availability", sku=[*many, "ONE-MORE"]).status == 422
    assert nobody.get("/api/inventory/availability").status == 422


def test_staff_see_the_whole_stock_of_a_sku(staff: Api, customer: Api, nobody: Api, sell: Sell):
    sku = sell(stock=10)
    buy(customer, sku, 4)
    stock = staff.get(f"/api/inventory/{sku}")
    assert stock.status == 200
    assert {k: stock.json[k] for k in ("sku", "onHand", "reserved", "available")} == {
        "sku": sku,
        "onHand": 10,
        "reserved": 4,
        "available": 6,
    }
    assert {"productId", "lowStockThreshold", "version"} <= set(stock.json)
    assert customer.get(f"/api/inventory/{sku}").status == 403
    assert nobody.get(f"/api/inventory/{sku}").status == 401
    assert staff.get("/api/inventory/NO-SUCH-SKU").status == 404


def test_stock_is_adjusted_but_never_below_what_is_reserved(staff: Api, customer: Api, sell: Sell):
    sku = sell(stock=10)
    buy(customer, sku, 4)
    adjusted = staff.post(f"/api/inventory/{sku}/adjust", {"delta": -6, "reason": "damaged"})
    assert (adjusted.status, adjusted.json["onHand"], adjusted.json["available"]) == (200, 4, 0)
    refused = staff.post(f"/api/inventory/{sku}/adjust", {"delta": -1, "reason": "damaged"})
    assert (refused.status, refused.code) == (409, "below_reserved")
    assert staff.post("/api/inventory/NO-SUCH-SKU/adjust", {"delta": 1, "reason": "found"}).status == 404
    assert customer.post(f"/api/inventory/{sku}/adjust", {"delta": 9, "reason": "mine"}).status == 403
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 4


@pytest.mark.parametrize("delta", [0, 1.5, "3", None, True, 10**12], ids=str)
def test_an_adjustment_is_a_whole_number_that_changes_something(staff: Api, sell: Sell, delta: object):
    sku = sell(stock=1)
    assert staff.post(f"/api/inventory/{sku}/adjust", {"delta": delta, "reason": "x"}).status == 422
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 1


def test_two_staff_who_adjust_at_once_are_both_counted(staff: Api, sell: Sell):
    sku = sell(stock=100)
    with ThreadPoolExecutor(8) as pool:
        body = {"delta": -1, "reason": "count"}
        statuses = list(pool.map(lambda _: staff.post(f"/api/inventory/{sku}/adjust", body).status, range(24)))
    assert set(statuses) == {200}
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 76


def test_goods_come_in_all_or_nothing(staff: Api, customer: Api, sell: Sell):
    one, other = sell(stock=1), sell(stock=1)
    lines = [{"sku": one, "quantity": 4}, {"sku": other, "quantity": 2}]
    assert staff.post("/api/inventory/receive", {"lines": lines}).status == 200
    assert staff.get(f"/api/inventory/{one}").json["onHand"] == 5
    bad = [{"sku": one, "quantity": 4}, {"sku": "NO-SUCH-SKU", "quantity": 2}]
    assert staff.post("/api/inventory/receive", {"lines": bad}).status == 404
    assert staff.get(f"/api/inventory/{one}").json["onHand"] == 5
    assert customer.post("/api/inventory/receive", {"lines": lines}).status == 403


def test_goods_that_come_in_under_a_key_come_in_once(staff: Api, sell: Sell):
    sku, key = sell(stock=1), uuid4().hex
    body = {"lines": [{"sku": sku, "quantity": 4}]}
    answers = [staff.post("/api/inventory/receive", body, key=key) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["idempotency-replayed"] == "true"
    other = staff.post("/api/inventory/receive", {"lines": [{"sku": sku, "quantity": 5}]}, key=key)
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 5


def test_the_threshold_says_when_stock_is_low(staff: Api, nobody: Api, sell: Sell):
    sku = sell(stock=10)
    assert staff.put(f"/api/inventory/{sku}/threshold", {"lowStockThreshold": 10}).status == 200
    assert staff.get(f"/api/inventory/{sku}").json["lowStockThreshold"] == 10
    assert nobody.get("/api/inventory/availability", sku=sku).json["items"][0]["lowStock"] is True
    listed = [item["sku"] for page in staff.pages("/api/inventory/low-stock", limit=100) for item in page]
    assert sku in listed
    assert staff.put(f"/api/inventory/{sku}/threshold", {"lowStockThreshold": -1}).status == 422
    assert staff.put("/api/inventory/NO-SUCH-SKU/threshold", {"lowStockThreshold": 1}).status == 404


def test_history_tells_who_did_what_newest_first(staff: Api, customer: Api, sell: Sell):
    sku = sell(stock=10)
    order = buy(customer, sku, 2)
    customer.post(f"/api/orders/{order['id']}/pay", {"paymentMethod": "pm_card_visa"})
    staff.post(f"/api/inventory/{sku}/adjust", {"delta": -1, "reason": "broken"})
    entries = [entry for page in staff.pages(f"/api/inventory/{sku}/history", limit=2) for entry in page]
    assert [entry["kind"] for entry in entries] == ["adjust", "confirm", "reserve", "receive"]
    assert (entries[0]["actor"], entries[0]["reason"]) == (staff.user["id"], "broken")
    assert entries[1]["orderId"] == entries[2]["orderId"] == order["id"]
    state = staff.get(f"/api/inventory/{sku}").json
    assert (entries[0]["onHand"], entries[0]["reserved"]) == (state["onHand"], state["reserved"])
    assert sum(entry["onHandDelta"] for entry in entries) == state["onHand"]
    assert customer.get(f"/api/inventory/{sku}/history").status == 403


def test_selling_out_raises_an_alert_that_staff_acknowledge(staff: Api, customer: Api, sell: Sell):
    sku = sell(stock=2)
    buy(customer, sku, 2)
    deadline = time.monotonic() + 20
    found: list[dict] = []
    while not found and time.monotonic() < deadline:
        pages = staff.pages("/api/inventory/alerts", limit=100)
        found = [alert for page in pages for alert in page if alert["sku"] == sku and alert["kind"] == "out_of_stock"]
        time.sleep(0.2)
    assert found, "no alert within twenty seconds"
    noted = staff.post(f"/api/inventory/alerts/{found[0]['id']}/acknowledge")
    assert (noted.status, noted.json["status"]) == (200, "acknowledged")
    assert staff.post("/api/inventory/alerts/no-such-alert/acknowledge").status == 404
    assert customer.get("/api/inventory/alerts").status == 403


def test_a_customer_asks_to_be_told_and_takes_it_back(customer: Api, nobody: Api, sell: Sell):
    sku = sell(stock=0)
    first = customer.post(f"/api/inventory/{sku}/notify-me", {})
    assert first.status == 201
    assert customer.post(f"/api/inventory/{sku}/notify-me", {}).status == 200
    assert customer.delete(f"/api/inventory/{sku}/notify-me").status == 204
    assert customer.delete(f"/api/inventory/{sku}/notify-me").status == 204
    assert nobody.post(f"/api/inventory/{sku}/notify-me", {}).status == 401
    assert customer.post("/api/inventory/NO-SUCH-SKU/notify-me", {}).status == 404


@pytest.mark.parametrize("name", ["expired-cleanup", "low-stock-check", "out-of-stock-check"])
def test_staff_run_a_job_now_and_see_how_it_ends(staff: Api, name: str):
    started = staff.post(f"/api/inventory/jobs/{name}")
    assert started.status == 202
    deadline = time.monotonic() + 30
    job = staff.get(f"/api/inventory/jobs/{started.json['jobId']}").json
    while job["status"] in {"queued", "running"} and time.monotonic() < deadline:
        time.sleep(0.1)
        job = staff.get(f"/api/inventory/jobs/{started.json['jobId']}").json
    assert (job["name"], job["status"], job["error"]) == (name, "succeeded", None)
    assert set(job) >= {"jobId", "name", "status", "result", "error"}


def test_a_job_nobody_knows_is_not_found(staff: Api, customer: Api):
    assert staff.post("/api/inventory/jobs/make-coffee").status == 404
    assert staff.get("/api/inventory/jobs/no-such-run").status == 404
    assert customer.post("/api/inventory/jobs/expired-cleanup").status == 403


def test_the_stream_tells_of_stock_as_it_changes(nobody: Api, customer: Api, sell: Sell):
    sku = sell(stock=10)
    connection = http.client.HTTPConnection(urlsplit(nobody.url).netloc, timeout=20)
    try:
        connection.request("GET", f"/api/inventory/stream?sku={sku}", headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("content-type", "").startswith("text/event-stream")
        time.sleep(0.5)
        buy(customer, sku, 3)
        event, available = "", None
        while available != 7:
            line = response.readline().decode()
            assert line, "the stream ended"
            name, _, value = line.strip().partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "stock":
                available = json.loads(value)["available"]
    finally:
        connection.close()


def test_the_stream_needs_to_know_what_to_tell_of(nobody: Api):
    assert nobody.get("/api/inventory/stream").status == 422


def test_staff_send_stock_as_a_file_and_read_it_as_one(staff: Api, customer: Api, nobody: Api, sell: Sell):
    sku = sell(stock=10)
    file = {"raw": f"sku,quantity\n{sku},5\nNO-SUCH-SKU,1\n".encode(), "headers": {"Content-Type": "text/csv"}}
    asked = {"kind": "receive", "dryRun": "1"}
    dry = staff.call("POST", "/api/inventory/import", query=asked, **file)
    assert [item["status"] for item in dry.json["items"]] == ["would_apply", "refused"]
    done = staff.call("POST", "/api/inventory/import", query={"kind": "receive"}, **file)
    assert (done.status, done.json["done"], done.json["refused"], done.json["complete"]) == (200, 1, 1, True)
    assert done.json["items"][0]["onHand"] == 15
    written = staff.get("/api/inventory", format="csv", prefix=sku)
    assert written.headers["content-type"] == "text/csv; charset=utf-8"
    assert written.body.decode().splitlines()[1].startswith(f"{sku},")
    assert [somebody.call("POST", "/api/inventory/import", **file).status for somebody in (customer, nobody)] == [
        403,
        401,
    ]
    assert customer.get("/api/inventory", format="csv").status == 403


def test_an_import_is_on_record_in_the_audit_log(staff: Api, admin: Api, sell: Sell):
    file = {"raw": f"sku,quantity\n{sell(stock=1)},5\n".encode(), "headers": {"Content-Type": "text/csv"}}
    assert staff.call("POST", "/api/inventory/import", query={"kind": "set"}, **file).status == 200
    entries = admin.get("/api/audit", limit=100).json["items"]
    assert any(entry["action"] == "POST /api/inventory/import" and entry["status"] == 200 for entry in entries)
