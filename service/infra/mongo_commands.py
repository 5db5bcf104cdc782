"""Several calls of one transaction that need nothing from each other's answers, made one after the other in one thread.

Motor gives every call a turn of its own in a thread: between two writes of a batch the event loop would be asked
twice for nothing. Plain commands also spare the driver's bulk machinery, which costs more than encoding does."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from motor.frameworks.asyncio import run_on_executor
from pymongo.errors import BulkWriteError, InvalidOperation

from service.infra.mongo import Database, Session

Document = Mapping[str, Any]
Command = Mapping[str, Any]
Reply = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Find:
    collection: str
    filter: Document
    projection: Document | None = None


def insert(collection: str, documents: Sequence[Document]) -> Command:
    """`documents` bring their own _id."""
    return {"insert": collection, "documents": list(documents), "ordered": False}


def update(collection: str, statements: Sequence[Document]) -> Command:
    """`statements`, in order: {"q": filter, "u": change} and, where wanted, "multi" and "upsert"."""
    return {"update": collection, "updates": list(statements), "ordered": True}


class Sender(Protocol):
    """What the ledger reads and writes through. The simulation brings its own."""

    async def find_all(self, finds: Sequence[Find], session: Session) -> list[list[Document]]:
        """The documents of each."""

    async def send_all(self, commands: Sequence[Command], session: Session) -> list[Reply]:
        """One reply a command. Raises the first error (BulkWriteError when a document was refused); what follows it
        is not sent."""


class OneThread:
    """The Sender of a Motor database. A caller that is cancelled is held until the thread has ended: the session is
    in use until then."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_all(self, finds: Sequence[Find], session: Session) -> list[list[Document]]:
        return await self._in_thread(
            lambda database, session: [_find(database, each, session) for each in finds], session
        )

    async def send_all(self, commands: Sequence[Command], session: Session) -> list[Reply]:
        return await self._in_thread(
            lambda database, session: [_send(database, each, session) for each in commands], session
        )

    async def _in_thread(self, work: Callable[[Any, Any], Result], session: Session) -> Result:
        loop = asyncio.get_running_loop()
        working = run_on_executor(loop, work, self._database.delegate, session.delegate)  # type: ignore[no-untyped-call]
        try:
            result: Result = await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise
        return result


def _find(database: Any, find: Find, session: Any) -> list[Document]:
    return list(database[find.collection].find(find.filter, find.projection, session=session))


def _send(database: Any, command: Command, session: Any) -> Reply:
    """Never outside the transaction, also when somebody has ended it meanwhile: half a batch would stay."""
    if not session.in_transaction:
        raise InvalidOperation("The transaction was ended before everything had been written")
    reply: Reply = database.command(command, session=session)
    if reply.get("writeErrors"):
        raise BulkWriteError(dict(reply))
    return reply
