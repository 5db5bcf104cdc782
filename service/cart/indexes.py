"""The carts' indexes, each with the query it serves."""

from datetime import UTC, datetime

from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

INDEXES = (
    Index(
        "carts",
        (("expiresAt", 1),),
        serves="guests' carts delete themselves a month after their last change; users' carts have no expiry",
        probe=Probe({"expiresAt": {"$lt": A_MOMENT}}),
        expire_after_seconds=0,
    ),
    Index(
        "wishes",
        (("userId", 1), ("addedAt", -1), ("sku", -1)),
        serves="a customer's wishlist, newest first",
        probe=Probe({"userId": "u1"}, sort=(("addedAt", -1), ("sku", -1)), limit=25),
    ),
    Index(
        "wishes",
        (("sku", 1), ("userId", 1)),
        serves="who wished to be told of a SKU that has sold out, by user",
        probe=Probe({"sku": "A", "notify": True, "userId": {"$gt": ""}}, sort=(("userId", 1),), limit=100),
        partial={"notify": True},
    ),
)
