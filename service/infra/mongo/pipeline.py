"""Commands of one transaction, or reads outside of any, sent down one connection before the first answer has been read.

A connection's commands are answered in their order, so while the server works on one the next is being encoded, and a
batch waits for the network once instead of once a command. If one fails the server has ended the transaction and
refuses those behind it. PyMongo offers no such call: this is the one place that uses its inner parts (what its own
`Connection.command` does between checking a connection out and in), so the driver is pinned to a minor version.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo import message
from pymongo.errors import BulkWriteError, InvalidOperation
from pymongo.helpers_shared import _check_command_response
from pymongo.read_preferences import ReadPreference

Command = Mapping[str, Any]
Reply = dict[str, Any]

NO_FLAGS = 0
DOCUMENTS = {"cursor": {"firstBatch": 1, "nextBatch": 1}}  # where an answer has a collection's own documents


def exchange(database: Any, commands: Sequence[Command], session: Any, unanswered_max: int | None) -> list[Reply]:
    """One reply a command, in their order. `database` and `session` are PyMongo's, the session's transaction is open;
    without a session nothing but reads may be sent.

    `unanswered_max`: bytes that may be under way before an answer is read. Both sides would wait for each other for
    ever if neither read: answers of any size need a limit below what a socket holds.

    Raises the first error the server answered (BulkWriteError for a document it refused); ConnectionFailure, labelled
    as the driver labels it; InvalidOperation if somebody has ended the transaction meanwhile."""
    client = database.client
    with pymongo.timeout(client.options.timeout), client._conn_for_writes(session, "pipeline") as connection:
        line = _Line(connection, database, session)
        try:
            for command in commands:
                line.send(command, unanswered_max)
            line.read_all()
        except BaseException as error:  # noqa: BLE001 - raised again; an answer left unread would be the next one's
            connection._raise_connection_failure(error)
        for reply in line.replies:
            _check(reply, connection.max_wire_version)
    return line.replies


def _check(reply: dict[str, Any], wire_version: int) -> None:
    _check_command_response(reply, wire_version)
    if reply.get("writeErrors"):
        raise BulkWriteError(reply)


class _Line:
    def __init__(self, connection: Any, database: Any, session: Any) -> None:
        self._connection, self._database, self._session = connection, database, session
        self._waiting: deque[int] = deque()
        self._unanswered = 0
        self.replies: list[Reply] = []

    def send(self, command: Command, unanswered_max: int | None) -> None:
        request, encoded, largest = self._encode(dict(command))
        if unanswered_max is not None and self._unanswered + len(encoded) > unanswered_max:
            self.read_all()
        self._connection.send_message(encoded, largest)
        self._waiting.append(request)
        self._unanswered += len(encoded)

    def _encode(self, command: dict[str, Any]) -> tuple[int, bytes, int]:
        if self._session is not None:
            self._take_part(command)
        self._connection.send_cluster_time(command, self._session, self._database.client)
        # A getMore takes no time limit of its own on the server: its cursor has the find's. The socket keeps one.
        self._connection.apply_timeout(None if "getMore" in command else command)
        request, encoded, _, largest = message._op_msg(
            NO_FLAGS, command, self._database.name, ReadPreference.PRIMARY, self._database.codec_options
        )
        return request, encoded, largest

    def _take_part(self, command: dict[str, Any]) -> None:
        """Makes the command one of the session's transaction."""
        if not self._session.in_transaction:
            raise InvalidOperation("The transaction was ended before everything had been written")
        self._session._apply_to(command, False, ReadPreference.PRIMARY, self._connection)
        if self._session._starting_transaction:
            self._session._transaction.set_in_progress()

    def read_all(self) -> None:
        while self._waiting:
            answer = self._connection.receive_message(self._waiting.popleft())
            (reply,) = answer.unpack_response(codec_options=self._database.codec_options, user_fields=DOCUMENTS)
            self._database.client._process_response(reply, self._session)
            self.replies.append(reply)
        self._unanswered = 0
