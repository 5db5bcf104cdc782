"""The orders' indexes, each with the query it serves."""

from datetime import UTC, datetime

from service.infra.mongo.indexes import Index, Probe
from service.orders.repository import OPEN, open_refunds_filter

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = (("createdAt", -1), ("_id", -1))

INDEXES = (
    Index(
        "orders",
        (("userId", 1), ("createdAt", -1), ("_id", -1)),
        serves="one customer's orders, newest first",
        probe=Probe({"userId": "u1"}, sort=NEWEST, limit=25),
    ),
    Index(
        "orders",
        (("status", 1), ("createdAt", -1), ("_id", -1)),
        serves="staff: orders in one status, newest first",
        probe=Probe({"status": "paid"}, sort=NEWEST, limit=25),
    ),
    Index(
        "orders",
        (("createdAt", -1), ("_id", -1)),
        serves="staff: all orders, newest first",
        probe=Probe({}, sort=NEWEST, limit=25),
    ),
    Index(
        "orders",
        (("payment.startedAt", 1),),
        serves="payments left open, oldest first: reconciliation",
        probe=Probe(
            {"payment.status": {"$in": OPEN}, "payment.startedAt": {"$lt": A_MOMENT}},
            sort=(("payment.startedAt", 1),),
            limit=1000,
        ),
        partial={"payment.status": {"$in": OPEN}},
    ),
    Index(
        "orders",
        (("payment.id", 1),),
        serves="the order of a payment attempt a webhook names",
        probe=Probe({"payment.id": "p1"}),
        sparse=True,
    ),
    Index(
        "orders",
        (("refunds.at", 1),),
        serves="refunds promised and not yet confirmed: reconciliation",
        probe=Probe(open_refunds_filter(A_MOMENT), limit=1000),
        partial={"refunds.done": False},
        examined_per_returned_max=2,
        why_not_one="the partial filter cannot bind `done` and `at` of the same refund",
        lists=("refunds",),
    ),
    Index(
        "orders",
        (("reservation.expiresAt", 1),),
        serves="orders never paid, longest first: they are cancelled a day after their hold ended",
        probe=Probe(
            {"status": "pending", "reservation.expiresAt": {"$lt": A_MOMENT}, "payment.status": {"$nin": OPEN}},
            sort=(("reservation.expiresAt", 1),),
            limit=500,
        ),
        partial={"status": "pending"},
    ),
    Index(
        "orders",
        (("number", 1),),
        serves="an order by the number a customer reads aloud; no number is given twice",
        probe=Probe({"number": "HF-0123456789"}),
        unique=True,
    ),
)
