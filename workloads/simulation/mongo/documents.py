"""Plain copies of plain documents, and the plain conditions most calls come with.

mongomock copies in general and several times over, parses its driver's version at every turn and encodes what it
stores only to see whether it can: that was most of a simulation's time. Documents here are dictionaries, lists and
values that cannot change, so each way is one pass; whatever is not plain stays mongomock's own business.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import mongomock.collection
import packaging.version
from bson import ObjectId
from bson.tz_util import utc
from mongomock import helpers
from mongomock.filtering import filter_applies
from pymongo.errors import WriteError

Document = dict[str, Any]

ATOMS = frozenset({str, int, float, bool, bytes, type(None), ObjectId})
COMPARED = ATOMS | {datetime}
LISTS = (list, tuple)
PLAIN_OPERATORS = {"$set", "$inc", "$push"}
# Operator, path and value of one part of an update.
Change = tuple[str, str, Any]
_ABSENT = object()
_general_stored: Callable[[Any], Any] = helpers.patch_datetime_awareness_in_document


def copied(value: Any) -> Any:
    """What a document is made of is copied or cannot change."""
    if isinstance(value, dict):
        copy = dict(value)
        for key, item in value.items():
            if type(item) not in COMPARED:
                copy[key] = copied(item)
        return copy
    if isinstance(value, list):
        return [item if type(item) in COMPARED else copied(item) for item in value]
    return value


def stored(value: Any) -> Any:
    """As the server keeps it: moments in UTC without saying so, to the millisecond."""
    kind = type(value)
    if kind is dict:
        copy: Document = value.copy()
        for key, item in value.items():
            if type(item) not in ATOMS:
                copy[key] = stored(item)
        return copy
    if kind is list or kind is tuple:
        return [item if type(item) in ATOMS else stored(item) for item in value]
    if kind is datetime and (value.tzinfo is None or value.tzinfo is UTC):
        return _without_zone(value)
    return value if kind in ATOMS else _general_stored(value)


def shown(value: Any) -> Any:
    """As the driver hands it out: moments say that they are UTC."""
    if isinstance(value, datetime):
        return _with_zone(value)
    if isinstance(value, dict):
        copy = dict(value)
        for key, item in value.items():
            if type(item) not in ATOMS:
                copy[key] = shown(item)
        return copy
    if isinstance(value, LISTS):
        return [item if type(item) in ATOMS else shown(item) for item in value]
    return value


# One moment stands in many documents and is read many times.
@functools.lru_cache(4096)
def _without_zone(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, microsecond=moment.microsecond // 1000 * 1000)


@functools.lru_cache(4096)
def _with_zone(moment: datetime) -> datetime:
    return moment.replace(tzinfo=utc)


def applies(condition: Mapping[str, Any], document: Document) -> bool:
    """mongomock's `filter_applies`; a plain value compared with a plain field needs none of it."""
    for path, wanted in condition.items():
        found = document.get(path)
        if "." in path or path[:1] == "$" or type(found) not in COMPARED:
            return bool(filter_applies(condition, document))
        if type(wanted) in COMPARED:
            if found != wanted:
                return False
        elif not _among(found, wanted) and not filter_applies({path: wanted}, document):
            return False
    return True


def _among(found: Any, wanted: Any) -> bool:
    """Whether `wanted` is `{"$in": […]}` and plainly names the value."""
    return type(wanted) is dict and len(wanted) == 1 and "$in" in wanted and found in wanted["$in"]


def is_plain_projection(fields: Any) -> bool:
    """Whole top-level fields to keep."""
    return type(fields) is dict and all(value == 1 and "." not in name for name, value in fields.items())


def plain_changes(update: Any) -> list[Change] | None:
    """The update as (operator, path, value); None when it does more than put, add to or append to plain fields."""
    if type(update) is not dict:
        return None
    changes = [
        (operator, path, stored(value))
        for operator, fields in update.items()
        if operator in PLAIN_OPERATORS
        for path, value in fields.items()
    ]
    whole = sum(map(len, update.values())) if update.keys() <= PLAIN_OPERATORS else -1
    return changes if len(changes) == whole and not any(map(_is_special, changes)) else None


def _is_special(step: Change) -> bool:
    """Positions in lists, and what is not one value to append."""
    operator, path, value = step
    return (
        "$" in path
        or ("." in path and (operator != "$set" or not path.replace(".", "").isalpha()))
        or (operator == "$push" and isinstance(value, dict) and "$each" in value)
    )


def change(document: Document, changes: list[Change]) -> bool:
    """Carries them out; whether anything is different now."""
    different = False
    for operator, path, value in changes:
        holder, name = (document, path) if "." not in path else _holder(document, path)
        before = holder.get(name, _ABSENT)
        after = value if operator == "$set" else _moved(operator, path, before, value)
        if before is _ABSENT or before != after:
            holder[name], different = copied(after), True
    return different


def _moved(operator: str, path: str, before: Any, value: Any) -> Any:
    """What `$inc` or `$push` makes of what was there."""
    if before is _ABSENT:
        return value if operator == "$inc" else [value]
    if operator == "$inc" and isinstance(before, int | float):
        return before + value
    if operator == "$push" and isinstance(before, list):
        return [*before, value]
    raise WriteError(f"Cannot apply {operator} to the field {path!r} of {type(before).__name__}", 14)


def _holder(document: Document, path: str) -> tuple[Document, str]:
    """The inner document a dotted path ends in, and the field there."""
    *outer, name = path.split(".")
    for step in outer:
        document = document.setdefault(step, {})
        if not isinstance(document, dict):
            raise WriteError(f"Cannot create field {name!r} in element {step!r}", 28)
    return document, name


def hasten_mongomock() -> None:
    """Puts these in the place of mongomock's own, for the whole of this program."""
    vars(mongomock.collection).update(
        copy=SimpleNamespace(deepcopy=copied, copy=lambda value: value),
        version=SimpleNamespace(parse=functools.cache(packaging.version.parse)),
        BSON=None,  # what cannot be encoded is the business of the tests on a real server
    )
    helpers.patch_datetime_awareness_in_document = stored
    helpers.make_datetime_timezone_aware_in_document = shown
