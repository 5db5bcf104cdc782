"""Who may review: the catalogue's tests are about products, not about what was paid for."""

import pytest

from service.orders.repository import OrderRepository


@pytest.fixture(autouse=True)
def bought(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody has bought everything, but `nobody`."""

    async def has_bought(self: OrderRepository, user_id: str, product_id: str) -> bool:
        return user_id != "nobody"

    monkeypatch.setattr(OrderRepository, "has_bought", has_bought)
