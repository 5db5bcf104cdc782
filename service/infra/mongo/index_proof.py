"""The proof that each index is used: the server's own plan for the query it serves, without a hint.

Plans are made in a database of their own beside the live one, with the live one's indexes and the same few thousand
documents in every collection (`index_samples`); it is dropped afterwards. Only the use counts are the live one's.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from service.infra.mongo.client import Database, insert_new
from service.infra.mongo.index_samples import samples
from service.infra.mongo.index_shapes import names
from service.infra.mongo.indexes import Index, by_collection

SUFFIX = "_index_proof"
NOT_COPIED = {"v", "ns", "expireAfterSeconds"}  # samples are of any age: they must not delete themselves meanwhile


async def prove(database: Database, indexes: Sequence[Index]) -> dict[str, Any]:
    """{"count", "indexes": [{"collection", "name", "keys", "kind", "serves", "plan", "ok"}], "redundant", "unused"}"""
    async with filled_beside(database, indexes) as proving:
        proofs = [await prove_one(proving, index) for index in indexes]
    return {
        "count": len(proofs),
        "indexes": proofs,
        "redundant": redundant(indexes),
        "unused": await unused(database, indexes),
    }


@asynccontextmanager
async def filled_beside(database: Database, indexes: Sequence[Index]) -> AsyncIterator[Database]:
    """A database with the indexes that the live one has and with samples in every collection."""
    proving = database.client[f"{database.name}{SUFFIX}"]
    await database.client.drop_database(proving.name)
    try:
        for collection, declared in by_collection(indexes).items():
            await _copy_indexes(database[collection], proving[collection], declared)
            await insert_new(proving[collection], samples(declared))  # those a unique index refuses are left out
        yield proving
    finally:
        await database.client.drop_database(proving.name)


async def _copy_indexes(live: Any, proving: Any, declared: Sequence[Index]) -> None:
    """Under the names of their declarations: one that was switched has another."""
    there = [each for each in await live.list_indexes().to_list(None) if each["name"] != "_id_"]
    called = names(there, declared)
    specifications = [
        {option: value for option, value in each.items() if option not in NOT_COPIED}
        | {"name": called.get(each["name"], each["name"])}
        for each in there
    ]
    if specifications:
        await proving.database.command("createIndexes", proving.name, indexes=specifications)


async def prove_one(database: Database, index: Index) -> dict[str, Any]:
    """Whether the server answers the index's probe by the index alone, reading hardly more than it returns."""
    plan = await explain(database, index)
    used = plan["index"] == index.name and not plan["collectionScan"] and not plan["sortedInMemory"]
    frugal = 0 < plan["returned"] >= plan["docsExamined"] / index.examined_per_returned_max
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


async def unused(database: Database, indexes: Sequence[Index]) -> list[str]:
    """Declared indexes that no operation has used since the server started; the proof's own explains do not count.

    An index that deletes what is too old is left out: the server's own monitor uses it, and does not count that."""
    wanted = [index for index in indexes if index.expire_after_seconds is None]
    used = set()
    for collection, declared in by_collection(wanted).items():
        rows = await database[collection].aggregate([{"$indexStats": {}}]).to_list(None)
        called = names([row["spec"] for row in rows], declared)
        used |= {(collection, called.get(row["name"], row["name"])) for row in rows if row["accesses"]["ops"]}
    return [f"{i.collection}.{i.name}" for i in wanted if (i.collection, i.name) not in used]
