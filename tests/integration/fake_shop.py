"""A shop of a few lines that speaks the HTTP contract, for testing the drivers without the service: stock in a dict,
and delays, stalls and lost answers on demand."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CODES = {409: "insufficient_stock", 402: "payment_declined", 401: "unauthenticated", 404: "not_found", 422: "invalid"}


class FakeShop:
    def __init__(
        self, stock: dict[str, int] | None = None, *, delay_seconds: float = 0.0, slots: int | None = None
    ) -> None:
        """`slots` is how many checkouts are worked on at once; the others queue."""
        self.stock = dict(stock or {})
        self.delay_seconds = delay_seconds
        self._slots = asyncio.Semaphore(slots) if slots else None
        self.orders: dict[str, dict[str, Any]] = {}
        self.users: dict[str, str] = {}
        self.staff: set[str] = set()
        self.replies: dict[str, tuple[int, dict[str, Any]]] = {}
        self.lose_answers = 0
        self.fail_requests = 0
        self.seen: list[str] = []
        self.expires_in = 900
        self.carts: dict[str, dict[str, int]] = defaultdict(dict)
        self._ids = count(1)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._faults, self._idempotent])
        app.add_routes(
            [
                web.post("/api/auth/register", self.register),
                web.post("/api/auth/login", self.login),
                web.post("/api/auth/refresh", self.refresh),
                web.get("/api/products", self.products),
                web.get("/api/products/search", self.products),
                web.get("/api/products/{slug}", self.product),
                web.patch("/api/products/{id}", self.reprice),
                web.get("/api/inventory/availability", self.availability),
                web.post("/api/inventory/receive", self.receive),
                web.post("/api/inventory/{sku}/notify-me", self.notify),
                web.get("/api/inventory/{sku}", self.inventory),
                web.put("/api/cart/items/{sku}", self.put_in_cart),
                web.delete("/api/cart", self.empty_cart),
                web.post("/api/orders", self.checkout),
                web.get("/api/orders", self.list_orders),
                web.post("/api/orders/{id}/pay", self.pay),
                web.post("/api/orders/{id}/cancel", self.cancel),
                web.post("/api/orders/{id}/refund", self.refund),
                web.get("/metrics", self.metrics),
                web.get("/health/ready", self.ready),
            ]
        )
        return app

    @web.middleware
    async def _faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path}")
        if self._slots and request.path == "/api/orders" and request.method == "POST":
            async with self._slots:
                await asyncio.sleep(self.delay_seconds)
        elif self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.fail_requests and request.method == "POST" and "/auth/" not in request.path:
            self.fail_requests -= 1
            return _problem(503, "unavailable")
        response = await handler(request)
        if self.lose_answers and request.method == "POST" and "/auth/" not in request.path:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.close()
        return response

    @web.middleware
    async def _idempotent(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return await handler(request)
        if key in self.replies:
            status, document = self.replies[key]
            return web.json_response(document, status=status, headers={"Idempotency-Replayed": "true"})
        response = await handler(request)
        assert isinstance(response, web.Response)
        assert response.text is not None
        self.replies[key] = (response.status, json.loads(response.text))
        return response

    async def register(self, request: web.Request) -> web.Response:
        email = (await request.json())["email"]
        if email in self.users:
            return _problem(409, "email_taken")
        self.users[email] = f"u{next(self._ids)}"
        return web.json_response(self._session(email), status=201)

    async def login(self, request: web.Request) -> web.Response:
        email = (await request.json())["email"]
        return web.json_response(self._session(email)) if email in self.users else _problem(401)

    async def refresh(self, request: web.Request) -> web.Response:
        token = (await request.json())["refreshToken"]
        return web.json_response(self._session(token.removeprefix("refresh-")))

    def _session(self, email: str) -> dict[str, Any]:
        return {
            "user": {"id": self.users[email], "email": email},
            "accessToken": f"access-{email}",
            "refreshToken": f"refresh-{email}",
            "expiresIn": self.expires_in,
        }

    def _user(self, request: web.Request) -> str:
        email = request.headers.get("Authorization", "").removeprefix("Bearer access-")
        if email not in self.users:
            raise web.HTTPUnauthorized(text='{"code": "unauthenticated"}')
        return self.users[email]

    async def products(self, request: web.Request) -> web.Response:
        items = [_product(sku) for sku in sorted(self.stock)]
        start, size = int(request.query.get("cursor", 0)), int(request.query.get("limit", 24))
        more = start + size < len(items)
        return web.json_response(
            {"items": items[start : start + size], "nextCursor": str(start + size) if more else None}
        )

    async def product(self, request: web.Request) -> web.Response:
        return web.json_response(_product(request.match_info["slug"].upper()))

    async def reprice(self, request: web.Request) -> web.Response:
        self._user(request)
        return web.json_response({})

    async def availability(self, request: web.Request) -> web.Response:
        skus = request.query.getall("sku", [])
        items = [
            {"sku": sku, "available": self.stock[sku], "inStock": bool(self.stock[sku])}
            for sku in skus
            if sku in self.stock
        ]
        return web.json_response({"items": items})

    async def inventory(self, request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        return web.json_response({"sku": sku, "productId": f"p-{sku}", "onHand": self.stock.get(sku, 0)})

    async def notify(self, request: web.Request) -> web.Response:
        self._user(request)
        return web.json_response({}, status=201)

    async def receive(self, request: web.Request) -> web.Response:
        self._user(request)
        for line in (await request.json())["lines"]:
            if line["sku"] not in self.stock:
                return _problem(404)
            self.stock[line["sku"]] += line["quantity"]
        return web.json_response({})

    async def put_in_cart(self, request: web.Request) -> web.Response:
        cart = self.carts[self._user(request)]
        cart[request.match_info["sku"]] = (await request.json())["quantity"]
        return web.json_response({"items": [{"sku": sku, "quantity": n} for sku, n in cart.items()]})

    async def empty_cart(self, request: web.Request) -> web.Response:
        self.carts.pop(self._user(request), None)
        return web.Response(status=204)

    async def checkout(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        wanted: dict[str, int] = defaultdict(int)
        for line in body.get("items") or [{"sku": s, "quantity": n} for s, n in self.carts.pop(user, {}).items()]:
            wanted[line["sku"]] += line["quantity"]
        if not wanted or set(wanted) - set(self.stock):
            return _problem(422)
        short = {sku: n for sku, n in wanted.items() if self.stock[sku] < n}
        if short:
            shortages = [{"sku": sku, "requested": n, "available": self.stock[sku]} for sku, n in short.items()]
            return _problem(409, shortages=shortages)
        for sku, quantity in wanted.items():
            self.stock[sku] -= quantity
        order_id = f"o{next(self._ids)}"
        self.orders[order_id] = {
            "id": order_id,
            "number": order_id.upper(),
            "userId": user,
            "status": "pending",
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in wanted.items()],
            "createdAt": datetime.now(UTC).isoformat(),
        }
        return web.json_response({"order": self.orders[order_id]}, status=201)

    async def pay(self, request: web.Request) -> web.Response:
        order = self.orders[request.match_info["id"]]
        if "decline" in (await request.json())["paymentMethod"]:
            self._free(order, "cancelled")
            return _problem(402)
        order["status"] = "paid"
        return web.json_response({"order": order})

    async def cancel(self, request: web.Request) -> web.Response:
        order = self.orders[request.match_info["id"]]
        self._free(order, "cancelled")
        return web.json_response({"order": order})

    def _free(self, order: dict[str, Any], status: str) -> None:
        order["status"] = status
        for line in order["items"]:
            self.stock[line["sku"]] += line["quantity"]

    async def refund(self, request: web.Request) -> web.Response:
        self._user(request)
        order = self.orders[request.match_info["id"]]
        for line in (await request.json())["items"]:
            self.stock[line["sku"]] += line["quantity"]
        return web.json_response({"order": order})

    async def list_orders(self, request: web.Request) -> web.Response:
        self._user(request)
        newest = list(reversed(self.orders.values()))
        start, size = int(request.query.get("cursor", 0)), int(request.query.get("limit", 24))
        more = start + size < len(newest)
        page = newest[start : start + size]
        return web.json_response({"items": page, "nextCursor": str(start + size) if more else None})

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        text = f"# TYPE holdfast_commit_retries_total counter\nholdfast_commit_retries_total {len(self.seen)}.0\n"
        return web.Response(text=text)


@asynccontextmanager
async def serving(shop: FakeShop) -> AsyncIterator[str]:
    """The URL of the shop on a free port, for as long as the block lasts."""
    runner = web.AppRunner(shop.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _product(sku: str) -> dict[str, Any]:
    return {
        "id": f"p-{sku}",
        "slug": sku.lower(),
        "name": f"Product {sku}",
        "sku": sku,
        "variants": [],
        "price": 100,
        "currency": "GBP",
    }


def _problem(status: int, code: str | None = None, **more: Any) -> web.Response:
    document = {"status": status, "code": code or CODES[status], **more}
    return web.json_response(document, status=status, content_type="application/problem+json")
