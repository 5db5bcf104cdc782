"""The audit log's chain shows every change, insertion, removal and swap."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.web.audit.chain import AuditEntry, ChainVerdict, Link, Seal, Verifier

START = datetime(2026, 5, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
SEAL = Seal(b"k" * 32)
ENTRY = AuditEntry("u1", "staff", "POST /api/x", "/api/x", "ok", 200, "127.0.0.1", "r1")
Documents = list[dict[str, Any]]


def chain(name: str, length: int, start: datetime = START, before: Link | None = None) -> Documents:
    documents: Documents = []
    last = before or Link()
    for seq in range(1, length + 1):
        at = start + timedelta(seconds=seq)
        documents.append(SEAL.document(name, seq, replace(ENTRY, request_id=f"{name}{seq}"), last, at, at + YEAR))
        last = Link(documents[-1]["hash"], documents[-1]["expiresAt"])
    return documents


def head(documents: Documents) -> dict[str, Any]:
    last = documents[-1]
    return {"seq": last["seq"], "hash": last["hash"], "expiresAt": last["expiresAt"]}


def verify(documents: Documents, heads: dict[str, Any], now: datetime = START) -> ChainVerdict:
    verifier = Verifier(SEAL, now, timedelta(minutes=2))
    for document in sorted(documents, key=lambda document: document["_id"]):
        verifier.see(document)
    return verifier.finish(heads)


def test_an_untouched_log_is_ok_and_says_where_its_chains_end() -> None:
    first = chain("a", 5)
    second = chain("b", 3, before=Link(first[-1]["hash"], first[-1]["expiresAt"]))
    verdict = verify(first + second, {"a": head(first), "b": head(second)})
    assert (verdict.ok, verdict.entries) == (True, 8)
    assert verdict.heads == {"a": f"5:{first[-1]['hash']}", "b": f"3:{second[-1]['hash']}"}


def changed(documents: Documents) -> Documents:
    return [*documents[:2], documents[2] | {"actor": "someone else"}, *documents[3:]]


def removed(documents: Documents) -> Documents:
    return documents[:2] + documents[3:]


def beheaded(documents: Documents) -> Documents:
    return documents[2:]


def cut_off(documents: Documents) -> Documents:
    return documents[:3]


def emptied(documents: Documents) -> Documents:
    return []


def inserted(documents: Documents) -> Documents:
    forged = documents[2] | {"_id": "a:000000000002x", "seq": 2}
    return [*documents, forged]


def swapped(documents: Documents) -> Documents:
    one, two = documents[1], documents[2]
    return [documents[0], two | {"_id": one["_id"]}, one | {"_id": two["_id"]}, *documents[3:]]


def resealed_by_someone_without_the_key(documents: Documents) -> Documents:
    forged = documents[2] | {"actor": "someone else"}
    return [*documents[:2], forged | {"hash": Seal(b"guess" * 8).hash(forged)}, *documents[3:]]


def aged_so_that_the_store_would_delete_it(documents: Documents) -> Documents:
    return [documents[0] | {"expiresAt": START}, *documents[1:]]


@pytest.mark.parametrize(
    "tamper",
    [
        changed,
        removed,
        beheaded,
        cut_off,
        emptied,
        inserted,
        swapped,
        resealed_by_someone_without_the_key,
        aged_so_that_the_store_would_delete_it,
    ],
)
def test_tampering_is_seen(tamper: Callable[[Documents], Documents]) -> None:
    documents = chain("a", 5)
    assert not verify(tamper(documents), {"a": head(documents)}).ok


def test_a_whole_chain_taken_away_with_its_head_is_missed_by_the_next_one() -> None:
    first = chain("a", 5)
    second = chain("b", 3, before=Link(first[-1]["hash"], first[-1]["expiresAt"]))
    verdict = verify(second, {"b": head(second)})
    assert verdict.examples == ["the chain before b:000000000001 is missing"]


def test_a_chain_without_its_head_is_seen() -> None:
    assert not verify(chain("a", 2), {}).ok


def test_entries_that_left_in_their_time_are_not_missed() -> None:
    first = chain("a", 5)
    second = chain("b", 3, START + timedelta(days=30), Link(first[-1]["hash"], first[-1]["expiresAt"]))
    later = START + YEAR + timedelta(seconds=4)
    assert verify(first[3:] + second, {"a": head(first), "b": head(second)}, later).ok
    much_later = START + YEAR + timedelta(days=1)
    assert verify(second, {"a": head(first), "b": head(second)}, much_later).ok


def test_a_head_written_before_its_last_batch_is_no_violation() -> None:
    documents = chain("a", 5)
    assert verify(documents, {"a": head(documents[:3])}).ok
