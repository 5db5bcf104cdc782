"""What the document shows of an order: one order through its life, its figures and its states in step."""

from datetime import UTC, datetime, timedelta
from typing import Any

PLACED = datetime(2026, 5, 1, 12, tzinfo=UTC)
BUYER, STAFF = "01a205479d0e3b9c11d5a0c4f2b7", "01a2053f0b6e4d2c8a9b7c6d5e4f"
QUANTITY, UNIT_PRICE = 2, 1299
LIVES = {
    "pending": ("pending",),
    "paid": ("pending", "paid"),
    "cancelled": ("pending", "cancelled"),
    "shipped": ("pending", "paid", "shipped"),
    "delivered": ("pending", "paid", "shipped", "delivered"),
    "refunded": ("pending", "paid", "refunded"),
}
HOLDS = {"pending": "active", "cancelled": "released"}


def order_example(status: str) -> dict[str, Any]:
    """Fields of an order's answer that belong together; the document fills in the rest from the schema."""
    total = QUANTITY * UNIT_PRICE
    refunded = total if status == "refunded" else 0
    return {
        "status": status,
        "items": [{"quantity": QUANTITY, "unitPrice": UNIT_PRICE, "lineTotal": total}],
        "subtotal": total,
        "discount": 0,
        "total": total,
        "refunded": refunded,
        "coupon": None,
        "createdAt": _at(0),
        "reservation": {"status": HOLDS.get(status, "confirmed"), "expiresAt": _at(15)},
        "cancelReason": "cancelled" if status == "cancelled" else None,
        "paymentStatus": None if status in HOLDS else "returned" if refunded else "paid",
        "history": [
            {"status": each, "at": _at(minute), "actor": BUYER if minute < 2 else STAFF}
            for minute, each in enumerate(LIVES[status])
        ],
        "refunds": [{"amount": refunded, "restocked": True, "items": [{"quantity": QUANTITY}], "at": _at(2)}]
        if refunded
        else [],
    }


def _at(minutes: int) -> str:
    return (PLACED + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
