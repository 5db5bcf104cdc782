"""mongomock's query and update language, run on the simulation's store.

mongomock keeps documents in a dictionary it scans and changes in place. Here it is given a `View` instead: what one
operation, in its transaction or outside, may see, with private copies of what it changes. Whatever it understands
of the language stays its own code; what it lacks (unique indexes that are partial, bulk_write with a new PyMongo)
is added beside it.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import mongomock
import mongomock.collection
import mongomock.database
import packaging.version
from mongomock.codec_options import CodecOptions
from mongomock.filtering import filter_applies
from mongomock_motor import AsyncMongoMockClient
from pymongo import DeleteMany, DeleteOne, IndexModel, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, WriteError
from pymongo.results import BulkWriteResult

from workloads.simulation.store import Document, IndexSpec, Key, Store, Table, Transaction, check_unique

Result = TypeVar("Result")


def _copied(value: Any) -> Any:
    """What a document is made of is copied or cannot change."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


# A third of a simulation's time went into mongomock's general copying and into parsing one version string again and
# again; documents are plain, so they are copied plainly.
mongomock.collection.copy = SimpleNamespace(deepcopy=_copied, copy=lambda value: value)
mongomock.collection.version = SimpleNamespace(parse=functools.cache(packaging.version.parse))


class View:
    """One operation's sight of one collection. mongomock takes it for its own collection store."""

    def __init__(self, store: Store, table: Table, transaction: Transaction | None, *, writing: bool) -> None:
        self.store, self.table, self.transaction, self._writing = store, table, transaction, writing
        self._touched: dict[Key, Document | None] = {}
        self._original: dict[Key, Document | None] = {}
        self._written = transaction.writes.get(table.name, {}) if transaction else {}
        self._before = transaction.before.get(table.name, {}) if transaction else {}
        self.indexes = table.indexes
        self.is_created = True

    def changes(self) -> dict[Key, Document | None]:
        return {key: new for key, new in self._touched.items() if new != self._original[key]}

    def check_unique(self, document: Document) -> None:
        own = {**self._written, **self._touched}
        check_unique(self.store, self.table, _key(document["_id"]), document, self.transaction, own)

    def matching(self, condition: Mapping[str, Any]) -> Iterator[Document]:
        if self.is_empty:
            filter_applies(condition, {})
        keys = [key for key, document in self._narrowed(condition) if filter_applies(condition, document)]
        return (document for key in keys if (document := self._open(key)) is not None)

    def _narrowed(self, condition: Mapping[str, Any]) -> list[tuple[Key, Document]]:
        """What the condition need be tested on, in natural order."""
        keys = self.table.candidates(condition)
        overlaid = [*self._written, *self._before, *self._touched]
        if keys is None:
            return self._peek_all({**dict.fromkeys(self.table.documents), **dict.fromkeys(overlaid)})
        if overlaid or len(keys) > 1:
            order = self.table.order
            keys = sorted({*keys, *overlaid}, key=lambda key: order.get(key, len(order)))
        return self._peek_all(keys)

    def _peek_all(self, keys: Iterable[Key]) -> list[tuple[Key, Document]]:
        return [(key, document) for key in keys if (document := self._peek(key)) is not None]

    def _peek(self, key: Key) -> Document | None:
        return self._touched[key] if key in self._touched else self._visible(key)

    def _open(self, key: Key) -> Document | None:
        """The visible document: a private copy once the operation writes."""
        document = self._peek(key)
        if document is None or not self._writing or key in self._touched:
            return document
        self._original[key] = document
        copied: Document = _copied(document)
        self._touched[key] = copied
        return copied

    def _visible(self, key: Key) -> Document | None:
        if key in self._written:
            return self._written[key]
        if key in self._before:
            return self._before[key]
        return self.table.documents.get(key)

    # What mongomock expects of a collection store.

    @property
    def documents(self) -> Iterator[Document]:
        return iter([document for _, document in self._narrowed({})])

    @property
    def is_empty(self) -> bool:
        return not (self.table.documents or self._written or self._touched)

    def __len__(self) -> int:
        return len(self._narrowed({}))

    def __contains__(self, key: Key) -> bool:
        return self._peek(key) is not None

    def __getitem__(self, key: Key) -> Document:
        found = self._open(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: Key, document: Document) -> None:
        self._original.setdefault(key, self._visible(key))
        self._touched[key] = document
        self.table.order.setdefault(key, len(self.table.order))

    def __delitem__(self, key: Key) -> None:
        self._original.setdefault(key, self._visible(key))
        self._touched[key] = None


class Collection(mongomock.collection.Collection):
    """mongomock's collection with its storage replaced by the view of the running operation."""

    _patched_by_mongomock_motor = True
    view: View | None = None

    @property
    def _store(self) -> View:
        assert self.view is not None, "an operation ran outside `operate`"
        return self.view

    def _iter_documents(self, filter: Mapping[str, Any]) -> Iterator[Document]:
        return self._store.matching(filter)

    def _ensure_uniques(self, new_data: Document) -> None:
        self._store.check_unique(new_data)

    def bulk_write(
        self,
        requests: Sequence[Any],
        ordered: bool = True,
        bypass_document_validation: bool = False,
        session: Any = None,
    ) -> BulkWriteResult:
        """One call a request, as the server does; a duplicate stops an ordered bulk and is skipped by another."""
        totals: dict[str, Any] = dict.fromkeys(("nInserted", "nMatched", "nModified", "nRemoved", "nUpserted"), 0)
        totals |= {"writeErrors": [], "upserted": [], "writeConcernErrors": []}
        for index, request in enumerate(requests):
            try:
                _BULK[type(request)](self, request, totals, index)
            except WriteError as error:
                totals["writeErrors"].append({"index": index, "code": error.code, "errmsg": str(error)})
                if ordered:
                    break
        if totals["writeErrors"]:
            raise BulkWriteError(totals)
        return BulkWriteResult(totals, acknowledged=True)


def operate(
    store: Store,
    collection: Collection,
    transaction: Transaction | None,
    action: Callable[[], Result],
    *,
    writing: bool,
) -> Result:
    """Runs one operation to its end, against its view, and hands its writes to the store.

    What an insert of many or an unordered bulk managed before its error stands, as on the server."""
    view = View(store, store.table(collection.name), transaction, writing=writing)
    collection.view = view
    try:
        result = action()
    except BulkWriteError:
        store.stage(collection.name, view.changes(), transaction)
        raise
    finally:
        collection.view = None
    if writing:
        store.stage(collection.name, view.changes(), transaction)
    return result


class _Database(mongomock.database.Database):
    def get_collection(self, name: str, **options: Any) -> Collection:
        found = self._collection_accesses.get(name)
        if found is None:
            found = self._collection_accesses[name] = Collection(
                self, name=name, codec_options=self._codec_options, _db_store=self._store
            )
        return found


class _Client(mongomock.MongoClient):
    def get_database(self, name: str | None = None, **options: Any) -> _Database:
        assert name is not None
        found = self._database_accesses.get(name)
        if found is None:
            found = self._database_accesses[name] = _Database(
                self, name, codec_options=CodecOptions(tz_aware=True), _store=self._store[name]
            )
        return found


def motor_client() -> AsyncMongoMockClient:
    """A mongomock-motor client, time zone aware as the service's, whose collections are this module's."""
    return AsyncMongoMockClient(mock_mongo_client=_Client(tz_aware=True))


def index_specs(models: Iterable[IndexModel]) -> list[IndexSpec]:
    return [_index_spec(model.document) for model in models]


def _index_spec(document: Mapping[str, Any]) -> IndexSpec:
    keys = tuple(document["key"].items())
    return IndexSpec(
        name=document["name"],
        fields=tuple(path for path, direction in keys if direction in {1, -1, "hashed"} and "$**" not in path),
        unique=bool(document.get("unique")),
        sparse=bool(document.get("sparse")),
        partial=document.get("partialFilterExpression"),
        expire_after_seconds=document.get("expireAfterSeconds"),
        keys=keys,
    )


def _insert(collection: Collection, request: InsertOne, totals: dict[str, Any], index: int) -> None:
    collection.insert_one(request._doc)
    totals["nInserted"] += 1


def _update(collection: Collection, request: Any, totals: dict[str, Any], index: int) -> None:
    assert not getattr(request, "_array_filters", None), "array filters are not simulated"
    call = {UpdateOne: collection.update_one, UpdateMany: collection.update_many, ReplaceOne: collection.replace_one}
    result = call[type(request)](request._filter, request._doc, upsert=bool(request._upsert))
    if result.upserted_id is not None:
        totals["nUpserted"] += 1
        totals["upserted"].append({"index": index, "_id": result.upserted_id})
    else:
        totals["nMatched"] += result.matched_count
        totals["nModified"] += result.modified_count


def _delete(collection: Collection, request: Any, totals: dict[str, Any], index: int) -> None:
    remove = collection.delete_one if isinstance(request, DeleteOne) else collection.delete_many
    totals["nRemoved"] += remove(request._filter).deleted_count


_BULK: dict[type, Callable[[Collection, Any, dict[str, Any], int], None]] = {
    InsertOne: _insert,
    UpdateOne: _update,
    UpdateMany: _update,
    ReplaceOne: _update,
    DeleteOne: _delete,
    DeleteMany: _delete,
}


def _key(identity: Any) -> Key:
    return mongomock.helpers.hashdict(identity) if isinstance(identity, dict) else identity
