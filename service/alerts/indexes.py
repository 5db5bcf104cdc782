"""The indexes of alerts and subscriptions, each with the query it serves."""

from datetime import UTC, datetime

from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ALERTS_KEPT_SECONDS = 180 * 86_400
SUBSCRIPTIONS_KEPT_SECONDS = 90 * 86_400

INDEXES = (
    Index(
        "alerts",
        (("sku", 1), ("kind", 1)),
        serves="the open alerts of some SKUs; a SKU has at most one of each kind",
        probe=Probe({"open": True, "sku": {"$in": ["s1", "s2"]}}),
        unique=True,
        partial={"open": True},
    ),
    Index(
        "alerts",
        (("kind", 1), ("_id", -1)),
        serves="open alerts of a kind, newest first: the staff's list, the daily digest",
        probe=Probe({"open": True, "kind": {"$in": ["low_stock"]}}, sort=(("_id", -1),), limit=25),
        partial={"open": True},
    ),
    Index(
        "alerts",
        (("resolvedAt", 1),),
        serves="resolved alerts delete themselves after 180 days",
        probe=Probe({"resolvedAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=ALERTS_KEPT_SECONDS,
    ),
    Index(
        "subscriptions",
        (("sku", 1), ("userId", 1)),
        serves="whether a customer waits for a SKU already; nobody waits twice",
        probe=Probe({"sku": "s1", "userId": "u1", "waiting": True}),
        unique=True,
        partial={"waiting": True},
    ),
    Index(
        "subscriptions",
        (("sku", 1), ("_id", 1)),
        serves="who waits for a SKU, oldest first",
        probe=Probe({"sku": "s1", "waiting": True}, sort=(("_id", 1),), limit=3),
        partial={"waiting": True},
    ),
    Index(
        "subscriptions",
        (("userId", 1), ("sku", 1)),
        serves="a customer's subscriptions: how many, and the one to cancel",
        probe=Probe({"userId": "u1", "sku": "s1"}),
    ),
    Index(
        "subscriptions",
        (("sku", 1), ("toldAt", 1)),
        serves="who was told of a SKU lately and may still come to buy",
        probe=Probe({"sku": "s1", "fresh": True, "toldAt": {"$gt": A_MOMENT}}),
        partial={"fresh": True},
    ),
    Index(
        "subscriptions",
        (("endedAt", 1),),
        serves="subscriptions that are over delete themselves after 90 days",
        probe=Probe({"endedAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=SUBSCRIPTIONS_KEPT_SECONDS,
    ),
)
