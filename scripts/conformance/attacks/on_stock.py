"""Attacks on stock, money and other people's mailboxes."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from shop import Account, NotTried, Shop, counted

SKUS, UNITS_EACH, UNVERIFIED_UNITS_MAX = 8, 50, 200
HOLD_SECONDS_MAX = 10


def hoard(shop: Shop) -> str:
    """H1: a new account holds no more than it may, in one order or in many at once, and no line of 500,000."""
    eve, skus = shop.register(), [shop.sell(1_000) for _ in counted(SKUS)]
    huge = shop.order(eve, {skus[0]: 500_000})
    together = shop.order(eve, dict.fromkeys(skus, UNITS_EACH))
    with ThreadPoolExecutor(SKUS) as pool:
        list(pool.map(lambda sku: shop.order(eve, {sku: UNITS_EACH}), skus))
    if 201 in (huge.status, together.status):
        return "an order of far too much was taken"
    asked = "&".join(f"sku={sku}" for sku in skus)
    found = shop.call("GET", f"/api/inventory/availability?{asked}").json["items"]
    held = sum(1_000 - item["available"] for item in found)
    return "" if held <= UNVERIFIED_UNITS_MAX else f"{held} units are held by a new account"


def flood_a_strangers_mailbox(shop: Shop) -> str:
    """H3: forty notices about what is in stock, to a stranger's address: none is taken."""
    eve, sku = shop.register(), shop.sell(5)
    body = {"email": "victim@example.com"}
    path = f"/api/inventory/{sku}/notify-me"
    found = [shop.call("POST", path, body, eve.token, address=eve.address).status for _ in counted(40)]
    taken = [status for status in found if status < 400]
    return f"{len(taken)} of 40 were taken" if taken else ""


def use_a_coupon_up(shop: Shop) -> str:
    """M10: a coupon of one use comes back when the hold ends that used it."""
    code, sku, eve, ada = f"ONCE{int(time.time() * 1_000)}", shop.sell(5), shop.register(), shop.register()
    coupon = {"code": code, "kind": "percentage", "value": 10, "usesMax": 1}
    made = shop.call("POST", "/api/orders/coupons", coupon, shop.admin_token)
    if made.status != 201:
        raise NotTried(f"no coupon could be made: {made.text[:200]}")
    placed = shop.order(eve, {sku: 1}, couponCode=code)
    if placed.status != 201:
        raise NotTried(f"no order could be placed with it: {placed.text[:200]}")
    ends = datetime.fromisoformat(placed.json["order"]["reservation"]["expiresAt"])
    left = (ends - datetime.now(UTC)).total_seconds()
    if left > HOLD_SECONDS_MAX:
        raise NotTried("holds last longer than ten seconds here: HOLDFAST_RESERVATION_TTL_SECONDS=1 shortens them")
    return _comes_back(shop, ada, sku, code, left)


def _comes_back(shop: Shop, ada: Account, sku: str, code: str, left: float) -> str:
    """The sweep runs every minute, or when a job is asked for."""
    time.sleep(max(left, 0) + 0.5)
    shop.call("POST", "/api/inventory/jobs/expired-cleanup", token=shop.admin_token)
    for _ in counted(20):
        if shop.order(ada, {sku: 1}, couponCode=code).status == 201:
            return ""
        time.sleep(0.5)
    return "it did not come back within ten seconds"


def order_many_lines(shop: Shop) -> str:
    """M16: orders of 500 lines, one after the other, are charged by their lines."""
    eve = shop.register()
    lines = {f"NOBODY-SELLS-{number}": 1 for number in range(500)}
    found = [shop.order(eve, lines).status for _ in counted(12)]
    return "" if 429 in found else f"all were read: {found}"


def leave_a_card_number(shop: Shop) -> str:
    """L: a card number is no payment method, and is stored nowhere."""
    eve, sku = shop.register(), shop.sell(1)
    order = shop.order(eve, {sku: 1}).json["order"]["id"]
    body, headers = {"paymentMethod": "4111 1111 1111 1111"}, {"Idempotency-Key": order}
    path = f"/api/orders/{order}"
    paid = shop.call("POST", f"{path}/pay", body, eve.token, address=eve.address, headers=headers)
    if paid.status < 400 or "4111" in shop.call("GET", path, token=eve.token, address=eve.address).text:
        return f"it was taken: {paid.status}"
    return ""


def review_what_was_never_bought(shop: Shop) -> str:
    """L: who bought nothing reviews nothing."""
    eve, sku = shop.register(), shop.sell(1)
    product = shop.call("GET", "/api/products?limit=1&sort=newest").json["items"][0]["id"]
    body = {"rating": 5, "text": f"The best {sku} ever", "author": "A customer"}
    status = shop.call("POST", f"/api/products/{product}/reviews", body, eve.token, address=eve.address).status
    return "" if status == 403 else f"the review got {status}"
