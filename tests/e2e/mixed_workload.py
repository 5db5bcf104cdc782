"""What shoppers and staff ask of a shop beyond what its contract is tested with: every list in every order, searches of
every kind, the log by actor and by target, jobs, tokens and events. So every index has had its query."""

import hashlib
import hmac
import json
import time
from uuid import uuid4

from api import Answer, Api
from stacks import Stack

SORTS = ("relevance", "newest", "price_asc", "price_desc", "rating", "popular")
HELD = 10
JOBS = ("expired-cleanup", "low-stock-check", "out-of-stock-check", "abandoned-orders", "payment-reconcile")


def ask_for_everything(stack: Stack, staff: Api) -> None:
    shopper = stack.nobody.newcomer("mixed")
    sku, slug = _a_product(staff)
    _browse(shopper)
    _search(shopper)
    _review(shopper, staff, sku, slug)
    _orders(shopper, staff, sku)
    _manage(stack.admin, staff, shopper, sku)
    _tell_of_a_payment(stack)
    _run_jobs(staff)


def _well(answer: Answer, *statuses: int) -> Answer:
    assert answer.status in (statuses or (200, 201, 202, 204)), answer.body
    return answer


def _a_product(staff: Api) -> tuple[str, str]:
    """Its SKU and its slug."""
    sku = f"MIXED-{uuid4().hex[:8].upper()}"
    body = {"name": "Regency Mixed Teapot", "category": "mixed", "price": 900, "currency": "GBP", "sku": sku}
    made = _well(staff.post("/api/products", {**body, "brand": "Mixed & Sons", "tags": ["mixed"]}), 201)
    _well(staff.post("/api/inventory/receive", {"lines": [{"sku": sku, "quantity": 50}]}))
    return sku, made.json["slug"]


def _browse(shopper: Api) -> None:
    for sort in SORTS:
        for narrowed in ({}, {"category": "mixed"}, {"brand": "Mixed & Sons"}, {"tag": "mixed"}):
            _well(shopper.get("/api/products", sort=sort, **narrowed))


def _search(shopper: Api) -> None:
    for query in ("teapot", '"mixed teapot"', "teapot -regency", "teapto"):
        _well(shopper.get("/api/products/search", q=query))
    _well(shopper.get("/api/products/suggest", q="tea"))


def _review(shopper: Api, staff: Api, sku: str, slug: str) -> None:
    order = _well(shopper.post("/api/orders", {"items": [{"sku": sku, "quantity": 1}]})).json["order"]
    _well(shopper.post(f"/api/orders/{order['id']}/pay", {"paymentMethod": "pm_card_visa"}))
    _well(shopper.post(f"/api/products/{slug}/reviews", {"rating": 5, "text": "It pours."}))
    waiting = _well(staff.get("/api/products/reviews")).json["items"]
    _well(staff.patch(f"/api/products/reviews/{waiting[0]['id']}", {"status": "approved"}))
    _well(shopper.get(f"/api/products/{slug}/reviews"))
    _well(shopper.get(f"/api/products/{slug}/reviews/mine"))


def _orders(shopper: Api, staff: Api, sku: str) -> None:
    for _ in range(HELD):
        placed = shopper.post("/api/orders", {"items": [{"sku": sku, "quantity": 1}]}, key=uuid4().hex)
        order = _well(placed).json["order"]
    _well(shopper.get("/api/orders"))
    for narrowed in ({}, {"status": "pending"}, {"number": order["number"]}, {"userId": shopper.user["id"]}):
        _well(staff.get("/api/orders", **narrowed))
    _well(shopper.post(f"/api/orders/{order['id']}/pay", {"paymentMethod": "pm_card_visa"}), 200)


def _manage(admin: Api, staff: Api, shopper: Api, sku: str) -> None:
    for narrowed in ({}, {"actor": shopper.user["id"]}, {"target": sku}, {"outcome": "refused"}):
        _well(admin.get("/api/audit", **narrowed))
    for narrowed in ({}, {"role": "staff"}, {"email": shopper.user["email"]}):
        _well(admin.get("/api/auth/users", **narrowed))
    _well(staff.get("/api/inventory/dead-letters"))
    _well(shopper.post("/api/auth/email/verify", {"token": "0" * 43}), 422)


def _tell_of_a_payment(stack: Stack) -> None:
    """As the simulated provider does. Of a payment that nobody made."""
    stamp, event = str(int(time.time())), {"id": uuid4().hex, "paymentId": "nobody-made-this"}
    key = hmac.digest((stack.data / "secret").read_bytes(), b"payment-webhook", "sha256")
    signed = hmac.new(key, f"{stamp}.{json.dumps(event)}".encode(), hashlib.sha256).hexdigest()
    headers = {"Payment-Signature": f"t={stamp},v1={signed}"}
    answer = stack.nobody.post("/api/orders/webhooks/payment", event, headers=headers)
    assert answer.status != 401, answer.body


def _run_jobs(staff: Api) -> None:
    for name in JOBS:
        run = _well(staff.post(f"/api/inventory/jobs/{name}"))
        _well(staff.post(f"/api/inventory/jobs/{name}"))  # joins the one that runs
        deadline = time.monotonic() + 30
        while staff.get(f"/api/inventory/jobs/{run.json['jobId']}").json["status"] in {"queued", "running"}:
            assert time.monotonic() < deadline, f"{name} did not end"
            time.sleep(0.1)
