"""Indexes of users and of the audit log, each with the query it serves."""

from datetime import UTC, datetime

from service.auth.repository import EMAIL_COLLATION
from service.infra.mongo.indexes import Index, Probe

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

INDEXES = (
    Index(
        "users",
        (("email", 1),),
        serves="login, registration and user lookup, whatever the case of the letters; one account per address",
        probe=Probe({"email": {"$eq": "ada@example.com"}}, collation=EMAIL_COLLATION),
        unique=True,
        collation=EMAIL_COLLATION,
    ),
    Index(
        "users",
        (("resetPasswordToken", 1),),
        serves="the account of a reset link: only accounts with a link under way are in it",
        probe=Probe({"resetPasswordToken": {"$eq": "0" * 64}, "resetPasswordExpiresAt": {"$gt": A_MOMENT}}),
        sparse=True,
    ),
    Index(
        "users",
        (("verificationToken", 1),),
        serves="the account of a verification link",
        probe=Probe({"verificationToken": {"$eq": "0" * 64}, "verificationExpiresAt": {"$gt": A_MOMENT}}),
        sparse=True,
    ),
    Index(
        "users",
        (("createdAt", -1), ("_id", -1)),
        serves="the list of users, newest first",
        probe=Probe({"createdAt": {"$lte": A_MOMENT}}, sort=(("createdAt", -1), ("_id", -1)), limit=24),
    ),
    Index(
        "users",
        (("role", 1), ("createdAt", -1), ("_id", -1)),
        serves="users of one role, newest first; the number of admins",
        probe=Probe(
            {"role": {"$eq": "staff"}, "createdAt": {"$lte": A_MOMENT}},
            sort=(("createdAt", -1), ("_id", -1)),
            limit=24,
        ),
    ),
    Index(
        "audit_log",
        (("at", -1), ("_id", -1)),
        serves="the audit log, newest first; the entry a new chain links to",
        probe=Probe({"at": {"$lte": A_MOMENT}}, sort=(("at", -1), ("_id", -1)), limit=24),
    ),
    Index(
        "audit_log",
        (("actor", 1), ("at", -1), ("_id", -1)),
        serves="what one user did, newest first",
        probe=Probe({"actor": {"$eq": "u1"}, "at": {"$lte": A_MOMENT}}, sort=(("at", -1), ("_id", -1)), limit=24),
    ),
    Index(
        "audit_log",
        (("target", 1), ("at", -1), ("_id", -1)),
        serves="what was done to one thing, newest first",
        probe=Probe({"target": {"$eq": "/x"}, "at": {"$lte": A_MOMENT}}, sort=(("at", -1), ("_id", -1)), limit=24),
    ),
    Index(
        "audit_log",
        (("outcome", 1), ("at", -1), ("_id", -1)),
        serves="one kind of refusal, newest first",
        probe=Probe({"outcome": {"$eq": "x"}, "at": {"$lte": A_MOMENT}}, sort=(("at", -1), ("_id", -1)), limit=24),
    ),
    Index(
        "audit_log",
        (("expiresAt", 1),),
        serves="audit entries delete themselves after their time",
        probe=Probe({"expiresAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=0,
    ),
    Index(
        "audit_heads",
        (("expiresAt", 1),),
        serves="the heads of chains whose entries have all expired delete themselves",
        probe=Probe({"expiresAt": {"$lte": A_MOMENT}}),
        expire_after_seconds=0,
    ),
)
