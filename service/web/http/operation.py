"""How a route is declared: what it takes, what it returns, who may call it. The declaration validates, and it is
what `/openapi.json` is made from, so the document and the behaviour cannot disagree.

A handler is given a `Call` and returns a `Reply`:

    @operation(routes, "POST", "/", "Check out", takes=CheckoutBody, access=Access.CUSTOMER, returns={201: OrderReply})
    async def checkout(call: Call[CheckoutBody]) -> Reply: ...
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from service.errors import Invalid, Malformed, Problem, Unauthenticated, Unsupported
from service.infra import json
from service.web.http.access import Access, Principal
from service.web.http.body_size import BodySize, size_of

Taken = TypeVar("Taken")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}(?![\s\S])")
UNLIMITED = "none"  # a class for probes: they must be answered when all else is refused
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SPACES = r"\s\x1c-\x1f\x85\ufeff"  # for patterns: Python's `\s` and JSON Schema's disagree on these four


class Wire(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The base of everything that crosses the wire: camelCase, unknown fields refused."""


class Nothing(Wire):
    """A request that takes neither body nor query."""


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

    @property
    def takes_body(self) -> bool:
        return self.method in {"POST", "PUT", "PATCH"} and self.takes is not Nothing


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key as the ledger stores it: one key per caller, bound to what was asked."""

    id: str
    fingerprint: str


@dataclass(slots=True)
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[dict[str, Any]] = field(default_factory=list)
    content_type: str = "application/json"
    stream: Callable[[Request], Awaitable[None]] | None = None  # sends the response itself, piece by piece


class Call(Generic[Taken]):
    """One request, read and checked."""

    __slots__ = ("once", "request", "taken")

    def __init__(self, request: Request, taken: Taken, once: Once | None) -> None:
        self.request, self.taken, self.once = request, taken, once

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
) -> Callable[[Handler], Handler]:
    """Registers a handler. `limit` names a rate-limit class; `idempotent` honours Idempotency-Key; `guest` says the
    handler keeps a signed guest cookie; `if_match` that it honours If-Match with the resource's `version`; `gives`
    names path parameters of other routes and where the answer has their values, as JSON pointers; `body_size` how
    large a body may be, when its schema does not tell."""
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
    )
    read, safe = _reader(declared), method in SAFE_METHODS

    def register(handler: Handler) -> Handler:
        async def handle(request: Request, **path_parameters: str) -> HTTPResponse | None:
            call = Call(request, read(request), _once(request) if idempotent else None)
            if safe:
                reply = await handler(call, **path_parameters)
                if reply.stream is None:
                    return render(reply)
                await reply.stream(request)
                return None
            # A client that hangs up must not stop a change halfway.
            return render(await request.app.ctx.shield.run(handler(call, **path_parameters)))

        blueprint.add_route(
            handle, path, methods=[method], name=handler.__name__, ctx_operation=declared, ctx_compress=compress
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
    if declared.takes_body:
        decoder = msgspec.json.Decoder(declared.takes)
        return lambda request: _read_body(request, decoder)
    shape = {f.encode_name: _is_list(f.type) for f in msgspec.structs.fields(declared.takes)}
    empty = declared.takes() if all(not f.required for f in msgspec.structs.fields(declared.takes)) else None
    nullable = frozenset(f.encode_name for f in msgspec.structs.fields(declared.takes) if NoneType in get_args(f.type))
    return lambda request: _read_query(request, declared.takes, shape, nullable, empty)


def _is_list(kind: Any) -> bool:
    return any(get_origin(t) in {list, tuple} or t in {list, tuple} for t in (kind, *get_args(kind)))


def _read_body(request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Unsupported()
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as error:
        if "got `float`" in str(error):
            return _convert(_with_integers(msgspec.json.decode(request.body)), decoder.type, strict=True)
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _with_integers(part: Any) -> Any:
    """JSON has one kind of number: 3.0 is the integer 3, to JSON Schema and to clients that know no other."""
    if isinstance(part, float) and part.is_integer():
        return int(part)
    if isinstance(part, dict):
        return {name: _with_integers(inner) for name, inner in part.items()}
    return [_with_integers(inner) for inner in part] if isinstance(part, list) else part


def _read_query(
    request: Request, takes: type[Any], shape: Mapping[str, bool], nullable: frozenset[str], empty: Any
) -> Any:
    if not request.query_string:
        if empty is None:
            return _convert({}, takes)
        return empty
    given: dict[str, Any] = {}
    for name, value in request.get_query_args(keep_blank_values=True):
        if shape.get(name):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise Invalid(errors=[{"path": name, "message": "Given more than once"}])
        elif value.lower() == "null" and name in nullable:  # it would be read as if nothing had been asked
            raise Invalid(errors=[{"path": name, "message": "Leave it out instead"}])
        else:
            given[name] = value
    return _convert(given, takes)


def _convert(given: Any, takes: type[Any], *, strict: bool = False) -> Any:
    try:
        return msgspec.convert(given, takes, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: msgspec.ValidationError) -> Invalid:
    message, _, path = str(error).partition(" - at `$")
    return Invalid(message, errors=[{"path": path.rstrip("`").lstrip("."), "message": message}])


def _once(request: Request) -> Once | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not IDEMPOTENCY_KEY.match(key):
        raise Malformed("Idempotency-Key must be 1 to 255 visible ASCII characters")
    principal: Principal | None = getattr(request.ctx, "principal", None)
    asked = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.body).hexdigest()
    return Once(f"{principal.user_id if principal else '-'}:{key}", asked)
