"""/api/cart, row by row: users, guests, and what becomes of a guest's cart."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from api import PASSWORD, Api
from selling import Sell


def lines(cart: dict) -> dict[str, int]:
    return {item["sku"]: item["quantity"] for item in cart["items"]}


def test_a_cart_shows_what_the_contract_names(customer: Api, sell: Sell):
    sku = sell(stock=10, price=250)
    put = customer.put(f"/api/cart/items/{sku}", {"quantity": 3})
    assert put.status == 200
    [item] = put.json["items"]
    assert {"sku", "name", "quantity", "unitPrice", "lineTotal", "available"} <= set(item)
    assert (item["unitPrice"], item["lineTotal"], item["available"]) == (250, 750, 10)
    assert (put.json["subtotal"], put.json["currency"]) == (750, "GBP")
    assert customer.get("/api/cart").json == put.json


def test_a_cart_holds_no_stock(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=10)
    customer.put(f"/api/cart/items/{sku}", {"quantity": 10})
    assert staff.get(f"/api/inventory/{sku}").json["reserved"] == 0


def test_zero_and_delete_remove(customer: Api, sell: Sell):
    one, two, three = sell(), sell(), sell()
    for sku in (one, two, three):
        customer.put(f"/api/cart/items/{sku}", {"quantity": 1})
    assert lines(customer.put(f"/api/cart/items/{one}", {"quantity": 0}).json) == {two: 1, three: 1}
    assert lines(customer.delete(f"/api/cart/items/{two}").json) == {three: 1}
    assert customer.delete("/api/cart").status == 204
    assert lines(customer.get("/api/cart").json) == {}


def test_prices_and_availability_are_todays(customer: Api, staff: Api, sell: Sell):
    sku = sell(stock=3, price=100)
    customer.put(f"/api/cart/items/{sku}", {"quantity": 2})
    product = staff.get(f"/api/inventory/{sku}").json["productId"]
    staff.patch(f"/api/products/{product}", {"price": 130})
    staff.post(f"/api/inventory/{sku}/adjust", {"delta": -2, "reason": "damaged"})
    cart = customer.get("/api/cart").json
    [item] = cart["items"]
    assert (item["unitPrice"], item["previousUnitPrice"], item["available"], item["state"]) == (130, 100, 1, "short")
    assert cart["subtotal"] == 260
    staff.delete(f"/api/products/{product}")
    [item] = customer.get("/api/cart").json["items"]
    assert (item["state"], item["available"]) == ("archived", 0)


@pytest.mark.parametrize("quantity", [-1, 1.5, "2", None, 10**9, True], ids=str)
def test_a_quantity_is_a_whole_number_within_reason(customer: Api, sell: Sell, quantity: object):
    sku = sell()
    assert customer.put(f"/api/cart/items/{sku}", {"quantity": quantity}).status == 422
    assert lines(customer.get("/api/cart").json) == {}


def test_what_is_not_sold_cannot_be_put_in(customer: Api):
    assert customer.put("/api/cart/items/NO-SUCH-SKU", {"quantity": 1}).status == 404


def test_a_client_sends_no_price(customer: Api, sell: Sell):
    assert customer.put(f"/api/cart/items/{sell()}", {"quantity": 1, "unitPrice": 1}).status == 422


def test_two_tabs_at_once_lose_no_line(customer: Api, sell: Sell):
    skus = [sell() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda sku: customer.put(f"/api/cart/items/{sku}", {"quantity": 1}), skus))
    assert lines(customer.get("/api/cart").json) == dict.fromkeys(skus, 1)


def test_a_tab_that_has_not_seen_the_latest_is_refused_if_it_says_so(customer: Api, sell: Sell):
    one, two = sell(), sell()
    seen = customer.put(f"/api/cart/items/{one}", {"quantity": 1}).json["version"]
    customer.put(f"/api/cart/items/{two}", {"quantity": 1})
    stale = {"If-Match": f'"{seen}"'}
    for refused in (
        customer.put(f"/api/cart/items/{one}", {"quantity": 9}, headers=stale),
        customer.delete(f"/api/cart/items/{one}", headers=stale),
        customer.delete("/api/cart", headers=stale),
    ):
        assert (refused.status, refused.code) == (412, "cart_moved")
    assert customer.delete("/api/cart", headers={"If-Match": "nonsense"}).status == 400
    assert lines(customer.get("/api/cart").json) == {one: 1, two: 1}


def test_a_guests_cart_lives_under_a_signed_cookie_and_joins_the_users(nobody: Api, customer: Api, sell: Sell):
    one, two = sell(), sell()
    customer.put(f"/api/cart/items/{one}", {"quantity": 1})
    guest = nobody.anonymous()
    guest.put(f"/api/cart/items/{one}", {"quantity": 2}, keep_cookies=True)
    assert guest.cookies
    guest.put(f"/api/cart/items/{two}", {"quantity": 3}, keep_cookies=True)
    assert lines(guest.get("/api/cart").json) == {one: 2, two: 3}

    customer.cookies = guest.cookies
    merged = customer.post("/api/cart/merge", keep_cookies=True)
    assert (merged.status, lines(merged.json)) == (200, {one: 3, two: 3})
    assert customer.cookies == {}
    assert lines(guest.get("/api/cart").json) == {}
    customer.cookies = guest.cookies
    assert lines(customer.post("/api/cart/merge").json) == {one: 3, two: 3}, "merging again adds nothing"


def test_a_guests_cookie_cannot_be_made_up(nobody: Api, sell: Sell):
    guest = nobody.anonymous()
    guest.put(f"/api/cart/items/{sell()}", {"quantity": 2}, keep_cookies=True)
    [(name, value)] = guest.cookies.items()
    swapped = {"0": "1"}
    last, first = swapped.get(value[-1], "0"), swapped.get(value[0], "0")
    for forged in (value[:-1] + last, first + value[1:], "x"):
        thief = nobody.anonymous()
        thief.cookies = {name: forged}
        assert thief.get("/api/cart").json["items"] == []


def test_a_guest_has_nothing_until_something_is_put_in(nobody: Api, sell: Sell):
    guest = nobody.anonymous()
    seen = guest.get("/api/cart", headers={})
    assert (seen.status, seen.json["items"], seen.cookies) == (200, [], {})
    assert guest.delete("/api/cart").status == 204
    assert guest.delete(f"/api/cart/items/{sell()}").json["items"] == []
    assert guest.post("/api/cart/merge").status == 401


def test_a_logged_in_browser_needs_the_csrf_token_to_change_its_cart(nobody: Api, customer: Api, sell: Sell):
    browser, sku = nobody.anonymous(), sell()
    browser.post("/api/auth/login", {"email": customer.user["email"], "password": PASSWORD}, keep_cookies=True)
    refused = browser.put(f"/api/cart/items/{sku}", {"quantity": 1})
    assert (refused.status, refused.code) == (403, "csrf_failed")
    token = browser.get("/api/auth/csrf").json["csrfToken"]
    allowed = browser.put(f"/api/cart/items/{sku}", {"quantity": 1}, headers={"X-CSRF-Token": token})
    assert allowed.status == 200
    assert lines(customer.get("/api/cart").json) == {sku: 1}


def test_a_page_of_another_site_cannot_fill_a_guests_cart(nobody: Api, sell: Sell):
    refused = nobody.anonymous().put(
        f"/api/cart/items/{sell()}", {"quantity": 1}, headers={"Origin": "https://evil.example"}
    )
    assert refused.status == 403


def test_a_wish_is_kept_and_taken_back(customer: Api, nobody: Api, sell: Sell):
    one, two = sell(stock=5), sell(stock=0)
    for sku in (one, two):
        assert customer.put(f"/api/cart/wishlist/{sku}", {"notify": True}).status == 200
    found = [item for page in customer.pages("/api/cart/wishlist", limit=1) for item in page]
    assert [item["sku"] for item in found] == [two, one]
    assert customer.delete(f"/api/cart/wishlist/{one}").status == 204
    assert [item["sku"] for item in customer.get("/api/cart/wishlist").json["items"]] == [two]
    assert customer.put("/api/cart/wishlist/NO-SUCH-SKU", {}).status == 404
    assert nobody.get("/api/cart/wishlist").status == 401
