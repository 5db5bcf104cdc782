"""A motor-shaped database for one simulated process: every call takes seeded time and may go wrong.

Owns the seam between the service's repositories and the mock. mongomock-motor never yields to the loop, so races
cannot happen on it; here each call first travels (virtual time), is applied in one instant, and travels back. The
link decides how long, whether the process dies before or after, and whether an answer is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from mongomock_motor import AsyncMongoMockClient
from pymongo import IndexModel, InsertOne, UpdateMany, UpdateOne
from pymongo.errors import PyMongoError

from service.infra.mongo.commands import Command, FindCommand
from service.infra.mongo.pipeline import Reply
from workloads.simulation.mongo import mock
from workloads.simulation.mongo.documents import Document
from workloads.simulation.mongo.session import Link, Session
from workloads.simulation.mongo.store import Locked, Store

# What is chained to a find, by name, to the documents it gives.
Read = Callable[[dict[str, tuple[Any, ...]]], list[Document]]

CHAINED = {"sort", "skip", "limit"}
LOCK_WAIT_SECONDS = 0.001
READS = {"find_one", "count_documents", "distinct", "aggregate", "find"}


@dataclass
class Cluster:
    """The one database of a simulation, shared by the clients of all its processes."""

    store: Store
    new_id: Callable[[], ObjectId]
    motor: "AsyncMongoMockClient[Document]"

    def collection(self, database: str, name: str) -> Any:
        return self.motor[database][name]


class Client:
    """What a simulated process has instead of AsyncIOMotorClient."""

    def __init__(self, cluster: Cluster, link: Link) -> None:
        self.cluster, self.link = cluster, link
        self._databases: dict[str, Database] = {}

    def __getitem__(self, name: str) -> "Database":
        return self._databases.setdefault(name, Database(self, name))

    def get_database(self, name: str, **options: Any) -> "Database":
        return self[name]

    async def start_session(self, **options: Any) -> Session:
        return Session(self.cluster.store, self.link)

    def close(self) -> None:
        """Nothing is held open."""


class Database:
    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name
        self._collections: dict[str, Collection] = {}

    def __getitem__(self, name: str) -> "Collection":
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self, name)
        return found

    def __getattr__(self, name: str) -> "Collection":
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def get_collection(self, name: str, **options: Any) -> "Collection":
        return self[name]

    async def command(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        await self.client.link.request("command", False)
        return await self.client.cluster.motor[self.name].command(command)

    async def find_all(self, finds: Sequence[FindCommand], session: Session | None) -> list[list[Mapping[str, Any]]]:
        """As infra/mongo_commands: one after the other; anything may go wrong between them."""
        return [await self._found(find, session) for find in finds]

    async def _found(self, find: FindCommand, session: Session | None) -> list[Mapping[str, Any]]:
        order = {"sort": list(find.sort)} if find.sort else {}
        bound = {"limit": find.limit} if find.limit else {}
        found = self[find.collection].find(find.filter, find.projection, session=session, **order, **bound)
        return list(await found.to_list())

    async def send_all(self, commands: Sequence[Command], session: Session) -> list[Reply]:
        return [await self._send(command, session) for command in commands]

    async def _send(self, command: Command, session: Session) -> Reply:
        if "insert" in command:
            documents = command["documents"]
            await self[command["insert"]].insert_many(documents, ordered=command["ordered"], session=session)
            return {"n": len(documents), "ok": 1}
        requests = [_request(**statement) for statement in command["updates"]]
        result = await self[command["update"]].bulk_write(requests, ordered=command["ordered"], session=session)
        return {"n": result.matched_count + result.upserted_count, "ok": 1}


def _request(q: Document, u: Document, multi: bool = False, upsert: bool = False) -> UpdateMany | UpdateOne:
    return UpdateMany(q, u, upsert=upsert) if multi else UpdateOne(q, u, upsert=upsert)


class Collection:
    """The calls the repositories use. Options that only tune a real server (hint, comment, concerns) are ignored."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name
        self._link, self._cluster = database.client.link, database.client.cluster
        self._motor = self._cluster.collection(database.name, name)
        self._mock: mock.Collection = self._motor._AsyncMongoMockCollection__collection

    def with_options(self, **options: Any) -> "Collection":
        return self

    def find(
        self, filter: Any = None, projection: Any = None, *, session: Session | None = None, **options: Any
    ) -> "Cursor":
        chain = {name: (value,) for name, value in _kept(options).items()}
        assert chain.keys() <= CHAINED, f"{sorted(chain)} are not simulated"
        return Cursor(self, session, lambda chain: self._mock.read(filter or {}, projection, chain), chain)

    def aggregate(
        self, pipeline: Sequence[Mapping[str, Any]], session: Session | None = None, **options: Any
    ) -> "Cursor":
        return Cursor(self, session, lambda _: list(self._mock.aggregate(list(pipeline))))

    async def find_one(self, *args: Any, session: Session | None = None, **options: Any) -> Any:
        return await self._call("find_one", lambda: self._mock.find_one(*args, **_kept(options)), session)

    async def count_documents(self, filter: Any, session: Session | None = None, **options: Any) -> int:
        limits = {name: options[name] for name in ("skip", "limit") if name in options}
        return int(await self._call("count_documents", lambda: self._mock.count_documents(filter, **limits), session))

    async def estimated_document_count(self, **options: Any) -> int:
        return await self.count_documents({})

    async def distinct(self, key: str, filter: Any = None, session: Session | None = None) -> list[Any]:
        return list(await self._call("distinct", lambda: sorted(self._mock.distinct(key, filter), key=str), session))

    async def insert_one(self, document: Document, session: Session | None = None, **options: Any) -> Any:
        self._identify([document])
        return await self._call("insert_one", lambda: self._mock.insert_one(document), session)

    async def insert_many(
        self, documents: Iterable[Document], ordered: bool = True, session: Session | None = None, **options: Any
    ) -> Any:
        documents = list(documents)
        self._identify(documents)
        return await self._call("insert_many", lambda: self._mock.insert_many(documents, ordered=ordered), session)

    async def bulk_write(
        self, requests: Sequence[Any], ordered: bool = True, session: Session | None = None, **options: Any
    ) -> Any:
        self._identify([request._doc for request in requests if isinstance(request, InsertOne)])
        return await self._call("bulk_write", lambda: self._mock.bulk_write(requests, ordered=ordered), session)

    async def create_indexes(self, models: Iterable[IndexModel], **options: Any) -> list[str]:
        specs = mock.index_specs(models)
        for spec in specs:
            self._cluster.store.table(self.name).add_index(spec)
        return [spec.name for spec in specs]

    async def create_index(self, keys: Any, **options: Any) -> str:
        return (await self.create_indexes([IndexModel(keys, **options)]))[0]

    async def index_information(self, **options: Any) -> dict[str, Any]:
        indexes = self._cluster.store.table(self.name).indexes
        return {"_id_": {"key": [("_id", 1)]}, **{name: {"key": list(spec.keys)} for name, spec in indexes.items()}}

    def __getattr__(self, operation: str) -> Any:
        """update_one, find_one_and_update, delete_many … : mongomock's own call, in a session or not."""
        if operation not in FORWARDED:
            raise AttributeError(f"{operation} is not simulated")

        async def call(*args: Any, session: Session | None = None, **options: Any) -> Any:
            return await self._call(operation, lambda: getattr(self._mock, operation)(*args, **_kept(options)), session)

        self.__dict__[operation] = call
        return call

    async def _call(self, operation: str, action: Callable[[], Any], session: Session | None) -> Any:
        in_transaction = session is not None and session.in_transaction
        try:
            await self._link.request(operation, in_transaction)
            transaction = session.server_transaction() if session is not None else None
            writing = operation not in READS
            while True:
                try:
                    result = mock.operate(self._cluster.store, self._mock, transaction, action, writing=writing)
                    break
                except Locked:
                    await asyncio.sleep(LOCK_WAIT_SECONDS)
            await self._link.reply(operation, in_transaction)
        except PyMongoError as error:
            if session is not None:
                session.failed(error)
            raise
        return result

    def _identify(self, documents: Iterable[Document]) -> None:
        """Ids the driver would invent come from the seed."""
        for document in documents:
            document.setdefault("_id", self._cluster.new_id())


class Cursor:
    """A find or an aggregation; runs once, in one instant, when the first document is asked for."""

    def __init__(
        self,
        collection: Collection,
        session: Session | None,
        read: Read,
        chain: dict[str, tuple[Any, ...]] | None = None,
    ) -> None:
        self._collection, self._session, self._read = collection, session, read
        self._chain = chain or {}
        self._documents: list[Document] | None = None
        self._position = 0

    def sort(self, *args: Any) -> "Cursor":
        return self._chained("sort", *args)

    def limit(self, count: int) -> "Cursor":
        return self._chained("limit", count)

    def skip(self, count: int) -> "Cursor":
        return self._chained("skip", count)

    def batch_size(self, count: int) -> "Cursor":
        return self

    def hint(self, index: Any) -> "Cursor":
        return self

    def collation(self, collation: Any) -> "Cursor":
        raise NotImplementedError("collations are not simulated")

    def max_time_ms(self, milliseconds: int | None) -> "Cursor":
        return self

    async def to_list(self, length: int | None = None) -> list[Document]:
        documents = await self._fetch()
        end = len(documents) if length is None else self._position + length
        found, self._position = documents[self._position : end], end
        return found

    def __aiter__(self) -> AsyncIterator[Document]:
        return self

    async def __anext__(self) -> Document:
        documents = await self._fetch()
        if self._position >= len(documents):
            raise StopAsyncIteration
        self._position += 1
        return documents[self._position - 1]

    next = __anext__

    async def close(self) -> None:
        """Nothing is held open."""

    def _chained(self, name: str, *args: Any) -> "Cursor":
        self._chain[name] = args
        return self

    async def _fetch(self) -> list[Document]:
        if self._documents is None:
            self._documents = await self._collection._call("find", lambda: self._read(self._chain), self._session)
        return self._documents


FORWARDED = {
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "find_one_and_update",
    "find_one_and_delete",
    "find_one_and_replace",
}
TUNING = {"hint", "comment", "max_time_ms", "batch_size", "allow_disk_use", "max_staleness"}


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in TUNING} if options else {}
