"""All queries on second factors, which are kept with their user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.infra.mongo.client import Database, Session

PROPOSED, CONFIRMED = "secondFactorProposed", "secondFactor"


@dataclass(frozen=True, slots=True)
class StoredFactor:
    """`sealed`: the secret; `recovery`: keyed hashes of the codes that were not used."""

    sealed: str
    recovery: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A proposed factor whose first code was right: in which half minute, and which login gave it. `factor_id` is its
    name from now on, which nobody can guess."""

    proposed: StoredFactor
    step: int
    factor_id: str
    session_id: str


class SecondFactorRepository:
    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    async def propose(self, user_id: str, factor: StoredFactor) -> bool:
        """Whether it may be confirmed: not if there is one. The newest proposal counts."""
        found = await self._users.update_one(
            {"_id": {"$eq": user_id}, CONFIRMED: {"$exists": False}},
            {"$set": {PROPOSED: {"secret": factor.sealed, "recovery": list(factor.recovery)}}},
        )
        return bool(found.matched_count)

    async def proposed(self, user_id: str) -> StoredFactor | None:
        return await self._find(user_id, PROPOSED)

    async def confirmed(self, user_id: str) -> StoredFactor | None:
        return await self._find(user_id, CONFIRMED)

    async def confirm(self, user_id: str, confirmed: "Confirmation", now: datetime, session: Session) -> bool:
        """Unless another one was proposed or confirmed meanwhile."""
        proposed = confirmed.proposed
        factor = {
            "id": confirmed.factor_id,
            "session": confirmed.session_id,
            "secret": proposed.sealed,
            "recovery": list(proposed.recovery),
            "lastStep": confirmed.step,
            "since": now,
        }
        found = await self._users.update_one(
            {"_id": {"$eq": user_id}, f"{PROPOSED}.secret": proposed.sealed, CONFIRMED: {"$exists": False}},
            {"$set": {CONFIRMED: factor}, "$unset": {PROPOSED: 1}},
            session=session,
        )
        return bool(found.modified_count)

    async def take_step(self, user_id: str, step: int, sealed: str) -> bool:
        """Whether no code of this half minute, or a later one, was used. `sealed`: the same secret, by today's key."""
        found = await self._users.update_one(
            {"_id": {"$eq": user_id}, f"{CONFIRMED}.lastStep": {"$lt": step}},
            {"$set": {f"{CONFIRMED}.lastStep": step, f"{CONFIRMED}.secret": sealed}},
        )
        return bool(found.modified_count)

    async def take_recovery(self, user_id: str, hashes: Sequence[str]) -> bool:
        found = await self._users.update_one(
            {"_id": {"$eq": user_id}, f"{CONFIRMED}.recovery": {"$in": list(hashes)}},
            {"$pullAll": {f"{CONFIRMED}.recovery": list(hashes)}},
        )
        return bool(found.modified_count)

    async def set_recovery(self, user_id: str, hashes: Sequence[str]) -> bool:
        found = await self._users.update_one(
            {"_id": {"$eq": user_id}, CONFIRMED: {"$exists": True}},
            {"$set": {f"{CONFIRMED}.recovery": list(hashes)}},
        )
        return bool(found.matched_count)

    async def remove(self, user_id: str, session: Session) -> None:
        await self._users.update_one(
            {"_id": {"$eq": user_id}}, {"$unset": {CONFIRMED: 1, PROPOSED: 1}}, session=session
        )

    async def _find(self, user_id: str, which: str) -> StoredFactor | None:
        found = await self._users.find_one({"_id": {"$eq": user_id}, which: {"$exists": True}}, {which: 1})
        return None if found is None else _to_factor(found[which])


def _to_factor(document: Mapping[str, Any]) -> StoredFactor:
    return StoredFactor(document["secret"], tuple(document["recovery"]))
