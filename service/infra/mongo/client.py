"""Motor, named in infra and the repositories only, so that another driver can take its place in a day."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from service.clock import Clock
from service.config import Config
from service.errors import Unavailable
from service.ids import Ids

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Session = Any
Database = Any

UNREACHABLE = (ConnectionFailure, ExecutionTimeout, NetworkTimeout)
DUPLICATE_KEY = 11000
DUPLICATES_MAX = 3
MAJORITY = WriteConcern("majority")


def connect(config: Config) -> Any:
    """A client with bounded waits. No operation outlives `mongo_timeout_seconds`, its retries included."""
    return _client(config, maxPoolSize=config.mongo_pool_size, timeoutMS=int(config.mongo_timeout_seconds * 1000))


@contextmanager
def client_without_timeout(config: Config) -> Iterator[Any]:
    """A client for work on whole collections, which no request waits for: as long as there is a server, it is given
    all the time it needs."""
    client = _client(config)
    try:
        yield client
    finally:
        client.close()


def _client(config: Config, **bounds: Any) -> Any:
    return AsyncIOMotorClient(
        config.mongodb_uri,
        appname=config.app_name,
        w="majority",
        retryWrites=True,
        tz_aware=True,
        serverSelectionTimeoutMS=int(config.mongo_timeout_seconds * 1000),
        **bounds,
    )


class Transactions:
    """Runs a body in a transaction until it is known to have committed or to have failed.

    A transient abort (a write conflict, a lost primary) runs the body again after a jittered pause. A commit whose
    answer was lost is asked for again: the server remembers it, so the answer is definite. Past the deadline the
    caller gets Unavailable, the one case where it may have happened or not.
    """

    def __init__(self, client: Any, clock: Clock, ids: Ids, config: Config) -> None:
        self._client, self._clock, self._ids, self._config = client, clock, ids, config
        self._sessions: list[Session] = []  # at rest: the driver takes a turn in a thread to begin one, and to end one
        self.retries = 0

    async def run(self, body: Callable[[Session], Awaitable[Result]]) -> Result:
        deadline = self._clock.monotonic() + self._config.transaction_deadline_seconds
        pause, duplicates = self._config.retry_pause_seconds, 0
        while True:
            try:
                return await self._attempt(body, deadline)
            except PyMongoError as error:
                duplicates += _is_duplicate(error)
                if not (error.has_error_label("TransientTransactionError") or 0 < duplicates <= DUPLICATES_MAX):
                    raise
                if self._clock.monotonic() > deadline:
                    raise Unavailable("The store did not accept the change in time", retry_after_seconds=1) from error
                self.retries += 1
            await self._clock.sleep(self._ids.jitter(pause))
            pause = min(pause * 2, self._config.retry_pause_max_seconds)

    async def _attempt(self, body: Callable[[Session], Awaitable[Result]], deadline: float) -> Result:
        """A session whose transaction did not end well is not used again."""
        session = self._sessions.pop() if self._sessions else await self._client.start_session()
        try:
            session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=MAJORITY)
            result = await body(session)
            await self._commit(session, deadline)
        except BaseException:
            await session.end_session()  # aborts what is open
            raise
        self._sessions.append(session)
        return result

    async def _commit(self, session: Session, deadline: float) -> None:
        while True:
            try:
                await session.commit_transaction()
                return
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult") or self._clock.monotonic() > deadline:
                    raise
                log.warning("commit answer lost, asking again: %s", error)
            await self._clock.sleep(self._config.retry_pause_max_seconds)


async def insert_new(collection: Any, documents: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Inserts those that are not there yet; returns the ids of the others. Raises BulkWriteError for anything else."""
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        refused = error.details["writeErrors"]
        if error.details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in refused):
            raise
        return [each["op"]["_id"] for each in refused]
    return []


def _is_duplicate(error: PyMongoError) -> bool:
    """Another process inserted the same key after our snapshot: the next snapshot shows it."""
    if isinstance(error, BulkWriteError):
        return any(failure.get("code") == DUPLICATE_KEY for failure in error.details.get("writeErrors", []))
    return isinstance(error, DuplicateKeyError)
