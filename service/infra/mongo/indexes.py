"""What an index declaration is.

Each domain's `indexes.py` lists its indexes beside the query they serve; the query is kept as a `Probe`, a command
that can be explained, so the proof that the index is used is the server's own plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel

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


async def create_all(database: Database, indexes: Sequence[Index]) -> None:
    """For a new database. A live one is brought in line by `index_changes`."""
    for collection, declared in by_collection(indexes).items():
        await database[collection].create_indexes([index.model() for index in declared])


def by_collection(indexes: Iterable[Index]) -> dict[str, list[Index]]:
    found: defaultdict[str, list[Index]] = defaultdict(list)
    for index in indexes:
        found[index.collection].append(index)
    return dict(found)
