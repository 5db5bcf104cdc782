"""Every operation of the document with ids of one customer, asked by another and by nobody.

What belongs to a customer (an order, a session, an account) is refused with 401, 403 or 404; no answer shows an id of
the owner's; and afterwards everything the owner can read is what it was.

    .venv/bin/python scripts/conformance/site.py .venv/bin/python scripts/conformance/ownership.py
"""

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import jwt

URL = os.environ["SITE_URL"]
REFUSED = {401, 403, 404}
OWNED = {"orderId", "sessionId", "userId", "reviewId", "jobId", "alertId", "letterId"}  # `sku`s are everybody's
ENDLESS = "/api/inventory/stream"
THE_OWNERS = ("/api/auth/me", "/api/auth/sessions", "/api/orders", "/api/cart", "/api/cart/wishlist")


def ask(method: str, path: str, token: str = "", body: Any = None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, headers, method=method.upper())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def done(method: str, path: str, token: str, body: Any = None, hook: Any = None) -> Any:
    status, text = ask(method, path, token, body)
    assert status < 300, (method, path, status, text)
    return json.loads(text or "null", object_hook=hook)


def without_stock(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in {"available", "inStock"}}


class Owner:
    """A customer with one of everything."""

    def __init__(self, token: str) -> None:
        self._token = token
        product = done("GET", "/api/products/search?q=tea", token)["items"][0]
        sku, slug = product["sku"], product["slug"]
        order = done("POST", "/api/orders", token, {"items": [{"sku": sku, "quantity": 1}]})["order"]
        done("PUT", f"/api/cart/items/{sku}", token, {"quantity": 3})
        done("PUT", f"/api/cart/wishlist/{sku}", token, {})
        claims = jwt.decode(token, options={"verify_signature": False})
        self.secrets = {order["id"], order["number"], claims["sub"], claims["sid"]}
        self.ids = {"orderId": order["id"], "sessionId": claims["sid"], "userId": claims["sub"], "sku": sku}
        self.ids |= {"idOrSlug": slug, "number": order["number"], "email": "customer@example.com"}

    def sees(self) -> dict[str, Any]:
        """All but how much is left to buy, which the other may change by buying."""
        return {path: done("GET", path, self._token, hook=without_stock) for path in THE_OWNERS}


def requests(document: Any, ids: dict[str, str]) -> list[tuple[str, str, Any, bool]]:
    """(method, target, body, whether it names something of the owner's), once per operation and per query field."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            inside = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            target = path
            for name in inside:
                target = target.replace(f"{{{name}}}", quote(ids.get(name, ids["orderId"]), safe=""))
            asked = [p["name"] for p in operation["parameters"] if p["in"] == "query" and p["name"] in ids]
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            for query in ["", *(f"?{name}={quote(ids[name], safe='')}" for name in asked)]:
                names_owned = bool(OWNED & set(inside)) or query.startswith("?userId")
                found.append((method, target + query, content and content["example"], names_owned))
    return [request for request in found if not request[1].startswith(ENDLESS)]


def main() -> int:
    owner, other = os.environ["TOKEN_CUSTOMER"], os.environ["TOKEN_OTHER"]
    customer = Owner(owner)
    before, wrong = customer.sees(), []
    walked = requests(done("GET", "/openapi.json", ""), customer.ids)
    ends = {"/api/auth/logout", "/api/auth/sessions/end"}  # of the asker's own session: last
    for method, target, body, owned in sorted(walked, key=lambda request: request[1] in ends):
        for who, token in (("nobody", ""), ("other", other)):
            status, text = ask(method, target, token, body)
            shown = sorted(secret for secret in customer.secrets if secret in text.replace(target, ""))
            if status >= 500 or (owned and status not in REFUSED) or (shown and status < 400):
                wrong.append({"who": who, "request": f"{method} {target}", "status": status, "shown": shown})
    after = customer.sees()
    changed = [path for path in THE_OWNERS if after[path] != before[path]]
    owned_ones = sum(owned for *_, owned in walked)
    summary = {
        "requests": 2 * len(walked),
        "naming the owner's": 2 * owned_ones,
        "changed": changed,
        "wrong": wrong,
    }
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if wrong or changed else 0


if __name__ == "__main__":
    sys.exit(main())
