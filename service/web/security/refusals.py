"""Clients that have used up a limit, remembered in this process for a moment: to refuse them again costs no Redis, and
where a request can be judged by its head alone, next to nothing. A flood must not be what the others wait for.

It refuses nobody that Redis would admit: a refused request is not counted, so a limit has no room before the time
that Redis named, and what is remembered ends a second earlier."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from service.clock import Clock
from service.web.http import problems
from service.web.security.gate import RateLimitResult
from service.web.security.rate_limit import Prepared

REMEMBERED_SECONDS_MAX = 20
CLIENTS_MAX = 10_000
LINE = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^ ?#]*)(?:\?[^ #]*)? HTTP/1\.1\r\n")
CLIENTS_ID = re.compile(rb"\r\nx-request-id:[ \t]*([^\r]*)", re.IGNORECASE)
LAST = re.compile(  # what would have to be read on, or is the client's last request on this connection
    rb"\r\n(?:content-length:|transfer-encoding:|expect:|upgrade:|connection:(?![ \t]*keep-alive))", re.IGNORECASE
)
STATUS = b"HTTP/1.1 429 Too Many Requests\r\n"


class Remembered(NamedTuple):
    """`refused` counts the limits of the class from 1. Moments are of a monotonic clock."""

    refused: int
    room_at: float
    forgotten_at: float


class Refusals:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[str, dict[Prepared, Remembered]] = {}

    def __contains__(self, client: str) -> bool:
        """Whether to look closer; what is remembered may be over."""
        return client in self._clients

    def remember(self, client: str, limit: Prepared, answer: RateLimitResult) -> None:
        """That Redis has refused this client. An account's refusal is not its address's."""
        seconds = min(answer.reset_seconds - 1, REMEMBERED_SECONDS_MAX)
        if seconds <= 0 or not limit.is_of_client(answer.refused):
            return
        if client not in self._clients and len(self._clients) >= CLIENTS_MAX:
            del self._clients[next(iter(self._clients))]
        now = self._clock.monotonic()
        remembered = Remembered(answer.refused, now + answer.reset_seconds, now + seconds)
        self._clients.setdefault(client, {})[limit] = remembered

    def find(self, client: str, limit: Prepared) -> RateLimitResult | None:
        """What Redis would answer, or None: it has to be asked."""
        limits = self._clients.get(client)
        known = None if limits is None else limits.get(limit)
        if limits is None or known is None:
            return None
        now = self._clock.monotonic()
        if now < known.forgotten_at:
            return RateLimitResult("", "", known.refused, known.refused, 0, math.ceil(known.room_at - now))
        del limits[limit]
        if not limits:
            del self._clients[client]
        return None


class EarlyRejection(NamedTuple):
    """A whole answer, and whether the connection ends with it."""

    answer: bytes
    closes: bool


class RejectedClients:
    """Answers a request by its head, when its client is known to have used up the limit of what it asks for."""

    def __init__(
        self,
        refusals: Refusals,
        limit_of: Callable[[str, str], Prepared | None],
        request_id_of: Callable[[str | None], str],
        fields: bytes,
    ) -> None:
        """`limit_of` a path and a method; `fields` are in every answer."""
        self._refusals, self._limit_of, self._request_id_of = refusals, limit_of, request_id_of
        self._fields = fields + b"cache-control: no-store\r\ncontent-type: %b\r\n" % problems.CONTENT_TYPE.encode()

    def early_reject(self, client: str, head: bytes) -> EarlyRejection | None:
        """None for whatever is not clear from the head, which must be a faultless one."""
        line = LINE.match(head)
        if line is None:
            return None
        method, path = line[1].decode(), line[2].decode("latin-1")
        limit = self._limit_of(path, method)
        answer = None if limit is None else self._refusals.find(client, limit)
        if limit is None or answer is None:
            return None
        given = CLIENTS_ID.search(head)
        request_id = self._request_id_of(given[1].decode("latin-1") if given else None)
        closes = LAST.search(head) is not None
        return EarlyRejection(self._written(limit, answer, path, request_id, method == "HEAD", closes), closes)

    def _written(
        self, limit: Prepared, answer: RateLimitResult, path: str, request_id: str, head_only: bool, closes: bool
    ) -> bytes:
        problem = limit.refusal(answer.refused, answer.reset_seconds)
        body = problems.encoded(problem, path, request_id)
        head = b"%b%bx-request-id: %b\r\n%bretry-after: %d\r\nconnection: %b\r\ncontent-length: %d\r\n\r\n" % (
            STATUS,
            self._fields,
            request_id.encode("ascii"),
            limit.head(answer),
            problem.retry_after_seconds or 1,
            b"close" if closes else b"keep-alive",
            len(body),
        )
        return head if head_only else head + body
