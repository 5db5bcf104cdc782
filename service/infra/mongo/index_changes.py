"""What brings a live database's indexes in line with the declared ones, without a moment in which what they guard is
unguarded: the new one is there before the old one goes, uniqueness and expiry are changed in place, and values that are
there twice are named before anything is changed."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pymongo.errors import DuplicateKeyError, OperationFailure

from service.infra.mongo.client import Database
from service.infra.mongo.index_shapes import NEVER_SECONDS, Live, Shape, declared, live
from service.infra.mongo.indexes import Index, by_collection

EXAMPLES_MAX = 5
CANNOT_CONVERT_TO_UNIQUE = 359


class Kind(Enum):
    """Of a change, and of what a process finds that was not changed yet."""

    CREATE = "is missing"
    EXPIRE = "deletes after another time"
    MAKE_UNIQUE = "is not unique yet"
    SWITCH = "has other options"
    DROP = "is not declared any more"


@dataclass(frozen=True, slots=True)
class IndexChange:
    """`name` is the index that is made or changed, `old` the one that goes."""

    kind: Kind
    collection: str
    name: str
    index: Index | None = None
    old: str = ""

    def __str__(self) -> str:
        does = {
            Kind.CREATE: "create",
            Kind.EXPIRE: "change in place when it deletes:",
            Kind.MAKE_UNIQUE: "make unique in place:",
            Kind.SWITCH: f"switch from {self.old} to",
            Kind.DROP: "drop",
        }[self.kind]
        note = ": quoted searches fail until it is built" if self.is_text_switch else ""
        return f"{does} {self.collection}.{self.name}{note}"

    @property
    def is_text_switch(self) -> bool:
        """A collection has one text index, so the old one has to go first. It guards nothing."""
        return self.kind is Kind.SWITCH and self.index is not None and declared(self.index).is_text


@dataclass(slots=True)
class IndexPlan:
    """`ours` are the indexes that are declared, by the names they have or get ("collection.name"); `undeclared` those
    that are left alone."""

    changes: list[IndexChange] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)


class Duplicates(Exception):
    """Values that are there twice and must not be: which of them goes is a person's decision."""

    def __init__(self, twice: Sequence[str]) -> None:
        super().__init__("; ".join(twice))
        self.twice = tuple(twice)


async def planned(database: Database, indexes: Sequence[Index], gone: Collection[str] = ()) -> IndexPlan:
    """What is to be changed. `gone` are indexes of an older version ("collection.name") that may go now. Reads no
    document."""
    plan = IndexPlan()
    declared_in = by_collection(indexes)
    there = await asyncio.gather(*(live(database, collection) for collection in declared_in))
    for (collection, wanted), found in zip(declared_in.items(), there, strict=True):
        _plan_collection(plan, collection, wanted, found, gone)
    return plan


def _plan_collection(
    plan: IndexPlan, collection: str, wanted: Sequence[Index], there: Sequence[Live], gone: Collection[str]
) -> None:
    left = {each.name: each for each in there}
    missing = []
    for index in wanted:
        same = next((each for each in left.values() if each.shape == declared(index)), None)
        if same is None:
            missing.append(index)
        else:
            del left[same.name]
            plan.ours.append(f"{collection}.{same.name}")
    taken = {each.name for each in there}
    for index in missing:
        change = _change(collection, index, left, taken)
        plan.changes.append(change)
        plan.ours.append(f"{collection}.{change.name}")
    for name in sorted(left):
        if f"{collection}.{name}" in gone:
            plan.changes.append(IndexChange(Kind.DROP, collection, name))
        else:
            plan.undeclared.append(f"{collection}.{name}")


def _change(collection: str, index: Index, left: dict[str, Live], taken: set[str]) -> IndexChange:
    """Takes out of `left` the one that `index` is made from."""
    shape = declared(index)
    for old in list(left.values()):
        if kind := _from(old, shape, index.name):
            del left[old.name]
            name = _free(index.name, taken) if kind is Kind.SWITCH else old.name
            return IndexChange(kind, collection, name, index, old.name if kind is Kind.SWITCH else "")
    return IndexChange(Kind.CREATE, collection, _free(index.name, taken), index)


def _from(old: Live, new: Shape, name: str) -> Kind | None:
    """How the old one becomes the new one. Somebody's own index of other options on the same keys stays beside it."""
    ours = re.fullmatch(rf"{re.escape(name)}(__\d+)?", old.name) is not None and old.shape.keys == new.keys
    if old.shape.differs_only_in_expiry(new):
        return Kind.EXPIRE
    if ours and new.unique and old.shape.differs_only_in_uniqueness(new):
        return Kind.MAKE_UNIQUE
    return Kind.SWITCH if ours or (old.shape.is_text and new.is_text) else None


def _free(name: str, taken: set[str]) -> str:
    """A name is an index's for life, so its successor has another one."""
    names = (name, *(f"{name}__{number}" for number in range(2, len(taken) + 3)))
    chosen = next(each for each in names if each not in taken)
    taken.add(chosen)
    return chosen


async def find_duplicates(database: Database, changes: Sequence[IndexChange]) -> list[str]:
    """Reads the collections that are to have a unique index."""
    found = []
    for change in changes:
        if change.index is not None and change.index.unique and change.kind is not Kind.EXPIRE:
            found += await _twice(database, change.index)
    return found


async def _twice(database: Database, index: Index) -> list[str]:
    paths = [path for path, _ in index.keys]
    matching: dict[str, Any] = dict(index.partial or {})
    if index.sparse:
        matching["$or"] = [{path: {"$exists": True}} for path in paths]
    value = {f"k{number}": {"$ifNull": [f"${path}", None]} for number, path in enumerate(paths)}
    pipeline: list[dict[str, Any]] = [
        {"$match": matching},
        *(
            {"$unwind": {"path": f"${path}", "preserveNullAndEmptyArrays": True}}
            for path in index.lists
            if path in paths
        ),
        {"$group": {"_id": value, "ids": {"$addToSet": "$_id"}}},
        {"$match": {"ids.1": {"$exists": True}}},
        {"$limit": EXAMPLES_MAX},
    ]
    options = {"collation": dict(index.collation)} if index.collation is not None else {}
    rows = await database[index.collection].aggregate(pipeline, allowDiskUse=True, **options).to_list(None)
    return [_sentence(index, tuple(row["_id"].values()), row["ids"]) for row in rows]


def _sentence(index: Index, values: Sequence[Any], ids: Sequence[Any]) -> str:
    shown = ", ".join(f"{path} {value!r}" for (path, _), value in zip(index.keys, values, strict=True))
    several = ", ".join(map(str, sorted(ids, key=str)[:EXAMPLES_MAX]))
    return f"{index.collection}.{index.name} must be unique, but {len(ids)} documents have {shown}: {several}"


async def apply(database: Database, change: IndexChange) -> None:
    """Raises Duplicates; then what was there before is there still."""
    collection = database[change.collection]
    if change.kind is Kind.DROP:
        await collection.drop_index(change.name)
    elif change.kind is Kind.EXPIRE:
        seconds = _index_of(change).expire_after_seconds
        await _modify(collection, change.name, expireAfterSeconds=NEVER_SECONDS if seconds is None else seconds)
    elif change.kind is Kind.MAKE_UNIQUE:
        await _make_unique(collection, change)
    else:
        if change.is_text_switch:
            await collection.drop_index(change.old)
        await _create(collection, change)
        if change.old and not change.is_text_switch:
            await collection.drop_index(change.old)


def _index_of(change: IndexChange) -> Index:
    assert change.index is not None, "only what is dropped is not declared"
    return change.index


async def _create(collection: Any, change: IndexChange) -> None:
    index = _index_of(change)
    model = index.model()
    model.document["name"] = change.name
    try:
        await collection.create_indexes([model])
    except DuplicateKeyError as error:
        raise await _named(collection.database, index, error) from error


async def _make_unique(collection: Any, change: IndexChange) -> None:
    """From the first step on nothing is added that would be there twice; the second looks at what is there."""
    await _modify(collection, change.name, prepareUnique=True)
    try:
        await _modify(collection, change.name, unique=True)
    except OperationFailure as error:
        await _modify(collection, change.name, prepareUnique=False)
        if error.code != CANNOT_CONVERT_TO_UNIQUE:
            raise
        raise await _named(collection.database, _index_of(change), error) from error


async def _named(database: Database, index: Index, error: OperationFailure) -> Duplicates:
    """Written since they were looked for."""
    return Duplicates(await _twice(database, index) or [f"{index.collection}.{index.name}: {error}"])


async def _modify(collection: Any, name: str, **options: Any) -> Mapping[str, Any]:
    done: Mapping[str, Any] = await collection.database.command(
        "collMod", collection.name, index={"name": name, **options}
    )
    return done
