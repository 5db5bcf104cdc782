"""Inventory's indexes, each with the query it serves."""

from datetime import UTC, datetime

from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

INDEXES = (
    Index(
        "inventory",
        (("low", 1), ("_id", 1)),
        serves="SKUs at or under their threshold, by SKU: the low-stock list and the daily check",
        probe=Probe({"low": True, "_id": {"$gt": ""}}, sort=(("low", 1), ("_id", 1)), limit=24),
        partial={"low": True},
    ),
    Index(
        "reservations",
        (("orderId", 1),),
        serves="all reservations of the orders a batch resolves",
        probe=Probe({"orderId": {"$in": ["o1", "o2"]}}),
    ),
    Index(
        "reservations",
        (("expiresAt", 1),),
        serves="active holds past their expiry, oldest first: the sweep",
        probe=Probe({"status": "active", "expiresAt": {"$lte": A_MOMENT}}, sort=(("expiresAt", 1),), limit=500),
        partial={"status": "active"},
    ),
    Index(
        "holders",
        (("expiresAt", 1),),
        serves="what a customer held deletes itself once it counts no more",
        probe=Probe({"expiresAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=0,
    ),
    Index(
        "idempotency",
        (("expiresAt", 1),),
        serves="idempotency keys delete themselves after two days",
        probe=Probe({"expiresAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=0,
    ),
)
