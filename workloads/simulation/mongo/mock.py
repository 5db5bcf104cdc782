"""mongomock's query and update language, run on the simulation's store.

mongomock keeps documents in a dictionary it scans and changes in place. Here it is given a `View` instead: what one
operation, in its transaction or outside, may see, with private copies of what it changes. Whatever it understands
of the language stays its own code; what it lacks (unique indexes that are partial, bulk_write with a new PyMongo)
is added beside it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import mongomock
import mongomock.collection
import mongomock.database
from mongomock import helpers
from mongomock.codec_options import CodecOptions
from mongomock.filtering import filter_applies
from mongomock.mongo_client import MongoClient
from mongomock_motor import AsyncMongoMockClient
from pymongo import DeleteMany, DeleteOne, IndexModel, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError
from pymongo.results import BulkWriteResult

from workloads.simulation.mongo.documents import (
    Document,
    applies,
    change,
    copied,
    hasten_mongomock,
    is_plain_projection,
    plain_changes,
    shown,
    stored,
)
from workloads.simulation.mongo.store import (
    IndexSpec,
    Key,
    Store,
    Table,
    Transaction,
    check_unique,
    named_ids,
)

Result = TypeVar("Result")


hasten_mongomock()


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
        if not self.table.uniques:
            return
        own = {**self._written, **self._touched}
        check_unique(self.store, self.table, _key(document["_id"]), document, self.transaction, own)

    def is_unique_by(self, fields: set[str]) -> bool:
        """Whether any of these fields has a say in a unique index, or is the key itself."""
        return "_id" in fields or any(fields & self.indexes[name].heads for name in self.table.uniques)

    def matching(self, condition: Mapping[str, Any]) -> Iterator[Document]:
        if self.is_empty:
            filter_applies(condition, {})
        keys = [key for key, document in self._narrowed(condition) if applies(condition, document)]
        return (document for key in keys if (document := self._open(key)) is not None)

    def _narrowed(self, condition: Mapping[str, Any]) -> list[tuple[Key, Document]]:
        """What the condition need be tested on, in natural order."""
        if "_id" in condition and (named := named_ids(condition["_id"])) is not None:
            return self._peek_all(self._in_order(named))
        keys = self.table.candidates(condition)
        overlaid = [*self._written, *self._before, *self._touched]
        if keys is None:
            return self._peek_all({**dict.fromkeys(self.table.documents), **dict.fromkeys(overlaid)})
        return self._peek_all(self._in_order([*keys, *overlaid]))

    def _in_order(self, keys: list[Key]) -> list[Key]:
        if len(keys) < 2:
            return keys
        order = self.table.order
        return sorted(dict.fromkeys(keys), key=lambda key: order.get(key, len(order)))

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
        private: Document = copied(document)
        self._touched[key] = private
        return private

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

    def read(self, filter: Any, projection: Any, chain: Mapping[str, tuple[Any, ...]]) -> list[Document]:
        """A find with what was chained to it (sort, skip, limit), without a cursor: mongomock's slices its list anew
        for every document."""
        skip, limit = (chain.get(name, (0,))[0] for name in ("skip", "limit"))
        found = self._found(stored(filter), projection, chain)
        return [shown(document) for document in islice(found, skip, skip + abs(limit) if limit else None)]

    def _found(self, filter: Any, projection: Any, chain: Mapping[str, tuple[Any, ...]]) -> Iterable[Document]:
        sort = helpers.create_index_list(*chain["sort"]) if "sort" in chain else None
        if sort is not None or not (projection is None or is_plain_projection(projection)):
            return self._get_dataset(filter, sort, projection, dict)  # type: ignore[no-any-return]
        matching = self._store.matching(filter)
        return (_only(document, projection) for document in matching) if projection else matching

    def find_one(self, filter: Any = None, *args: Any, **options: Any) -> Document | None:
        """mongomock's own opens a cursor and reads it to its end."""
        if args or options or not isinstance(filter, dict):
            found: Document | None = super().find_one(filter, *args, **options)
            return found
        return next((shown(document) for document in self._store.matching(stored(filter))), None)

    def _insert(self, data: Any, session: Any = None, ordered: bool = True) -> Any:
        """mongomock's own, for one plain document with its `_id`, which `database` always gives it."""
        if type(data) is not dict:
            return super()._insert(data, session, ordered)
        view, document = self._store, stored(data)
        key = _key(document["_id"])
        if key in view:
            raise DuplicateKeyError("E11000 Duplicate Key Error", 11000)
        view[key] = document
        try:
            view.check_unique(document)
        except DuplicateKeyError:
            del view[key]
            raise
        return data["_id"]

    def _copy_only_fields(self, doc: Document, fields: Any, container: Any) -> Document:
        """What is wanted is copied once, afterwards, when its moments are made to say that they are UTC."""
        if not fields:
            return doc
        if not is_plain_projection(fields):
            return super()._copy_only_fields(doc, fields, container)  # type: ignore[no-any-return]
        return _only(doc, fields)

    def _update(self, spec: Any, document: Any, upsert: bool = False, *args: Any, **options: Any) -> dict[str, Any]:
        """mongomock's own copies every document it changes once more, to see whether it did."""
        changes = None if upsert or args else plain_changes(document)
        if changes is None or self._store.is_unique_by({path.partition(".")[0] for _, path, _ in changes}):
            return super()._update(spec, document, upsert, *args, **options)  # type: ignore[no-any-return]
        multi, matched, modified = options.get("multi", False), 0, 0
        for found in self._store.matching(stored(spec)):
            matched += 1
            modified += change(found, changes)
            if not multi:
                break
        return {"n": matched, "nModified": modified, "ok": 1, "upserted": None, "updatedExisting": matched > 0}

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


def _only(document: Document, fields: Mapping[str, Any]) -> Document:
    """The wanted top-level fields, and `_id`."""
    wanted = {name: document[name] for name in fields if name in document}
    wanted["_id"] = document["_id"]
    return wanted


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
    def get_collection(self, name: str, *args: Any, **options: Any) -> Collection:
        found = self._collection_accesses.get(name)
        if found is None:
            found = self._collection_accesses[name] = Collection(
                self, name=name, codec_options=self._codec_options, _db_store=self._store
            )
        return found


class _Client(MongoClient):
    def get_database(self, name: str | None = None, *args: Any, **options: Any) -> _Database:
        assert name is not None
        found = self._database_accesses.get(name)
        if found is None:
            found = self._database_accesses[name] = _Database(
                self, name, codec_options=CodecOptions(tz_aware=True), _store=self._store[name]
            )
        return found


def motor_client() -> "AsyncMongoMockClient[Document]":
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


def _insert(collection: Collection, request: InsertOne[Document], totals: dict[str, Any], index: int) -> None:
    collection.insert_one(request._doc)
    totals["nInserted"] += 1


def _update(collection: Collection, request: Any, totals: dict[str, Any], index: int) -> None:
    assert not getattr(request, "_array_filters", None), "array filters are not simulated"
    replaces = not next(iter(request._doc), "").startswith("$")
    assert replaces == isinstance(request, ReplaceOne), f"not what an update is made of: {request._doc}"
    multi, upsert = isinstance(request, UpdateMany), bool(request._upsert)
    result = collection._update(request._filter, request._doc, upsert=upsert, multi=multi)
    if result["upserted"] is not None:
        totals["nUpserted"] += 1
        totals["upserted"].append({"index": index, "_id": result["upserted"]})
    else:
        totals["nMatched"] += result["n"]
        totals["nModified"] += result["nModified"]


def _delete(collection: Collection, request: Any, totals: dict[str, Any], index: int) -> None:
    remove: Callable[[Any], Any] = collection.delete_one if isinstance(request, DeleteOne) else collection.delete_many
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
