"""Goods to sell on the stack the contract is checked on."""

from collections.abc import Callable
from uuid import uuid4

from api import Api

Sell = Callable[..., str]


def seller(staff: Api) -> Sell:
    def put_on_sale(stock: int = 10, price: int = 1299, **fields: object) -> str:
        """A new product's SKU."""
        sku = f"T{uuid4().hex[:10].upper()}"
        body = {"name": f"Thing {sku}", "category": "things", "price": price, "currency": "GBP", "sku": sku, **fields}
        made = staff.post("/api/products", body)
        assert made.status == 201, made.body
        if stock:
            received = staff.post("/api/inventory/receive", {"lines": [{"sku": sku, "quantity": stock}]})
            assert received.status == 200, received.body
        return sku

    return put_on_sale
