"""A client of the stack under attack: plain HTTP from any loopback address, with the cookies it is told to send."""

import http.client
import json
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

PASSWORD = "correct horse battery staple"
SECONDS_MAX = 30
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class NotTried(Exception):
    """The stack was not started so that this could be tried; the reason."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.text) if self.text else {}

    @property
    def code(self) -> str:
        return str(self.json.get("code", "")) if "json" in self.headers.get("content-type", "") else ""


@dataclass
class Account:
    email: str
    id: str
    token: str
    address: str
    cookies: dict[str, str]


class Shop:
    def __init__(self, url: str, admin_token: str, data: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or f"{parts.hostname}" not in LOOPBACK:
            raise SystemExit("only a stack on this machine's loopback, by http")
        self.host, self.port, self.admin_token = parts.hostname or "", parts.port or 80, admin_token
        self.currency, self.data = "GBP", data
        self._addresses = (f"127.{a}.{b}.{c}" for a in range(20, 90) for b in range(250) for c in range(2, 250))

    def address(self) -> str:
        """Of somebody who was never here."""
        return next(self._addresses)

    def call(self, method: str, path: str, body: Any = None, token: str = "", **given: Any) -> Answer:
        headers = dict(given.get("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if cookies := given.get("cookies"):
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/json"
        source = (given.get("address", "127.0.0.1"), 0)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS_MAX, source_address=source)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            found = connection.getresponse()
            return _answer(found)
        finally:
            connection.close()

    def register(self, name: str = "Eve") -> Account:
        """A new account whose address nobody has verified, from an address of its own."""
        email, address = f"{uuid4().hex}@example.com", self.address()
        body = {"email": email, "password": PASSWORD, "name": name}
        made = self.call("POST", "/api/auth/register", body, address=address)
        if made.status != 201:
            raise RuntimeError(f"cannot register: {made.text}")
        return Account(email, made.json["user"]["id"], made.json["accessToken"], address, made.cookies)

    def log_in(self, email: str, password: str = PASSWORD, **given: Any) -> Answer:
        return self.call("POST", "/api/auth/login", {"email": email, "password": password}, **given)

    def sell(self, units: int) -> str:
        """A new product with that many in stock: its SKU."""
        sku = f"A{uuid4().hex[:12].upper()}"
        product = {"name": f"Bait {sku}", "category": "baits", "price": 1299, "currency": self.currency, "sku": sku}
        goods = {"lines": [{"sku": sku, "quantity": units}]}
        for path, body in (("/api/products", product), ("/api/inventory/receive", goods)):
            made = self.call("POST", path, body, self.admin_token, headers={"Idempotency-Key": uuid4().hex})
            if made.status not in (200, 201):
                raise RuntimeError(f"cannot sell: {made.text}")
        return sku

    def order(self, account: Account, lines: dict[str, int], **fields: Any) -> Answer:
        items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
        key = {"Idempotency-Key": uuid4().hex}
        body = {"items": items, **fields}
        return self.call("POST", "/api/orders", body, account.token, address=account.address, headers=key)


def _answer(found: http.client.HTTPResponse) -> Answer:
    text = found.read().decode(errors="replace")
    jar = SimpleCookie()
    for value in found.headers.get_all("Set-Cookie", []):
        jar.load(value)
    cookies = {name: morsel.value for name, morsel in jar.items()}
    return Answer(found.status, {name.lower(): value for name, value in found.headers.items()}, text, cookies)


def counted(count: int) -> range:
    """Loops of attacks are bounded."""
    assert count <= 200, "an attack of this size is a load test"
    return range(count)
