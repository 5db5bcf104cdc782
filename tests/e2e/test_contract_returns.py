"""/api/orders/{id}/returns, and steps of an order that take no body."""

import pytest
from api import Api
from selling import Sell


def test_goods_come_back_by_steps_apart_from_the_money(customer: Api, staff: Api, nobody: Api, sell: Sell):
    sku = sell(stock=10)
    order = customer.post("/api/orders", {"items": [{"sku": sku, "quantity": 3}]}).json["order"]
    returns = f"/api/orders/{order['id']}/returns"
    wanted = {"items": [{"sku": sku, "quantity": 2}], "reason": "too large"}
    assert customer.post(returns, wanted).code == "wrong_status"
    assert customer.post(f"/api/orders/{order['id']}/pay", {"paymentMethod": "ok"}).status == 200
    assert staff.post(f"/api/orders/{order['id']}/ship").status == 200
    asked = customer.post(returns, wanted, key="return-1")
    assert (asked.status, asked.json["return"]["status"]) == (201, "requested")
    again = customer.post(returns, wanted, key="return-1")
    assert (again.json, again.headers["idempotency-replayed"]) == (asked.json, "true")
    assert customer.post(returns, wanted).code == "return_too_large"
    assert customer.get(returns).json["returnable"] == {sku: 1}
    stranger = nobody.newcomer()
    assert [stranger.get(returns).status, stranger.post(returns, wanted).status] == [404, 404]
    one = f"{returns}/{asked.json['return']['id']}"
    assert customer.post(f"{one}/receive").status == 403
    assert staff.post(f"{one}/close").code == "wrong_return_status"
    assert staff.post(f"{one}/receive").status == 200
    assert customer.post(f"{one}/cancel").code == "wrong_return_status"
    found = {"items": [{"sku": sku, "restocked": 1, "writtenOff": 1}]}
    assert staff.post(f"{one}/inspect", found).json["return"]["items"][0]["writtenOff"] == 1
    assert staff.post(f"{one}/close", key="close-1").json["return"]["status"] == "closed"
    assert staff.post(f"{one}/close", key="close-1").status == 200
    assert staff.get(f"/api/inventory/{sku}").json["onHand"] == 8
    moved = staff.get("/api/inventory/movements", referenceKind="return", referenceId=asked.json["return"]["id"])
    assert [entry["onHandDelta"] for entry in moved.json["items"]] == [1]
    shown = customer.get(f"/api/orders/{order['id']}").json["order"]
    assert (shown["returns"][0]["status"], shown["refunded"]) == ("closed", 0)


@pytest.mark.parametrize("step", ["cancel", "deliver"])
def test_a_step_that_takes_no_body_refuses_one_that_says_something(staff: Api, customer: Api, sell: Sell, step: str):
    order = customer.post("/api/orders", {"items": [{"sku": sell(), "quantity": 1}]}).json["order"]
    path = f"/api/orders/{order['id']}/{step}"
    dropped = staff.post(path, {"reason": "changed my mind"})
    assert (dropped.status, dropped.json["errors"]) == (422, [{"path": "reason", "message": "Is not known here"}])
    assert staff.post(path, headers={"Content-Type": "text/plain"}, raw=b"please").status in {400, 415}
    assert customer.get(f"/api/orders/{order['id']}").json["order"]["status"] == "pending"
    expected = 200 if step == "cancel" else 409
    assert staff.post(path, {}).status == expected


def test_a_guest_sends_goods_back_with_the_token_of_the_order(nobody: Api, staff: Api, sell: Sell):
    sku = sell(stock=5)
    placed = nobody.post("/api/orders", {"items": [{"sku": sku, "quantity": 2}], "email": "guest@example.org"}).json
    order, token = f"/api/orders/{placed['order']['id']}", {"X-Order-Token": placed["orderToken"]}
    assert nobody.post(f"{order}/pay", {"paymentMethod": "ok"}, headers=token).status == 200
    assert staff.post(f"{order}/ship").status == 200
    wanted = {"items": [{"sku": sku, "quantity": 1}]}
    assert nobody.post(f"{order}/returns", wanted).status == 401
    asked = nobody.post(f"{order}/returns", wanted, headers=token)
    assert (asked.status, asked.json["return"]["status"]) == (201, "requested")
    one = f"{order}/returns/{asked.json['return']['id']}"
    assert nobody.post(f"{one}/receive", headers=token).status == 401
    assert nobody.post(f"{one}/cancel", headers=token).json["return"]["status"] == "cancelled"
    assert nobody.get(f"{order}/returns", headers=token).json["returnable"] == {sku: 2}
