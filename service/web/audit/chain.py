"""The audit log's chain: how an entry is sealed, and how a verifier sees what was changed, inserted or removed."""

import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from service.infra import json

SEQ_DIGITS = 12
EXAMPLES_MAX = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """`target` is the path, `action` the route it matched, `subject` the account meant when nobody was logged in.
    `count`: how many refusals of one kind it stands for."""

    actor: str
    role: str
    action: str
    target: str
    outcome: str
    status: int
    address: str
    request_id: str
    subject: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Link:
    """What an entry says about the one before it: in its own chain, or, for the first, in any chain."""

    hash: str = ""
    expires_at: datetime | None = None


class Seal:
    def __init__(self, *keys: bytes) -> None:
        """The first one seals, all of them verify."""
        self._keys = keys

    def document(
        self, chain: str, seq: int, entry: Entry, before: Link, at: datetime, expires_at: datetime
    ) -> dict[str, Any]:
        document = {
            "_id": entry_id(chain, seq),
            "chain": chain,
            "seq": seq,
            "at": at,
            "expiresAt": expires_at,
            **asdict(entry),
            "previous": before.hash,
            "previousExpiresAt": before.expires_at,
        }
        return document | {"hash": self.hash(document)}

    def hash(self, document: Mapping[str, Any]) -> str:
        """Over every field but the hash itself, whatever their order in the store."""
        return self._hash(self._keys[0], document)

    def holds(self, document: Mapping[str, Any]) -> bool:
        return any(self._hash(key, document) == document.get("hash") for key in self._keys)

    def _hash(self, key: bytes, document: Mapping[str, Any]) -> str:
        fields = sorted((name, value) for name, value in document.items() if name != "hash")
        return hmac.new(key, json.encode(fields), "sha256").hexdigest()


def entry_id(chain: str, seq: int) -> str:
    """Entries of one chain lie together in order."""
    return f"{chain}:{seq:0{SEQ_DIGITS}d}"


@dataclass(slots=True)
class Verdict:
    """What `holdfast audit --log` says. `heads`: the end of each chain; kept elsewhere, they also prove that no end
    was cut off and its head wound back."""

    entries: int = 0
    violations: int = 0
    examples: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.violations == 0

    def blame(self, what: str) -> None:
        self.violations += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(what)


class Verifier:
    """Is shown all entries, chain by chain in order, and then the heads."""

    def __init__(self, seal: Seal, now: datetime, grace: timedelta) -> None:
        """`grace`: how long after its expiry an entry may be gone or still be there."""
        self._seal, self._now, self._grace = seal, now, grace
        self._last: Mapping[str, Any] | None = None
        self._ends: dict[str, Mapping[str, Any]] = {}
        self._hashes_wanted: dict[str, str] = {}
        self._hashes_seen: set[str] = set()
        self.verdict = Verdict()

    @property
    def chains(self) -> list[str]:
        return list(self._ends)

    def see(self, document: Mapping[str, Any]) -> None:
        self.verdict.entries += 1
        if not self._seal.holds(document):
            self.verdict.blame(f"{document['_id']} was changed")
        else:
            self._check_link(document)
        self._last = self._ends[document["chain"]] = document
        self._hashes_seen.add(document["hash"])

    def _check_link(self, document: Mapping[str, Any]) -> None:
        last = self._last if self._last is not None and self._last["chain"] == document["chain"] else None
        if document["_id"] != entry_id(document["chain"], document["seq"]):
            self.verdict.blame(f"{document['_id']} is not in its place")
        elif last is not None and last["seq"] + 1 == document["seq"]:
            if last["hash"] != document["previous"]:
                self.verdict.blame(f"{document['_id']} does not follow the entry before it")
        elif document["seq"] == 1:
            if document["previous"] and not self._may_be_gone(document["previousExpiresAt"]):
                self._hashes_wanted[document["previous"]] = document["_id"]
        elif not self._may_be_gone(document["previousExpiresAt"]):
            self.verdict.blame(f"entries before {document['_id']} are missing")

    def finish(self, heads: Mapping[str, Mapping[str, Any]]) -> Verdict:
        """`heads`: by chain, {"seq", "hash", "expiresAt"}."""
        for wanted, entry in self._hashes_wanted.items():
            if wanted not in self._hashes_seen:
                self.verdict.blame(f"the chain before {entry} is missing")
        for chain, head in heads.items():
            self._check_head(chain, head)
        for chain, end in self._ends.items():
            self.verdict.heads[chain] = f"{end['seq']}:{end['hash']}"
            if chain not in heads and not self._may_be_gone(end["expiresAt"]):
                self.verdict.blame(f"chain {chain} has no head")
        return self.verdict

    def _check_head(self, chain: str, head: Mapping[str, Any]) -> None:
        end = self._ends.get(chain)
        reached = end["seq"] if end else 0
        if reached < head["seq"] and not self._may_be_gone(head["expiresAt"]):
            self.verdict.blame(f"chain {chain} ends at {reached}, its head says {head['seq']}")
        elif end is not None and reached == head["seq"] and end["hash"] != head["hash"]:
            self.verdict.blame(f"chain {chain} ends in another entry than its head says")

    def _may_be_gone(self, expires_at: datetime | None) -> bool:
        return expires_at is not None and expires_at <= self._now + self._grace
