"""What a replica set's primary remembers: committed documents, open transactions, locks, unique keys.

Owns isolation and atomicity for the mock database, which has neither. A transaction reads the snapshot it began
with and its own writes; nobody sees them before it commits; of two that write one document the second is refused
with a write conflict at once, as on the server. Documents are never changed in place: a write replaces the whole
document, so a snapshot is nothing but the old objects. Look-ups go through hash indexes on the fields of the
declared indexes, because the mock scans and a server does not. No asyncio here, no latency, no faults.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId
from mongomock.helpers import hashdict
from pymongo.errors import DuplicateKeyError, OperationFailure

from workloads.simulation.mongo.documents import COMPARED, Document, applies

Key = Any
# The keys of the documents that have a value at one path.
Lookup = dict[Any, dict[Key, None]]
# One committed change: collection, key, document before (None: inserted), document after (None: deleted).
Change = tuple[str, Key, Document | None, Document | None]
Listener = Callable[[list[Change]], None]

SCALARS = (str, int, float, datetime, ObjectId)
IDS = {str, ObjectId}
TRANSIENT = "TransientTransactionError"
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"


def write_conflict() -> OperationFailure:
    return OperationFailure(
        "WriteConflict: this operation conflicted with another operation",
        112,
        {"code": 112, "codeName": "WriteConflict", "errorLabels": [TRANSIENT]},
    )


def no_such_transaction() -> OperationFailure:
    return OperationFailure(
        "Transaction has been aborted",
        251,
        {"code": 251, "codeName": "NoSuchTransaction", "errorLabels": [TRANSIENT]},
    )


class Locked(Exception):
    """Outside a transaction: the document is being written by one; the server waits, so must the caller."""


@dataclass(frozen=True)
class IndexSpec:
    name: str
    fields: tuple[str, ...]
    unique: bool = False
    sparse: bool = False
    partial: Mapping[str, Any] | None = None
    expire_after_seconds: int | None = None
    keys: tuple[tuple[str, Any], ...] = ()

    @functools.cached_property
    def heads(self) -> frozenset[str]:
        """The top-level fields that decide about an entry."""
        paths = (*self.fields, *(self.partial or {}))
        return frozenset(path.partition(".")[0] for path in paths)

    def entry(self, document: Document) -> tuple[Any, ...] | None:
        """The document's entry in a unique index; None when the index does not contain it."""
        if self.partial is not None and not applies(self.partial, document):
            return None
        values = tuple(_hashable(_at(document, path)) for path in self.fields)
        if self.sparse and all(value is None for value in values):
            return None
        return values


class Transaction:
    """An open transaction: what it wrote, and what others have since changed under its snapshot."""

    __slots__ = ("before", "began_at", "owner", "state", "unique", "writes")

    def __init__(self, owner: object, began_at: float) -> None:
        self.owner, self.began_at, self.state = owner, began_at, "active"
        self.writes: dict[str, dict[Key, Document | None]] = {}
        self.before: dict[str, dict[Key, Document | None]] = {}
        self.unique: list[tuple[str, str, tuple[Any, ...]]] = []


@dataclass(slots=True)
class Table:
    """The committed documents of one collection, their natural order, and the indexes over them."""

    name: str
    documents: dict[Key, Document] = field(default_factory=dict)
    order: dict[Key, int] = field(default_factory=dict)
    indexes: dict[str, IndexSpec] = field(default_factory=dict)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    uniques: dict[str, dict[tuple[Any, ...], Key]] = field(default_factory=dict)

    def add_index(self, index: IndexSpec) -> None:
        self.indexes[index.name] = index
        for path in (*index.fields, *(path for path, _ in _equalities(index.partial or {}))):
            if path not in self.lookups:
                self.lookups[path] = {}
                for key, document in self.documents.items():
                    self._enter(path, key, document)
        if index.unique:
            self.uniques[index.name] = {}
            for key, document in self.documents.items():
                self._enter_unique(index, key, document)

    def put(self, key: Key, document: Document | None) -> Document | None:
        """Replaces (or removes) one document; returns what was there."""
        old = self.documents.get(key)
        if document is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = document
            self.order.setdefault(key, len(self.order))
        for path, lookup in self.lookups.items():
            left = [] if old is None else _values(old, path)
            taken = [] if document is None else _values(document, path)
            if left != taken:
                _move(lookup, key, left, taken)
        for name in self.uniques:
            if old is not None:
                self._forget_unique(self.indexes[name], key, old)
            if document is not None:
                self._enter_unique(self.indexes[name], key, document)
        return old

    def candidates(self, condition: Mapping[str, Any]) -> Iterable[Key] | None:
        """Keys among which every match lies, from the narrowest index that helps; None: no index does."""
        best: list[Key] | None = None
        for path, wanted in _equalities(condition):
            if path == "_id":
                return [_hashable(value) for value in wanted]
            lookup = self.lookups.get(path)
            if lookup is None:
                continue
            size = sum(len(lookup.get(value, ())) for value in wanted)
            if best is None or size < len(best):
                best = [key for value in wanted for key in lookup.get(value, ())]
        return best

    def _enter(self, path: str, key: Key, document: Document) -> None:
        for value in _values(document, path):
            self.lookups[path].setdefault(value, {})[key] = None

    def _enter_unique(self, index: IndexSpec, key: Key, document: Document) -> None:
        entry = index.entry(document)
        if entry is not None:
            self.uniques[index.name][entry] = key

    def _forget_unique(self, index: IndexSpec, key: Key, old: Document) -> None:
        entries, entry = self.uniques[index.name], index.entry(old)
        if entry is not None and entries.get(entry) == key:
            del entries[entry]


def _move(lookup: Lookup, key: Key, left: list[Any], taken: list[Any]) -> None:
    """A document now stands elsewhere in a look-up."""
    for value in left:
        entries = lookup[value]
        entries.pop(key, None)
        if not entries:
            del lookup[value]
    for value in taken:
        lookup.setdefault(value, {})[key] = None


class Store:
    """All tables, the open transactions and their locks. Listeners hear every commit, in commit order."""

    def __init__(self, *, transaction_lifetime_seconds: float, now: Callable[[], float]) -> None:
        self.tables: dict[str, Table] = {}
        self.listeners: list[Listener] = []
        self.write_conflicts = 0
        self._active: dict[Transaction, None] = {}
        self._locks: dict[tuple[str, Key], Transaction] = {}
        self._unique_locks: dict[tuple[str, str, tuple[Any, ...]], Transaction] = {}
        self._lifetime_seconds, self._now = transaction_lifetime_seconds, now

    def table(self, name: str) -> Table:
        found = self.tables.get(name)
        if found is None:
            found = self.tables[name] = Table(name)
        return found

    def begin(self, owner: object) -> Transaction:
        transaction = Transaction(owner, self._now())
        self._active[transaction] = None
        return transaction

    def commit(self, transaction: Transaction) -> None:
        self.check_alive(transaction)
        self._end(transaction, "committed")
        self._apply((name, key, new) for name, writes in transaction.writes.items() for key, new in writes.items())

    def abort(self, transaction: Transaction) -> None:
        if transaction.state == "active":
            self._end(transaction, "aborted")

    def check_alive(self, transaction: Transaction) -> None:
        """Raises NoSuchTransaction when it was aborted or has outlived the server's limit."""
        if transaction.state == "active" and self._now() - transaction.began_at > self._lifetime_seconds:
            self.abort(transaction)
        if transaction.state != "active":
            raise no_such_transaction()

    def stage(self, name: str, changes: Mapping[Key, Document | None], transaction: Transaction | None) -> None:
        """Takes one operation's writes: at once without a transaction, else as part of it.

        Raises Locked or, inside a transaction (which it aborts), a write conflict."""
        for key in changes:
            self._claim(name, key, transaction)
        if transaction is None:
            self._apply((name, key, new) for key, new in changes.items())
            return
        for key in changes:
            self._locks[name, key] = transaction
        transaction.writes.setdefault(name, {}).update(changes)
        self._lock_unique_entries(name, changes, transaction)

    def holder_of_unique(self, name: str, index: str, entry: tuple[Any, ...]) -> Transaction | None:
        return self._live(self._unique_locks.get((name, index, entry)))

    def conflict(self, transaction: Transaction | None) -> Exception:
        """What to raise when another's uncommitted work is in the way."""
        if transaction is None:
            return Locked()
        self.write_conflicts += 1
        self.abort(transaction)
        return write_conflict()

    def _claim(self, name: str, key: Key, transaction: Transaction | None) -> None:
        holder = self._live(self._locks.get((name, key)))
        if holder is not None and holder is not transaction:
            raise self.conflict(transaction)
        if transaction is not None and key in transaction.before.get(name, ()):
            raise self.conflict(transaction)

    def _live(self, holder: Transaction | None) -> Transaction | None:
        """The holder of a lock, unless it has outlived the limit: then it is aborted here and now."""
        if holder is not None and self._now() - holder.began_at > self._lifetime_seconds:
            self.abort(holder)
            return None
        return holder

    def _lock_unique_entries(self, name: str, changes: Mapping[Key, Document | None], owner: Transaction) -> None:
        table = self.table(name)
        for index_name in table.uniques:
            for document in changes.values():
                entry = None if document is None else table.indexes[index_name].entry(document)
                if entry is not None:
                    owner.unique.append((name, index_name, entry))
                    self._unique_locks[name, index_name, entry] = owner

    def _apply(self, changes: Iterable[tuple[str, Key, Document | None]]) -> None:
        done: list[Change] = []
        for name, key, new in changes:
            old = self.table(name).put(key, new)
            done.append((name, key, old, new))
            for reader in self._active:
                reader.before.setdefault(name, {}).setdefault(key, old)
        if done:
            for listener in self.listeners:
                listener(done)

    def _end(self, transaction: Transaction, state: str) -> None:
        transaction.state = state
        self._active.pop(transaction, None)
        for name, writes in transaction.writes.items():
            for key in writes:
                self._locks.pop((name, key), None)
        for entry in transaction.unique:
            if self._unique_locks.get(entry) is transaction:
                del self._unique_locks[entry]


def check_unique(
    store: Store,
    table: Table,
    key: Key,
    document: Document,
    transaction: Transaction | None,
    own: Mapping[Key, Document | None],
) -> None:
    """Raises DuplicateKeyError when the document would stand twice in a unique index.

    `own` are the operation's and the transaction's documents; another's uncommitted entry is a conflict."""
    for name in table.uniques:
        index = table.indexes[name]
        entry = index.entry(document)
        if entry is None:
            continue
        for other, theirs in own.items():
            if other != key and theirs is not None and index.entry(theirs) == entry:
                raise _duplicate(index, entry)
        holder = store.holder_of_unique(table.name, name, entry)
        if holder is not None and holder is not transaction:
            raise store.conflict(transaction)
        owner = table.uniques[name].get(entry)
        if owner is None or owner == key or owner in own:
            continue
        if transaction is not None and owner in transaction.before.get(table.name, ()):
            raise store.conflict(transaction)
        raise _duplicate(index, entry)


def _duplicate(index: IndexSpec, entry: tuple[Any, ...]) -> DuplicateKeyError:
    value = dict(zip(index.fields, entry, strict=True))
    details = {"code": 11000, "keyPattern": dict.fromkeys(index.fields, 1), "keyValue": value}
    return DuplicateKeyError(f"E11000 duplicate key error index: {index.name} dup key: {value}", 11000, details)


def named_ids(wanted: Any) -> list[Key] | None:
    """The only keys a condition on `_id` can hold for; None when it names none."""
    if type(wanted) in IDS:
        return [wanted]
    if isinstance(wanted, dict) and "$in" in wanted:
        return [_hashable(value) for value in wanted["$in"]]
    return None


def _equalities(condition: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(path, wanted values) for every condition of a filter that can only hold for one of some values."""
    for path, wanted in condition.items():
        if path == "$and":
            for part in wanted:
                yield from _equalities(part)
        elif path.startswith("$"):
            continue
        elif isinstance(wanted, dict) and wanted and next(iter(wanted)).startswith("$"):
            if "$in" in wanted:
                yield path, [_hashable(value) for value in wanted["$in"]]
            elif "$elemMatch" in wanted:
                yield from ((f"{path}.{inner}", values) for inner, values in _equalities(wanted["$elemMatch"]))
            elif "$eq" in wanted:
                yield path, [_hashable(wanted["$eq"])]
        elif isinstance(wanted, SCALARS) or wanted is None or path == "_id":
            yield path, [_hashable(wanted)]


def _values(document: Document, path: str) -> list[Any]:
    """The values a look-up at `path` may match: a list stands for each of its elements and for itself."""
    if "." not in path and type(found := document.get(path)) in COMPARED:
        return [found]
    found = [document]
    for step in path.split("."):
        found = [_step(value, step) for item in found for value in (item if isinstance(item, list) else [item])]
    flat = [value for item in found for value in (item if isinstance(item, list) else [item])] or [None]
    return [_hashable(value) for value in flat]


def _step(value: Any, step: str) -> Any:
    return value.get(step) if isinstance(value, dict) else None


def _at(document: Document, path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = _step(value, step)
    return value


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return hashdict(value)
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return value
