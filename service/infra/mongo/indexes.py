"""What an index declaration is, and how a live database is brought in line with the declared ones.

Each domain's `indexes.py` lists its indexes beside the query they serve; the query is kept as a `Probe`, a command
that can be explained, so the proof that the index is used is the server's own plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from service.infra.mongo.client import Database


@dataclass(frozen=True, slots=True)
class Probe:
    """The query an index serves, as `find` arguments, with the sort and limit the service really uses."""

    filter: Mapping[str, Any]
    sort: tuple[tuple[str, Any], ...] = ()
    limit: int = 0
    projection: Mapping[str, Any] | None = None
    collation: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """`lists` names the paths that hold lists, for whoever makes documents to try it on."""

    collection: str
    keys: tuple[tuple[str, Any], ...]
    serves: str
    probe: Probe
    unique: bool = False
    sparse: bool = False
    partial: Mapping[str, Any] | None = None
    expire_after_seconds: int | None = None
    weights: Mapping[str, int] | None = None
    collation: Mapping[str, Any] | None = None
    examined_per_returned_max: float = 1.1
    why_not_one: str = field(default="")
    lists: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "_".join(f"{key}_{direction}" for key, direction in self.keys).replace("$**", "wildcard")

    @property
    def kind(self) -> str:
        """The documented kinds first: text, ttl, partial, sparse, unique, then compound, wildcard, single."""
        if any(direction == "text" for _, direction in self.keys):
            return "text"
        if self.expire_after_seconds is not None:
            return "ttl"
        if self.partial is not None:
            return "partial"
        if self.sparse:
            return "sparse"
        if self.unique:
            return "unique"
        if any("$**" in key for key, _ in self.keys):
            return "wildcard"
        return "compound" if len(self.keys) > 1 else "single"

    def model(self) -> IndexModel:
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.sparse:
            options["sparse"] = True
        if self.partial is not None:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        if self.weights is not None:
            options["weights"] = dict(self.weights)
        if self.collation is not None:
            options["collation"] = dict(self.collation)
        return IndexModel(list(self.keys), **options)


async def reconcile(database: Database, indexes: Sequence[Index]) -> list[str]:
    """Creates what is missing and rebuilds what differs. Returns the drift: what was found changed or undeclared
    (undeclared indexes are reported and left alone: dropping one is a person's decision)."""
    drift = []
    declared: dict[str, list[Index]] = {}
    for index in indexes:
        declared.setdefault(index.collection, []).append(index)
    for collection, wanted in declared.items():
        drift += await _reconcile_collection(database[collection], wanted)
    return drift


async def _reconcile_collection(collection: Any, wanted: Sequence[Index]) -> list[str]:
    drift = []
    try:
        await collection.create_indexes([index.model() for index in wanted])
    except OperationFailure as error:
        if error.code not in {85, 86}:  # IndexOptionsConflict, IndexKeySpecsConflict
            raise
        for index in wanted:
            drift += await _create_or_rebuild(collection, index)
    names = {index.name for index in wanted} | {"_id_"}
    live = await collection.index_information()
    return drift + [f"{collection.name}.{name} is not declared" for name in sorted(set(live) - names)]


async def _create_or_rebuild(collection: Any, index: Index) -> list[str]:
    try:
        await collection.create_indexes([index.model()])
    except OperationFailure as error:
        if error.code not in {85, 86}:
            raise
        await collection.drop_index(index.name)
        await collection.create_indexes([index.model()])
        return [f"{collection.name}.{index.name} differed and was rebuilt"]
    return []
