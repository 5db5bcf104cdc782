"""Index definitions as the server lists them, made comparable with declared ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.infra.mongo.client import Database
from service.infra.mongo.indexes import Index

NEVER_SECONDS = 2**31 - 1  # an index that deletes cannot be told to stop; this is as long as it can be told to wait

Pairs = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes two indexes of a collection the same one, whatever they are called."""

    keys: Pairs
    unique: bool
    sparse: bool
    partial: Mapping[str, Any] | None
    expire_after_seconds: int | None
    weights: Mapping[str, Any] | None
    collation: Mapping[str, Any] | None

    @property
    def is_text(self) -> bool:
        return self.weights is not None

    def differs_only_in_expiry(self, other: "Shape") -> bool:
        return replace(self, expire_after_seconds=None) == replace(other, expire_after_seconds=None)

    def differs_only_in_uniqueness(self, other: "Shape") -> bool:
        return replace(self, unique=False) == replace(other, unique=False)


@dataclass(frozen=True, slots=True)
class Live:
    """An index that is there."""

    name: str
    shape: Shape


def declared(index: Index) -> Shape:
    text = [path for path, direction in index.keys if direction == "text"]
    return Shape(
        keys=_with_text(index.keys, text),
        unique=index.unique,
        sparse=index.sparse,
        partial=None if index.partial is None else dict(index.partial),
        expire_after_seconds=index.expire_after_seconds,
        weights={path: (index.weights or {}).get(path, 1) for path in text} if text else None,
        collation=_collation(index.collation),
    )


async def live(database: Database, collection: str) -> list[Live]:
    """All but the one on `_id`. A collection that is not there has none."""
    found = await database[collection].list_indexes().to_list(None)
    return [Live(each["name"], _listed(each)) for each in found if each["name"] != "_id_"]


def names(there: Iterable[Mapping[str, Any]], indexes: Iterable[Index]) -> dict[str, str]:
    """What the listed ones that are declared are called in their declaration."""
    known = [(declared(index), index.name) for index in indexes]
    shapes = {each["name"]: _listed(each) for each in there}
    return {live_name: name for live_name, shape in shapes.items() for wanted, name in known if shape == wanted}


def _listed(specification: Mapping[str, Any]) -> Shape:
    weights = specification.get("weights")
    keys = tuple((path, direction) for path, direction in specification["key"].items() if path not in {"_fts", "_ftsx"})
    expires = specification.get("expireAfterSeconds")
    return Shape(
        keys=_with_text(keys, list(weights or ())),
        unique=bool(specification.get("unique")),
        sparse=bool(specification.get("sparse")),
        partial=_plain(specification.get("partialFilterExpression")),
        expire_after_seconds=None if expires == NEVER_SECONDS else expires,
        weights=_plain(weights),
        collation=_collation(specification.get("collation")),
    )


def _with_text(keys: Pairs, text: list[str]) -> Pairs:
    """The server keeps the words of all its text keys together, in no order."""
    plain = tuple((path, direction) for path, direction in keys if direction != "text")
    return (*plain, *((path, "text") for path in sorted(text)))


def _collation(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The two that are ever declared: the server adds its defaults and the version of its tables."""
    return None if given is None else {"locale": given["locale"], "strength": given.get("strength", 3)}


def _plain(found: Any) -> Any:
    """Nested documents without the driver's own type."""
    return {name: _plain(value) for name, value in found.items()} if isinstance(found, Mapping) else found
