"""The proof that each index is used: the server's own plan for the query it serves, without a hint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.infra.indexes import Index
from service.infra.mongo import Database


async def prove(database: Database, indexes: Sequence[Index]) -> dict[str, Any]:
    """{"count", "indexes": [{"collection", "name", "keys", "kind", "serves", "plan", "ok"}], "redundant", "unused"}"""
    proofs = [await _prove_one(database, index) for index in indexes]
    return {
        "count": len(proofs),
        "indexes": proofs,
        "redundant": redundant(indexes),
        "unused": await _unused(database, indexes),
    }


async def _prove_one(database: Database, index: Index) -> dict[str, Any]:
    plan = await explain(database, index)
    used = plan["index"] == index.name and not plan["collectionScan"] and not plan["sortedInMemory"]
    frugal = plan["docsExamined"] <= max(1, plan["returned"]) * index.examined_per_returned_max
    return {
        "collection": index.collection,
        "name": index.name,
        "keys": [list(key) for key in index.keys],
        "kind": index.kind,
        "serves": index.serves,
        "plan": plan,
        "ok": used and frugal,
    }


async def explain(database: Database, index: Index) -> dict[str, Any]:
    """{"index", "keysExamined", "docsExamined", "returned", "collectionScan", "sortedInMemory"} of the probe."""
    probe = index.probe
    command: dict[str, Any] = {"find": index.collection, "filter": dict(probe.filter)}
    if probe.sort:
        command["sort"] = dict(probe.sort)
    if probe.limit:
        command["limit"] = probe.limit
    if probe.projection is not None:
        command["projection"] = dict(probe.projection)
    if probe.collation is not None:
        command["collation"] = dict(probe.collation)
    explained = await database.command("explain", command, verbosity="executionStats")
    stages = list(_stages(explained["queryPlanner"]["winningPlan"]))
    stats = explained["executionStats"]
    names = [stage["indexName"] for stage in stages if "indexName" in stage]
    return {
        "index": names[0] if names else None,
        "keysExamined": stats["totalKeysExamined"],
        "docsExamined": stats["totalDocsExamined"],
        "returned": stats["nReturned"],
        "collectionScan": any(stage.get("stage") == "COLLSCAN" for stage in stages),
        "sortedInMemory": any(stage.get("stage") == "SORT" for stage in stages),
    }


def _stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every stage of a plan, whichever engine made it: classic, slot-based (nested in queryPlan), express."""
    if "stage" in plan:
        yield plan
    for value in plan.values():
        if isinstance(value, Mapping):
            yield from _stages(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _stages(item)


def redundant(indexes: Sequence[Index]) -> list[dict[str, str]]:
    """Plain indexes whose keys begin another index of the same collection: the longer one serves both."""
    found = []
    for index in indexes:
        if index.unique or index.sparse or index.partial is not None or index.expire_after_seconds is not None:
            continue
        for other in indexes:
            longer = len(other.keys) > len(index.keys) and other.keys[: len(index.keys)] == index.keys
            plain = other.partial is None and not other.sparse and other.collation == index.collation
            if other.collection == index.collection and longer and plain:
                found.append({"index": f"{index.collection}.{index.name}", "coveredBy": other.name})
    return found


async def _unused(database: Database, indexes: Sequence[Index]) -> list[str]:
    """Declared indexes that no operation has used since the server started; the proof's own explains do not count."""
    used = set()
    for collection in {index.collection for index in indexes}:
        async for row in database[collection].aggregate([{"$indexStats": {}}]):
            if row["accesses"]["ops"]:
                used.add((collection, row["name"]))
    return [f"{i.collection}.{i.name}" for i in indexes if (i.collection, i.name) not in used]
