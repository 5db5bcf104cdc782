"""Idempotency keys: a request that is repeated is answered as before and changes nothing twice."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct


class IdempotencyKey(Struct, frozen=True, rename="camel", eq=False):
    """`id` names caller and key, `fingerprint` what was asked. Those two make it the same key."""

    id: str
    fingerprint: str
    expires_at: datetime

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdempotencyKey) and (self.id, self.fingerprint) == (other.id, other.fingerprint)

    def __hash__(self) -> int:
        return hash((self.id, self.fingerprint))

    def claim(self, outcome: Mapping[str, Any], refusals: bool = True, kept: bool = True) -> "IdempotencyClaim":
        return IdempotencyClaim(self.id, self.fingerprint, outcome, self.expires_at, refusals, kept)


class IdempotencyClaim(Struct, frozen=True):
    """A key that a posting takes: `outcome` is remembered with it, so that a repetition is answered the same.
    A refusal is remembered too, unless the caller has another step to take first (`refusals` is False). One that is
    not `kept` only asks whether the key already stands for something: a first step of several."""

    id: str
    fingerprint: str
    outcome: Mapping[str, Any]
    expires_at: datetime
    refusals: bool = True
    kept: bool = True


class IdempotencyRecord(Struct, frozen=True):
    """What a key already stands for: the outcome of the first request that carried it."""

    fingerprint: str
    outcome: Mapping[str, Any]
