"""/api/orders, row by row."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from api import Answer, Api
from selling import Sell, seller
from stacks import Stack

ORDER = {"id", "number", "status", "items", "total", "currency", "createdAt", "reservation"}
CARD = {"paymentMethod": "pm_card_visa"}


def checkout(api: Api, sku: str, quantity: int = 1, key: str | None = None) -> Answer:
    return api.post("/api/orders", {"items": [{"sku": sku, "quantity": quantity}]}, key=key)


def order(api: Api, sku: str, quantity: int = 1) -> dict:
    answer = checkout(api, sku, quantity)
    assert answer.status == 201, answer.body
    found: dict = answer.json["order"]
    return found


def paid(api: Api, sku: str, quantity: int = 1) -> dict:
    placed = order(api, sku, quantity)
    answer = api.post(f"/api/orders/{placed['id']}/pay", CARD)
    assert answer.status == 200, answer.body
    found: dict = answer.json["order"]
    return found


def stock(staff: Api, sku: str) -> tuple[int, int]:
    """(on hand, reserved)."""
    found = staff.get(f"/api/inventory/{sku}").json
    return found["onHand"], found["reserved"]


def test_a_checkout_places_a_pending_order_and_holds_its_stock_for_a_quarter_of_an_hour(
    customer: Api, staff: Api, sell: Sell
):
    sku = sell(stock=10, price=1299)
    placed = order(customer, sku, 2)
    assert set(placed) >= ORDER
    assert (placed["status"], placed["total"], placed["currency"]) == ("pending", 2598, "GBP")
    assert placed["reservation"]["status"] == "active"
    created, expires = (
        datetime.fromisoformat(placed["createdAt"]),
        datetime.fromisoformat(placed["reservation"]["expiresAt"]),
    )
    assert (expires - created).total_seconds() == 900
    assert abs((datetime.now(UTC) - created).total_seconds()) < 60
    assert stock(staff, sku) == (10, 2)


def test_all_lines_are_held_or_none(customer: Api, staff: Api, sell: Sell):
    plenty, scarce = sell(stock=10), sell(stock=1)
    lines = [{"sku": plenty, "quantity": 2}, {"sku": scarce, "quantity": 2}]
    refused = customer.post("/api/orders", {"items": lines})
    assert (refused.status, refused.code) == (409, "insufficient_stock")
    assert refused.json["shortages"] == [{"sku": scarce, "requested": 2, "available": 1}]
    assert stock(staff, plenty) == (10, 0)


def test_the_same_sku_twice_counts_twice(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=3)
    twice = [{"sku": sku, "quantity": 2}, {"sku": sku, "quantity": 2}]
    refused = customer.post("/api/orders", {"items": twice})
    assert (refused.status, refused.json["shortages"][0]["requested"]) == (409, 4)
    fine = customer.post("/api/orders", {"items": [{"sku": sku, "quantity": 1}, {"sku": sku, "quantity": 2}]})
    assert sum(item["quantity"] for item in fine.json["order"]["items"]) == 3
    assert stock(staff, sku) == (3, 3)


def test_the_last_units_go_to_as_many_buyers_as_there_are_units(nobody: Api, staff: Api, sell: Sell):
    sku, buyers = sell(stock=5), [nobody.newcomer() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda buyer: checkout(buyer, sku), buyers))
    assert sorted(answer.status for answer in answers) == [201] * 5 + [409] * 11
    assert stock(staff, sku) == (5, 5)


def test_paying_deducts_the_stock(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    bought = paid(customer, sku, 3)
    assert (bought["status"], bought["reservation"]["status"]) == ("paid", "confirmed")
    assert stock(staff, sku) == (7, 0)


def test_a_declined_payment_frees_the_stock_and_cancels_the_order(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    placed = order(customer, sku, 3)
    declined = customer.post(f"/api/orders/{placed['id']}/pay", {"paymentMethod": "pm_card_declined"})
    assert (declined.status, declined.code) == (402, "payment_declined")
    after = customer.get(f"/api/orders/{placed['id']}").json["order"]
    assert (after["status"], after["reservation"]["status"]) == ("cancelled", "released")
    assert after["cancelReason"]
    assert stock(staff, sku) == (10, 0)


@pytest.mark.parametrize(("token", "ends"), [("pm_timeout", 200), ("pm_unknown", 402)], ids=["charged", "not charged"])
def test_a_payment_with_a_lost_answer_is_asked_again_and_ends_right(
    customer: Api, staff: Api, sell: Sell, token: str, ends: int
):
    sku = sell(stock=10)
    pay = f"/api/orders/{order(customer, sku, 3)['id']}/pay"
    unknown = customer.post(pay, {"paymentMethod": token})
    assert (unknown.status, unknown.code) == (503, "payment_unknown")
    assert int(unknown.headers["retry-after"]) > 0
    assert stock(staff, sku) == (10, 3), "the stock stays held while the outcome is open"
    assert customer.post(pay, {"paymentMethod": token}).status == ends
    assert stock(staff, sku) == ((7, 0) if ends == 200 else (10, 0))


def test_an_open_payment_stands_in_the_way_of_a_cancel(customer: Api, sell: Sell):
    placed = order(customer, sell())
    customer.post(f"/api/orders/{placed['id']}/pay", {"paymentMethod": "pm_timeout"})
    refused = customer.post(f"/api/orders/{placed['id']}/cancel")
    assert (refused.status, refused.code) == (409, "payment_in_progress")


def test_paying_twice_at_once_takes_the_money_once(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    pay = f"/api/orders/{order(customer, sku, 2)['id']}/pay"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: customer.post(pay, CARD, key=uuid4().hex), range(6)))
    assert sorted({answer.status for answer in answers}) == [200, 409]
    assert sum(answer.status == 200 for answer in answers) == 1
    assert stock(staff, sku) == (8, 0)
    refused = customer.post(pay, CARD)
    assert (refused.status, refused.code) == (409, "wrong_status")


def test_cancelling_frees_the_stock_once(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    cancel = f"/api/orders/{order(customer, sku, 4)['id']}/cancel"
    answer = customer.post(cancel)
    assert (answer.status, answer.json["order"]["status"]) == (200, "cancelled")
    assert customer.post(cancel).status == 409
    assert stock(staff, sku) == (10, 0)


def test_an_order_goes_its_way_and_no_other(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    one = f"/api/orders/{paid(customer, sku)['id']}"
    assert staff.post(f"{one}/deliver").status == 409
    assert staff.post(f"{one}/ship").json["order"]["status"] == "shipped"
    assert staff.post(f"{one}/ship").status == 409
    assert customer.post(f"{one}/cancel").status == 409
    assert staff.post(f"{one}/deliver").json["order"]["status"] == "delivered"
    assert staff.post(f"{one}/refund", {"restock": True}).json["order"]["status"] == "refunded"
    refused = staff.post(f"{one}/refund", {})
    assert (refused.status, refused.code) == (409, "wrong_status")
    assert stock(staff, sku) == (10, 0)
    history = customer.get(one).json["order"]["history"]
    assert [entry["status"] for entry in history] == ["pending", "paid", "shipped", "delivered", "refunded"]
    assert history[2]["actor"] == staff.user["id"]


def test_a_part_is_refunded_and_restocked_when_asked(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10, price=500)
    refund = f"/api/orders/{paid(customer, sku, 3)['id']}/refund"
    part = staff.post(refund, {"items": [{"sku": sku, "quantity": 1}], "restock": True})
    assert (part.status, part.json["order"]["status"], part.json["order"]["refunded"]) == (200, "paid", 500)
    assert stock(staff, sku) == (8, 0)
    too_much = staff.post(refund, {"items": [{"sku": sku, "quantity": 3}]})
    assert (too_much.status, too_much.code) == (422, "refund_too_large")
    rest = staff.post(refund, {})
    assert (rest.json["order"]["status"], rest.json["order"]["refunded"]) == ("refunded", 1500)
    assert stock(staff, sku) == (8, 0), "the rest was not to be restocked"


def test_two_staff_who_refund_at_once_refund_once(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    refund = f"/api/orders/{paid(customer, sku, 1)['id']}/refund"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: staff.post(refund, {"restock": True}), range(4)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert stock(staff, sku) == (10, 0)


def test_what_is_for_staff_is_not_for_customers(customer: Api, nobody: Api, sell: Sell):
    one = f"/api/orders/{paid(customer, sell())['id']}"
    for action in ("ship", "deliver"):
        assert customer.post(f"{one}/{action}").status == 403
        assert nobody.post(f"{one}/{action}").status == 401
    assert customer.post(f"{one}/refund", {}).status == 403
    assert nobody.post("/api/orders", {"items": [{"sku": "A", "quantity": 1}]}).status == 401
    assert nobody.get("/api/orders").status == 401


def test_history_is_ones_own_newest_first_page_by_page(customer: Api, nobody: Api, sell: Sell):
    sku = sell(stock=100)
    placed = [order(customer, sku)["id"] for _ in range(5)]
    order(nobody.newcomer(), sku)
    seen = [found["id"] for page in customer.pages("/api/orders", limit=2) for found in page]
    assert seen == list(reversed(placed))
    assert customer.get("/api/orders", userId="somebody-else").status == 403


def test_staff_see_orders_by_user_and_by_status(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=100)
    pending, sent = order(customer, sku), paid(customer, sku)
    mine = customer.user["id"]
    assert {o["id"] for o in staff.get("/api/orders", userId=mine).json["items"]} == {pending["id"], sent["id"]}
    assert [o["id"] for o in staff.get("/api/orders", userId=mine, status="paid").json["items"]] == [sent["id"]]
    assert staff.get(f"/api/orders/{pending['id']}").status == 200
    assert staff.get("/api/orders", status="lost").status == 422


def test_another_users_order_is_not_there(customer: Api, nobody: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    one, other = f"/api/orders/{order(customer, sku, 2)['id']}", nobody.newcomer()
    for refused in (other.get(one), other.post(f"{one}/pay", CARD), other.post(f"{one}/cancel")):
        assert (refused.status, refused.code) == (404, "order_not_found")
    assert stock(staff, sku) == (10, 2)
    assert customer.get("/api/orders/no-such-order").status == 404


def test_order_numbers_tell_nobody_how_many_orders_there_were(customer: Api, sell: Sell):
    sku = sell(stock=10)
    numbers = [order(customer, sku)["number"] for _ in range(6)]
    assert len(set(numbers)) == 6
    assert numbers != sorted(numbers) or numbers != sorted(numbers, reverse=True)


def test_a_cart_is_checked_out_once(customer: Api, sell: Sell):
    sku = sell(stock=10)
    customer.put(f"/api/cart/items/{sku}", {"quantity": 2})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: customer.post("/api/orders", {"fromCart": True}), range(4)))
    assert sorted(answer.status for answer in answers)[0] == 201
    assert {answer.code for answer in answers if answer.status != 201} <= {"empty_cart", "cart_changed"}
    assert sum(answer.status == 201 for answer in answers) == 1
    assert customer.get("/api/cart").json["items"] == []
    empty = customer.post("/api/orders", {"fromCart": True})
    assert (empty.status, empty.code) == (422, "empty_cart")


def test_a_coupon_takes_off_what_it_says_as_often_as_it_says(nobody: Api, customer: Api, staff: Api, sell: Sell):
    sku, code = sell(stock=100, price=1000), f"C{uuid4().hex[:10].upper()}"
    made = staff.post("/api/orders/coupons", {"code": code, "kind": "percentage", "value": 25, "usesMax": 3})
    assert (made.status, made.json["coupon"]["used"]) == (201, 0)
    body = {"items": [{"sku": sku, "quantity": 1}], "couponCode": code.lower()}
    buyers = [nobody.newcomer() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda buyer: buyer.post("/api/orders", body), buyers))
    taken = [answer.json["order"] for answer in answers if answer.status == 201]
    assert [(o["subtotal"], o["discount"], o["total"]) for o in taken] == [(1000, 250, 750)] * 3
    assert {answer.code for answer in answers if answer.status != 201} == {"coupon_used_up"}
    assert staff.get(f"/api/orders/coupons/{code}").json["coupon"]["used"] == 3
    assert customer.post("/api/orders", {**body, "couponCode": "NEVER-MADE"}).code == "coupon_not_valid"


def test_staff_keep_the_coupons(staff: Api, customer: Api):
    code = f"C{uuid4().hex[:10].upper()}"
    body = {"code": code, "kind": "fixed", "value": 500}
    version = staff.post("/api/orders/coupons", body).json["coupon"]["version"]
    assert staff.post("/api/orders/coupons", body).code == "coupon_exists"
    off = staff.patch(f"/api/orders/coupons/{code}", {"active": False, "version": version})
    assert (off.status, off.json["coupon"]["active"]) == (200, False)
    stale = staff.patch(f"/api/orders/coupons/{code}", {"active": True, "version": version})
    assert (stale.status, stale.code) == (412, "coupon_moved")
    assert code in [c["code"] for page in staff.pages("/api/orders/coupons", limit=100) for c in page]
    assert staff.get("/api/orders/coupons/NEVER-MADE").code == "coupon_not_found"
    assert customer.get("/api/orders/coupons").status == 403
    assert staff.post("/api/orders/coupons", {**body, "kind": "percentage", "value": 101}).status == 422


def test_an_event_nobody_signed_is_refused(nobody: Api):
    for headers in ({}, {"Payment-Signature": "t=1,v1=00"}, {"Payment-Signature": "nonsense"}):
        refused = nobody.post("/api/orders/webhooks/payment", {"id": "e1", "paymentId": "p1"}, headers=headers)
        assert (refused.status, refused.code) == (401, "invalid_signature")


def test_paying_after_the_hold_expired_reserves_again_if_there_is_stock(hasty: Stack):
    staff, buyer = hasty.staff(), hasty.nobody.newcomer()
    sku = seller(staff)(stock=2)
    placed = order(buyer, sku, 2)
    time.sleep(1.2)
    bought = buyer.post(f"/api/orders/{placed['id']}/pay", CARD)
    assert (bought.status, bought.json["order"]["reservation"]["status"]) == (200, "confirmed")
    assert stock(staff, sku) == (0, 0)


def test_paying_after_the_stock_went_to_somebody_else_returns_the_money(hasty: Stack):
    staff, late, quick = hasty.staff(), hasty.nobody.newcomer(), hasty.nobody.newcomer()
    sku = seller(staff)(stock=2)
    placed = order(late, sku, 2)
    time.sleep(1.2)
    staff.post("/api/inventory/jobs/expired-cleanup")
    deadline = time.monotonic() + 20
    while stock(staff, sku) != (2, 0):
        assert time.monotonic() < deadline, "the expired hold was not freed"
        time.sleep(0.1)
    after = late.get(f"/api/orders/{placed['id']}").json["order"]
    assert (after["status"], after["reservation"]["status"]) == ("pending", "expired")
    paid(quick, sku, 1)
    refused = late.post(f"/api/orders/{placed['id']}/pay", CARD)
    assert (refused.status, refused.code) == (409, "reservation_expired")
    after = late.get(f"/api/orders/{placed['id']}").json["order"]
    assert (after["status"], after["paymentStatus"]) == ("cancelled", "returned")
    audit = hasty.audit()
    assert audit["ok"], [check for check in audit["checks"] if not check["ok"]]


def test_amounts_past_31_bits_come_back_as_they_went(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=100, price=1_000_000_000)
    placed = checkout(customer, sku, 100)
    assert placed.status == 201, placed.body
    assert placed.json["order"]["total"] == 100_000_000_000
    paid = customer.post(f"/api/orders/{placed.json['order']['id']}/pay", CARD)
    assert (paid.status, paid.json["order"]["total"]) == (200, 100_000_000_000)
    assert customer.get("/api/orders").json["items"][0]["total"] == 100_000_000_000
    code = f"BIG-{uuid4().hex[:8].upper()}"
    staff.post("/api/orders/coupons", {"code": code, "kind": "fixed", "value": 10, "minimumSubtotal": 10**12})
    assert staff.get(f"/api/orders/coupons/{code}").json["coupon"]["minimumSubtotal"] == 10**12


def test_sums_and_prices_beyond_31_bits_are_numbers_everywhere(customer: Api, staff: Api, sell: Sell):
    """The store keeps them in another type than small ones."""
    price = 900_000_000
    sku = sell(price=price)
    placed = paid(customer, sku, 7)
    assert placed["total"] == 7 * price
    assert [found["total"] for found in customer.get("/api/orders").json["items"]] == [7 * price]
    assert customer.get(f"/api/orders/{placed['id']}").json["order"]["items"][0]["lineTotal"] == 7 * price
    refunded = staff.post(f"/api/orders/{placed['id']}/refund", {"restock": True})
    assert (refunded.status, refunded.json["order"]["refunded"]) == (200, 7 * price), refunded.body


def test_a_shipping_address_is_kept_as_the_frontend_sent_it(customer: Api, sell: Sell):
    sku, address = sell(stock=3), {"name": "Ada L.", "line1": "12 St James's Square", "postcode": "SW1Y 4JH"}
    body = {"items": [{"sku": sku, "quantity": 1}], "shippingAddress": address}
    placed = customer.post("/api/orders", body)
    assert (placed.status, placed.json["order"]["shippingAddress"]) == (201, address)
    assert customer.get(f"/api/orders/{placed.json['order']['id']}").json["order"]["shippingAddress"] == address
    assert order(customer, sku)["shippingAddress"] is None


@pytest.mark.parametrize(
    "address",
    [{f"field{n}": "x" for n in range(31)}, {"name": "x" * 301}, {"$where": "1"}, {"a.b": "1"}, {"": "x"}, {"name": 3}],
    ids=["too many fields", "too long", "an operator", "a dotted name", "a field without a name", "no text"],
)
def test_a_shipping_address_is_bounded(customer: Api, sell: Sell, address: dict):
    body = {"items": [{"sku": sell(stock=3), "quantity": 1}], "shippingAddress": address}
    assert customer.post("/api/orders", body).status in {400, 422}


def test_shipping_takes_a_tracking_number_and_also_no_body(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=3)
    tracked, untracked = paid(customer, sku), paid(customer, sku)
    shipped = staff.post(f"/api/orders/{tracked['id']}/ship", {"trackingNumber": "JD 0002"})
    assert (shipped.status, shipped.json["order"]["trackingNumber"]) == (200, "JD 0002")
    assert customer.get(f"/api/orders/{tracked['id']}").json["order"]["trackingNumber"] == "JD 0002"
    plain = staff.post(f"/api/orders/{untracked['id']}/ship")
    assert (plain.status, plain.json["order"]["trackingNumber"]) == (200, None)
    assert staff.post(f"/api/orders/{untracked['id']}/ship", {"trackNumber": "x"}).status == 422
