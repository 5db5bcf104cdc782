"""Owns one HTTP exchange of the open-loop drivers: send, time, classify, record. Bodies stay as they came off the wire,
so that wire bytes are exact and decompressing is paid only by who reads the body."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from workloads.client.recorder import NEVER, Recorder, RunClock
from workloads.model import outcomes

DECODED_BYTES_MAX = 64 << 20
ACCEPTED = {"Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Request:
    """`route` is the template it is counted under: no ids in it."""

    method: str
    path: str
    route: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 0 where no answer came. `raw` is the body as sent; `done` is in seconds of the run."""

    status: int
    raw: bytes
    outcome: str
    done: float
    encoding: str = ""

    def json(self) -> Any:
        """The decoded body, or an empty object where it is not JSON."""
        try:
            return json.loads(decode(self.raw, self.encoding))
        except ValueError:
            return {}

    @property
    def code(self) -> str:
        """The stable code of a problem, or nothing."""
        return outcomes.problem_code(decode(self.raw, self.encoding))


def json_request(
    method: str, path: str, route: str, document: Any = None, headers: Mapping[str, str] | None = None
) -> Request:
    if document is None:
        return Request(method, path, route, None, headers)
    body = json.dumps(document, separators=(",", ":")).encode()
    return Request(method, path, route, body, {"Content-Type": "application/json", **(headers or {})})


class Exchange:
    """An HTTP client whose every request becomes a row. In flight are as many connections as requests."""

    def __init__(self, base_url: str, clock: RunClock, recorder: Recorder, *, timeout_seconds: float = 30.0) -> None:
        self.clock, self._recorder = clock, recorder
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            headers=ACCEPTED,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._session is not None, "an exchange is entered before it is left"
        await self._session.close()

    async def send(self, request: Request, intended: float | None = None) -> Answer:
        """Sends now. `intended` is when it should have been sent, by default now; latency is counted from then."""
        assert self._session is not None, "an exchange is entered before it is used"
        sent = self.clock.now()
        url = URL(self._base_url + request.path, encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=request.body, headers=request.headers, allow_redirects=False
            ) as response:
                raw = await response.read()
            answer = self._answer(request, response.status, raw, response.headers.get("Content-Encoding", ""))
        except TimeoutError:
            answer = Answer(0, b"", outcomes.TIMEOUT, self.clock.now())
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
            answer = Answer(0, b"", outcomes.ERROR, self.clock.now())
        except asyncio.CancelledError:
            # The run was given up: an answer that nobody waited for is no reason to forget the question.
            self._row(request, intended, sent, Answer(0, b"", outcomes.TIMEOUT, NEVER))
            raise
        self._row(request, intended, sent, answer)
        return answer

    def _row(self, request: Request, intended: float | None, sent: float, answer: Answer) -> None:
        meant = sent if intended is None else intended
        self._recorder.row(meant, sent, answer.done, request.route, answer.status, answer.outcome, len(answer.raw))

    def _answer(self, request: Request, status: int, raw: bytes, encoding: str) -> Answer:
        done = self.clock.now()
        # Only refusals are told apart by their body; decoding every success would slow the client down.
        body = decode(raw, encoding) if status in (402, 409) else b""
        return Answer(status, raw, outcomes.classify(request.route, status, body), done, encoding)


def decode(raw: bytes, encoding: str) -> bytes:
    """The body behind its Content-Encoding; nothing where it cannot be decoded."""
    if encoding in ("", "identity"):
        return raw
    try:
        decoded = gzip.decompress(raw) if encoding == "gzip" else b""
    except (OSError, EOFError, zlib.error):
        return b""
    return decoded if len(decoded) <= DECODED_BYTES_MAX else b""
