"""The payments' indexes, each with the query it serves."""

from datetime import UTC, datetime

from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MONTH_SECONDS = 30 * 86_400

INDEXES = (
    Index(
        "payment_events",
        (("at", 1),),
        serves="heard notices delete themselves after 30 days, long after their signature has expired",
        probe=Probe({"at": {"$lt": A_MOMENT}}),
        expire_after_seconds=MONTH_SECONDS,
    ),
)
