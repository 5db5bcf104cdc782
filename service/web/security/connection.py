"""The wire: what Sanic's connection leaves open. One deadline for a whole request, heads that every server reads the
same way, a bound on connections, and the security headers put into every response.

Sanic restarts its request time-out at every byte, accepts `Content-Length : N` (the body then runs as a second
request) and a missing Host. All three are closed here, in front of its parser, on the raw bytes.
"""

import re
from asyncio import Transport
from collections import Counter
from http import HTTPStatus
from time import monotonic
from typing import Any, Protocol

from sanic.helpers import STATUS_CODES, has_message_body
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.server.protocols.http_protocol import HttpProtocol

from service.errors import Malformed, Problem, TooSlow, Unavailable
from service.web.security.bodies import Bodies, Body
from service.web.security.refusals import EarlyRejection

BAD_FIELD = re.compile(rb"\r\n(?![!#$%&'*+\-.^_`|~0-9A-Za-z]+:)")
HARMLESS = bytes(code for code in range(256) if code == 0x09 or (code >= 0x20 and code != 0x7F))
CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,12})\r\n")  # ends what was before, sizes what comes
CHUNK_BEGUN = re.compile(rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,12}\r?)?)?)?(?![\s\S])")
TRANSFER = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?:\r|(?![\s\S]))")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?:\r|(?![\s\S]))")
SIZE = {10: re.compile(r"[0-9]{1,15}[ \t]*"), 16: re.compile(r"[0-9A-Fa-f]{1,12}")}
HEAD_END = b"\r\n\r\n"
KEEP_ALIVE, CLOSE = b"connection: keep-alive\r\n", b"connection: close\r\n"
STATUS_LINES = {code: b"HTTP/1.1 %d %b\r\n" % (code, phrase) for code, phrase in STATUS_CODES.items()}
LAST_WORD_SECONDS = 0.2
HOLD_OFF_SECONDS = 0.1
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n"


class Limits(Protocol):
    """What a connection asks its application (`app.ctx.layers`)."""

    request_seconds_max: float
    response_seconds_max: float
    keep_alive_seconds: float
    connections_max: int
    connections_per_address_max: int
    connections_of: Counter[str]
    bodies: Bodies
    stopping: bool  # every answer is the last of its connection

    def counted_address(self, address: str) -> str: ...

    def refuse_connection(self) -> None: ...

    def may_reject_early(self, connection: Any) -> bool: ...

    def early_reject(self, connection: Any, head: bytes) -> EarlyRejection | None: ...

    def response_head(self, request: Any, response: Any) -> bytes: ...


def head_fault(head: bytes | bytearray) -> str | None:
    """Why this request head is refused: what two servers in a row could read in two ways (RFC 9112)."""
    control = head.translate(None, HARMLESS)
    if len(control) != 2 * head.count(b"\r\n"):
        return "Control characters in the head" if control.strip(b"\r\n") else "A line break that is not CRLF"
    if BAD_FIELD.search(head):
        return "A header field that is not `name: value`"
    lowered = head.lower()
    if lowered.count(b"\r\nhost:") != 1:
        return "Exactly one Host is required"
    if b"\r\ncontent-length:" in lowered:
        if LENGTH.search(lowered) is None:
            return "Content-Length must be a number"
        if lowered.count(b"\r\ncontent-length:") > 1:
            return "More than one Content-Length"
        if b"\r\ntransfer-encoding:" in lowered:
            return "Content-Length and Transfer-Encoding together"
    if b"\r\ntransfer-encoding:" in lowered:
        return _transfer_fault(lowered)
    return None


def _transfer_fault(lowered: bytes | bytearray) -> str | None:
    if lowered.count(b"\r\ntransfer-encoding:") > 1 or TRANSFER.search(lowered) is None:
        return "No other Transfer-Encoding than chunked is understood"
    if not lowered[: lowered.index(b"\r\n")].endswith(b"http/1.1"):
        return "HTTP/1.0 knows no Transfer-Encoding"  # its proxies would read a body where we read chunks
    return None


class StrictHttp(Http):
    __slots__ = ("_body",)
    protocol: "Connection"

    def __init__(self, protocol: "Connection") -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.request_body = None  # looked at before the first request
        self._body: Body | None = None

    async def http1(self) -> None:
        try:
            await super().http1()  # type: ignore[no-untyped-call]
        finally:
            self._forget_body()

    def init_for_request(self) -> None:
        self._forget_body()
        super().init_for_request()  # type: ignore[no-untyped-call]

    def _forget_body(self) -> None:
        if self._body is not None:
            self._body.forget()
            self._body = None

    async def read(self) -> bytes | None:
        """A piece of the body, in the framing of RFC 9112 §7.1 and no other, within what its route takes."""
        if self._body is None:
            self._body = self.protocol.limits.bodies.begin(self.request)
            self.request_max_size = self._body.bytes_max
        try:
            if self._is_chunked() and not self.request_bytes_left:
                await self._expect_chunk()
            data: bytes | None = await super().read()
            self._body.grow(len(data or b""))
        except Problem:
            self.keep_alive, self.request_body = False, None  # what follows is not looked for
            raise
        return data

    def _is_chunked(self) -> bool:
        body: object = self.request_body  # Sanic types it as bytes and keeps a word in it
        return body == "chunked"

    async def _expect_chunk(self) -> None:
        """Waits for the line before the next chunk. Sanic would skip two bytes unseen, and whatever follows a `;`."""
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        buffer = self.recv_buffer
        while not CHUNK.match(buffer):
            if not CHUNK_BEGUN.match(buffer):
                raise Malformed("A chunk that does not begin with its size and CRLF, or does not end with CRLF")
            await self._receive_more()

    @staticmethod
    def _safe_int(value: str, base: int = 10) -> int:
        """A length or the size of a chunk. Python's own int() also reads "0x5", " 5" and other scripts' digits."""
        if not SIZE[base].fullmatch(value):
            raise ValueError
        return int(value, base)

    async def http1_request_header(self) -> None:
        self.protocol.request_begins()
        buffer = self.recv_buffer
        end = buffer.find(HEAD_END)
        while end == -1 and len(buffer) < self.HEADER_MAX_SIZE:
            await self._receive_more()
            end = buffer.find(HEAD_END)
        if 0 <= end < self.HEADER_MAX_SIZE and (fault := head_fault(buffer[:end])):
            raise Malformed(fault)
        await super().http1_request_header()  # type: ignore[no-untyped-call]

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        if self.protocol.limits.stopping:
            self.keep_alive = False
        if end_stream and self._is_plain():
            await self._send_whole(data or self.response.body or b"")
            return
        self._send = self._send_head
        try:
            await super().http1_response_header(data, end_stream)
        finally:
            self._send = self.protocol.send

    def _is_plain(self) -> bool:
        """Nearly every answer is: known as a whole, with a body, and nothing to be said before it."""
        status, headers = self.response.status, self.response.headers
        return (
            not (self.head_only or self.expecting_continue)
            and status >= HTTPStatus.OK
            and has_message_body(status)
            and not ("content-length" in headers or "transfer-encoding" in headers or "connection" in headers)
        )

    async def _send_whole(self, body: bytes) -> None:
        """What Sanic would send with `_send_head`, put together once instead of twice."""
        response = self.response
        parts = [
            STATUS_LINES[response.status],
            self.protocol.limits.response_head(self.request, response),
            KEEP_ALIVE if self.keep_alive else CLOSE,
            b"content-length: %d\r\n" % len(body),
        ]
        parts += [b"%b: %b\r\n" % field for field in response.processed_headers]
        self.response_size, self.response_func = len(body), None  # type: ignore[assignment]
        await self.protocol.send(b"".join((*parts, b"\r\n", body)))  # type: ignore[no-untyped-call]
        self.stage = Stage.IDLE

    async def _send_head(self, data: bytes) -> None:
        """Puts the layers' header fields behind the status line, and takes out one of Sanic's that says nothing."""
        start = len(HTTP_CONTINUE) if data.startswith(HTTP_CONTINUE) else 0
        cut, end = data.index(b"\r\n", start) + 2, data.index(HEAD_END, start) + 2
        own = self.protocol.limits.response_head(self.request, self.response)
        head = data[cut:end].replace(b"alt-svc: \r\n", b"")
        await self.protocol.send(b"".join((data[:cut], own, head, data[end:])))  # type: ignore[no-untyped-call]


class Connection(HttpProtocol):
    HTTP_CLASS = StrictHttp
    __slots__ = ("_address", "_began", "limits")

    def __init__(self, *, app: Any, **rest: Any) -> None:
        super().__init__(app=app, **rest)
        self.limits: Limits = app.ctx.layers
        self._began = 0.0
        self._address: str | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        address = self.limits.counted_address(str(peer[0])) if isinstance(peer, tuple) else ""
        counts = self.limits.connections_of
        if len(self.connections) >= self.limits.connections_max or (
            address and counts[address] >= self.limits.connections_per_address_max
        ):
            self.limits.refuse_connection()
            transport.write(FULL)
            transport.close()
            self.transport = None
            return
        counts[address] += 1
        self._address = address
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is None:
            return
        counts = self.limits.connections_of
        counts[self._address] -= 1
        if counts[self._address] <= 0:
            del counts[self._address]
        self._address = None
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        if self._address is None:
            return
        early = not self.limits.stopping and self.limits.may_reject_early(self.conn_info)
        if early and not (data := self._early_reject(data)):
            return
        super().data_received(data)

    def _early_reject(self, data: bytes) -> bytes:
        """Answers whole requests of a client that has used up its limit, before Sanic hears of them. Returns the rest,
        which is to be read as ever."""
        answers, closes = [], False
        while not closes and self._between_requests() and (end := data.find(HEAD_END)) >= 0:
            head = data[:end]
            turned = None if head_fault(head) else self.limits.early_reject(self.conn_info, head)
            if turned is None:
                break
            answers.append(turned.answer)
            data, closes = data[end + len(HEAD_END) :], turned.closes
        if answers:
            self._hold_off(b"".join(answers), closes)
        return b"" if closes else data

    def _hold_off(self, answers: bytes, closes: bool) -> None:
        """Whoever goes on all the same is read again after a moment: however fast it sends, it costs a few reads."""
        assert self.transport is not None
        self._began = self._time = monotonic()
        self.transport.write(answers)
        if closes:
            self.close()
        else:
            self.transport.pause_reading()
            self.loop.call_later(HOLD_OFF_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.resume_reading()

    def _between_requests(self) -> bool:
        """Nothing is being read or answered, and what was answered has been taken."""
        http: StrictHttp | None = self.http
        return (
            http is not None
            and self.transport is not None
            and not self.transport.is_closing()
            and http.stage is Stage.IDLE
            and http.keep_alive
            and not (http.request_body or self.recv_buffer)
            and self._can_write.is_set()
        )

    def idle_seconds(self) -> float | None:
        """How long nothing has been asked; None while something is."""
        if self._http is not None and self._http.stage is not Stage.IDLE:
            return None
        return monotonic() - self._time

    def request_begins(self) -> None:
        self._began = monotonic()

    def check_timeouts(self) -> None:
        """Ends what is past its deadline, else looks again when the next deadline is due."""
        if not self._task:
            return
        now, http = monotonic(), self._http
        deadline, error = self._next_deadline(http)
        if now < deadline:
            self._callback_check_timeouts = self.loop.call_later(max(deadline - now, 0.05), self.check_timeouts)
            return
        http.exception = error
        self._task.cancel("past its deadline")
        # Sanic goes on reading a body it no longer wants: time for the answer to leave, and no more.
        self._callback_check_timeouts = self.loop.call_later(LAST_WORD_SECONDS, self._abort)

    def _abort(self) -> None:
        if self.transport:
            self.transport.abort()

    def _next_deadline(self, http: StrictHttp) -> tuple[float, Exception | None]:
        limits, last = self.limits, self._time
        if http.stage is Stage.REQUEST or http.request_body:
            return self._began + limits.request_seconds_max, TooSlow()
        if http.stage is Stage.IDLE:
            patience = limits.keep_alive_seconds if self._began else limits.request_seconds_max
            # A request may begin at any moment: its deadline must not be found late.
            return min(last + patience, monotonic() + limits.request_seconds_max / 4), None
        if http.stage is Stage.RESPONSE:
            if self._can_write.is_set():  # a stream may stay quiet as long as it likes
                return monotonic() + limits.response_seconds_max, None
            return last + limits.response_seconds_max, None
        return self._began + limits.response_seconds_max, Unavailable(
            "The answer was not ready in time", retry_after_seconds=1
        )
