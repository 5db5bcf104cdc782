"""Sessions and transactions as the driver offers them, on the simulation's store."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from pymongo.errors import ConnectionFailure, InvalidOperation, PyMongoError

from workloads.simulation.mongo.store import TRANSIENT, UNKNOWN_COMMIT, Store, Transaction

Result = TypeVar("Result")


class Link(Protocol):
    """The way between one process and the store. Either end may raise, delay, or never return (the process died)."""

    async def request(self, operation: str, in_transaction: bool) -> None: ...

    async def reply(self, operation: str, in_transaction: bool) -> None: ...


class Session:
    """One transaction at a time. The server's part begins with the first operation, as on a real server."""

    def __init__(self, store: Store, link: Link) -> None:
        self._store, self._link = store, link
        self._transaction: Transaction | None = None
        self._state = "none"

    @property
    def in_transaction(self) -> bool:
        return self._state == "started"

    def server_transaction(self) -> Transaction | None:
        """The transaction the next operation belongs to. Raises NoSuchTransaction when the server has ended it."""
        if not self.in_transaction:
            return None
        if self._transaction is None:
            self._transaction = self._store.begin(self._link)
        self._store.check_alive(self._transaction)
        return self._transaction

    def failed(self, error: PyMongoError) -> None:
        """An operation went wrong: the server ends its transaction, and the driver says whether to try it again."""
        if not self.in_transaction:
            return
        if isinstance(error, ConnectionFailure):
            error._add_error_label(TRANSIENT)
        if self._transaction is not None:
            self._store.abort(self._transaction)

    def start_transaction(self, **options: Any) -> "TransactionContext":
        if self.in_transaction:
            raise InvalidOperation("Transaction already in progress")
        self._transaction, self._state = None, "started"
        return TransactionContext(self)

    async def commit_transaction(self) -> None:
        """Asked for again after a lost answer, it gives the same answer: the server remembers the outcome."""
        if self._state not in {"started", "committed"}:
            raise InvalidOperation("No transaction started")
        self._state = "committed"
        if self._transaction is None:
            return
        try:
            await self._link.request("commit_transaction", True)
        except PyMongoError as error:
            error._add_error_label(UNKNOWN_COMMIT)
            raise
        if self._transaction.state != "committed":
            self._store.commit(self._transaction)
        try:
            await self._link.reply("commit_transaction", True)
        except PyMongoError as error:
            error._add_error_label(UNKNOWN_COMMIT)
            raise

    async def abort_transaction(self) -> None:
        """The driver swallows what goes wrong on the way: the server would end the transaction by itself."""
        if self._state != "started":
            raise InvalidOperation(f"Cannot abort: the transaction is {self._state}")
        self._state = "aborted"
        if self._transaction is None:
            return
        try:
            await self._link.request("abort_transaction", True)
        except PyMongoError:
            return
        self._store.abort(self._transaction)

    async def end_session(self) -> None:
        if self.in_transaction:
            await self.abort_transaction()

    async def with_transaction(self, body: Callable[["Session"], Awaitable[Result]], **options: Any) -> Result:
        """The driver's own retry loop: the body again on a transient error, the commit again on an unknown one."""
        while True:
            self.start_transaction()
            try:
                result = await body(self)
            except PyMongoError as error:
                if self.in_transaction:
                    await self.abort_transaction()
                if error.has_error_label(TRANSIENT):
                    continue
                raise
            if await self._committed():
                return result

    async def _committed(self) -> bool:
        """False when the whole transaction must run again."""
        while True:
            try:
                await self.commit_transaction()
                return True
            except PyMongoError as error:
                if error.has_error_label(UNKNOWN_COMMIT):
                    continue
                if error.has_error_label(TRANSIENT):
                    return False
                raise

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.end_session()


class TransactionContext:
    """`async with session.start_transaction():` commits, or aborts when the block raised."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def __aenter__(self) -> "TransactionContext":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._session.in_transaction:
            return
        if error is None:
            await self._session.commit_transaction()
        else:
            await self._session.abort_transaction()
