"""Several calls that need nothing from each other's answers, sent one after the other by one thread.

Motor gives every call a turn of its own in a thread: between two writes of a batch the event loop would be asked
twice for nothing. Plain commands also spare the driver's bulk machinery, which costs more than encoding does."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pymongo
from motor.frameworks.asyncio import run_on_executor
from pymongo.errors import AutoReconnect

from service.config import Config
from service.infra.batcher import Batcher
from service.infra.mongo import pipeline as mongo_pipeline
from service.infra.mongo.client import Database, Session
from service.infra.mongo.pipeline import Reply, exchange

FOUND_AT_ONCE = 100_000
UNANSWERED_MAX = 65_536  # bytes of requests whose answers may be large: less than a socket holds
Document = Mapping[str, Any]
Command = mongo_pipeline.Command
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FindCommand:
    collection: str
    filter: Document
    projection: Document | None = None
    sort: Sequence[tuple[str, int]] = ()
    limit: int = 0  # 0 is none


def insert(collection: str, documents: Sequence[Document]) -> Command:
    """`documents` bring their own _id."""
    return {"insert": collection, "documents": list(documents), "ordered": False}


def update(collection: str, statements: Sequence[Document]) -> Command:
    """`statements`, in order: {"q": filter, "u": change} and, where wanted, "multi" and "upsert"."""
    return {"update": collection, "updates": list(statements), "ordered": True}


class CommandRunner(Protocol):
    """What the ledger reads and writes through. The simulation brings its own."""

    async def find_all(self, finds: Sequence[FindCommand], session: Session | None) -> list[list[Document]]:
        """The documents of each. Outside of a transaction a lost connection is tried once more, as the driver does."""

    async def send_all(self, commands: Sequence[Command], session: Session) -> list[Reply]:
        """One reply a command. Raises the first error (BulkWriteError when a document was refused); what follows it
        is not carried out."""


class ThreadedCommandRunner:
    """The CommandRunner of a Motor database. A caller that is cancelled is held until the thread has ended: the
    session is in use until then."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_all(self, finds: Sequence[FindCommand], session: Session | None) -> list[list[Document]]:
        return await self._in_thread(lambda database, session: _find_all(database, finds, session), session)

    async def send_all(self, commands: Sequence[Command], session: Session) -> list[Reply]:
        return await self._in_thread(
            lambda database, session: exchange(database, commands, session, None),  # a write is answered in a few bytes
            session,
        )

    async def _in_thread(self, work: Callable[[Any, Any], Result], session: Session | None) -> Result:
        loop, delegate = asyncio.get_running_loop(), None if session is None else session.delegate
        working = run_on_executor(loop, work, self._database.delegate, delegate)  # type: ignore[no-untyped-call]
        try:
            result: Result = await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise
        return result


class FindLoader:
    """Reads that wait go together: one turn of a thread and one connection for all of them."""

    def __init__(self, runner: CommandRunner, config: Config) -> None:
        self._runner = runner
        self._group: Batcher[FindCommand, list[Document]] = Batcher(
            self._together, items_max=config.shared_reads_max, waiting_max=config.postings_waiting_max
        )

    async def find(self, find: FindCommand) -> list[Document]:
        return await self._group(find)

    async def _together(self, batch: Sequence[FindCommand]) -> Sequence[list[Document]]:
        return await self._runner.find_all(batch, None)


def _find_all(database: Any, finds: Sequence[FindCommand], session: Any) -> list[list[Document]]:
    commands = [_find(each) for each in finds]
    with pymongo.timeout(database.client.options.timeout):  # for both attempts
        try:
            replies = exchange(database, commands, session, UNANSWERED_MAX)
        except AutoReconnect:
            if session is not None:
                raise
            replies = exchange(database, commands, session, UNANSWERED_MAX)
        return [_documents(database, reply, session) for reply in replies]


def _find(find: FindCommand) -> Command:
    command: dict[str, Any] = {"find": find.collection, "filter": find.filter, "batchSize": FOUND_AT_ONCE}
    if find.projection is not None:
        command["projection"] = find.projection
    if find.sort:
        command["sort"] = dict(find.sort)
    return command | ({"limit": find.limit} if find.limit else {})


def _documents(database: Any, reply: Reply, session: Any) -> list[Document]:
    """The first batch and, where one answer could not hold them all, those behind it."""
    cursor = reply["cursor"]
    documents: list[Document] = list(cursor["firstBatch"])
    while cursor["id"]:
        more = {"getMore": cursor["id"], "collection": cursor["ns"].partition(".")[2], "batchSize": FOUND_AT_ONCE}
        (answer,) = exchange(database, [more], session, UNANSWERED_MAX)
        cursor = answer["cursor"]
        documents += cursor["nextBatch"]
    return documents
