"""How a route is declared: what it takes, what it returns, who may call it. The declaration validates, and it is
what `/openapi.json` is made from, so the document and the behaviour cannot disagree.

A handler is given a `Call` and returns a `Reply`:

    @operation(routes, "POST", "/", "Check out", takes=CheckoutBody, access=Access.CUSTOMER, returns={201: OrderReply})
    async def checkout(call: Call[CheckoutBody]) -> Reply: ...
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from service.clock import Clock
from service.config import Config
from service.errors import Malformed, Problem, Unauthenticated, Unsupported
from service.idempotency import IdempotencyKey
from service.infra import json
from service.web.http import forms
from service.web.http.access import Access, Principal, Scope
from service.web.http.body_size import BodySize, size_of
from service.web.http.reading import body_reader, converted, fingerprint, media_type, query_reader, segment

Taken = TypeVar("Taken")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}(?![\s\S])")
ORDER_TOKEN = "X-Order-Token"  # opens the one order that a guest placed
UNLIMITED = "none"  # a class for probes: they must be answered when all else is refused
NOBODY = "-"  # whose idempotency keys those of callers without an account are
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODIED = frozenset({"POST", "PUT", "PATCH"})  # of others a body means nothing (RFC 9110 §9.3)
SPACES = r"\s\x1c-\x1f\x85\ufeff"  # for patterns: Python's `\s` and JSON Schema's disagree on these four
HIDDEN = r"\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069"  # control characters, and what turns the text behind it
SHOWN = rf"^[^{HIDDEN}]*(?![\s\S])"  # for names and the like, which people read among others
SHOWN_NOT_BLANK = rf"^[^{HIDDEN}]*[^{SPACES}{HIDDEN}][^{HIDDEN}]*(?![\s\S])"
HIDDEN_SENTENCE = "Must be readable text, without control characters and such as turn its direction"


class Wire(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The base of everything that crosses the wire: camelCase, unknown fields refused."""


class Nothing(Wire):
    """A request that takes neither body nor query."""


class PageQuery(msgspec.Struct, rename="camel", kw_only=True):
    """The base of what pages read from their address: parameters they do not know, such as those of campaigns, are
    ignored, and of one that comes twice the last counts."""


class Form(msgspec.Struct, rename="camel", kw_only=True):
    """The base of what a page's form sends (`application/x-www-form-urlencoded`). Unknown fields are ignored."""


class EventStream:
    """What a route returns that sends Server-Sent Events (`text/event-stream`) until the client leaves."""


@dataclass(frozen=True, eq=False)
class Operation:
    method: str
    summary: str
    takes: type[Any]
    returns: Mapping[int, Any]
    access: Access
    limit: str
    errors: tuple[type[Problem], ...]
    idempotent: bool
    compress: bool
    guest: bool
    if_match: bool = False
    gives: Mapping[str, str] = field(default_factory=dict)
    body_size: BodySize = "default"
    lines_of: Callable[[Any], int] | None = None
    body_optional: bool = False
    scope: Scope | Literal[""] = ""
    guests_too: bool = False
    is_page: bool = False  # for people: links to it may carry parameters of others
    media: Mapping[str, str] = field(default_factory=dict)
    also_as: tuple[str, ...] = ()
    handler: "Handler | None" = None
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """For the document: what the handler's docstring says."""
        return inspect.cleandoc(self.handler.__doc__ or "") if self.handler is not None else ""

    @property
    def takes_form(self) -> bool:
        return issubclass(self.takes, Form) if isinstance(self.takes, type) else False

    @property
    def methods(self) -> list[str]:
        """HEAD goes wherever GET goes, but to a stream, which has no end to tell the length of (RFC 9110 §9.1)."""
        return ["GET", "HEAD"] if self.method == "GET" and EventStream not in self.returns.values() else [self.method]

    @property
    def reads(self) -> set[str]:
        """Header fields that a request may carry for this route alone."""
        given = {"Idempotency-Key": self.idempotent, "If-None-Match": self._has_etag, "If-Match": self.if_match}
        streams = {"Last-Event-ID": EventStream in self.returns.values(), ORDER_TOKEN: self.guests_too}
        return {name for name, read in (given | streams).items() if read}

    @property
    def writes(self) -> set[str]:
        given = {"Idempotency-Replayed": self.idempotent, "ETag": self._has_etag, "Accept-Encoding": self.takes_body}
        return {name for name, written in given.items() if written}

    @property
    def _has_etag(self) -> bool:
        return 304 in self.returns

    @property
    def takes_body(self) -> bool:
        return self.method in BODIED and self.takes is not Nothing and not self.media


@dataclass(slots=True)
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[dict[str, Any]] = field(default_factory=list)
    content_type: str = "application/json"
    stream: Callable[[Request], Awaitable[None]] | None = None  # sends the response itself, piece by piece


class Call(Generic[Taken]):
    """One request, read and checked. `keyed`: its idempotency key with whose it is, the fingerprint of what it asks."""

    __slots__ = ("_keyed", "request", "taken")

    def __init__(self, request: Request, taken: Taken, keyed: tuple[str, str] | None) -> None:
        self.request, self.taken, self._keyed = request, taken, keyed

    def idempotency_key(self, clock: Clock, config: Config, guest: str = "") -> IdempotencyKey | None:
        """`guest` names a caller without an account, so that no two of them share a key."""
        if self._keyed is None:
            return None
        key, asked = self._keyed
        owned = f"{guest}{key.removeprefix(NOBODY)}" if guest and key.startswith(f"{NOBODY}:") else key
        return IdempotencyKey(owned, asked, clock.now() + timedelta(seconds=config.idempotency_ttl_seconds))

    @property
    def caller(self) -> Principal | None:
        principal: Principal | None = getattr(self.request.ctx, "principal", None)
        return principal

    @property
    def user(self) -> Principal:
        """The caller of a route that does not admit the public."""
        if self.caller is None:
            raise Unauthenticated()
        return self.caller


def is_page(path: str) -> bool:
    """Everything that programs do not ask for."""
    return not (path.startswith(("/api/", "/health/")) or path in {"/metrics", "/openapi.json"})


Handler = Callable[..., Coroutine[Any, Any, Reply]]


def operation(
    blueprint: Blueprint,
    method: str,
    path: str,
    summary: str,
    *,
    returns: Mapping[int, Any],
    access: Access,
    takes: type[Any] = Nothing,
    limit: str = "default",
    errors: tuple[type[Problem], ...] = (),
    idempotent: bool = False,
    compress: bool = True,
    guest: bool = False,
    if_match: bool = False,
    gives: Mapping[str, str] | None = None,
    body_size: BodySize | None = None,
    lines_of: Callable[[Any], int] | None = None,
    body_optional: bool = False,
    scope: Scope | Literal[""] = "",
    guests_too: bool = False,
    example: Mapping[str, Any] | None = None,
    media: Mapping[str, str] | None = None,
    also_as: tuple[str, ...] = (),
) -> Callable[[Handler], Handler]:
    """Registers a handler. `limit` names a rate-limit class; `idempotent` honours Idempotency-Key; `guest` says the
    handler keeps a signed guest cookie; `if_match` that it honours If-Match with the resource's `version`; `gives`
    names path parameters of other routes and where the answer has their values, as JSON pointers; `body_size` how
    large a body may be, when its schema does not tell; `lines_of` how many lines what was taken has, for routes whose
    work grows with them: they are charged for; `body_optional` that no body is as good as an empty one; `scope` that a
    service's key with it may call the route, too; `guests_too` that the handler itself lets in guests who show what is
    theirs, beside those whom `access` names; `example` what the document's example of the answer says where values must
    agree; `media` the types of a body that is no JSON, with an example of each: the handler reads it itself and `takes`
    is the query; `also_as` the types, beside JSON, that the answer may have. The handler's docstring is the description
    in the document."""
    declared = Operation(
        method,
        summary,
        takes,
        returns,
        access,
        limit,
        errors,
        idempotent,
        compress,
        guest,
        if_match,
        gives or {},
        body_size or size_of(takes, limit),
        lines_of,
        body_optional,
        scope,
        guests_too,
        is_page(f"{blueprint.url_prefix or ''}{path}"),
        media or {},
        also_as,
    )
    read, safe = _reader(declared), method in SAFE_METHODS

    def register(handler: Handler) -> Handler:
        mounted = replace(declared, handler=handler, example=example or {})

        async def handle(request: Request, **path_parameters: str) -> HTTPResponse | None:
            path_parameters = {name: segment(raw) for name, raw in path_parameters.items()}
            taken = read(request)
            if lines_of is not None:
                await request.app.ctx.layers.charge(request, lines_of(taken))
            call = Call(request, taken, _keyed(request, taken, path_parameters) if idempotent else None)
            work = handler(call, **path_parameters)
            # A client that hangs up must not stop a change halfway.
            reply: Reply = await (work if safe else request.app.ctx.shield.run(work, _id_of(request)))
            if reply.stream is None:
                return render(reply)
            await reply.stream(request)
            return None

        blueprint.add_route(
            handle, path, methods=declared.methods, name=handler.__name__, ctx_operation=mounted, ctx_compress=compress
        )
        return handler

    return register


def render(reply: Reply) -> HTTPResponse:
    body = b"" if reply.body is None else reply.body if isinstance(reply.body, bytes) else json.encode(reply.body)
    response = HTTPResponse(body, reply.status, reply.headers, reply.content_type if body else None)
    for cookie in reply.cookies:
        response.add_cookie(**cookie)
    return response


def _reader(declared: Operation) -> Callable[[Request], Any]:
    if declared.takes_form:
        return lambda request: converted(forms.fields(request), declared.takes)
    if declared.media:
        return _with_media(query_reader(declared.takes, ignore_unknown=False), declared.media)
    if declared.takes_body:
        return body_reader(declared.takes, optional=declared.body_optional)
    read = query_reader(declared.takes, ignore_unknown=declared.is_page)
    if declared.takes is Nothing and not declared.is_page and declared.method in BODIED:
        return _without_body(read)
    return read


def _without_body(read: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """An empty body, or an empty document: what is sent and would be dropped is refused with the name of its fields."""
    read_body = body_reader(Nothing, optional=True)

    def checked(request: Request) -> Any:
        read_body(request)
        return read(request)

    return checked


def _with_media(read: Callable[[Request], Any], media: Mapping[str, str]) -> Callable[[Request], Any]:
    def checked(request: Request) -> Any:
        if media_type(request) not in media:
            raise Unsupported(f"Send {' or '.join(media)}")
        return read(request)

    return checked


def _id_of(request: Request) -> str:
    return getattr(request.ctx, "request_id", "")


def _keyed(request: Request, taken: Any, path_parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """One key per caller, bound to what was asked."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not IDEMPOTENCY_KEY.match(key):
        raise Malformed("Idempotency-Key must be 1 to 255 visible ASCII characters")
    principal: Principal | None = getattr(request.ctx, "principal", None)
    asked = fingerprint(request, taken, path_parameters)
    return f"{principal.user_id if principal else NOBODY}:{key}", asked
