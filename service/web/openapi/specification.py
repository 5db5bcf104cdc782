"""`/openapi.json`: OpenAPI 3.1, made from the declarations that the routes themselves are checked by.

A response names every `code` it may carry, so a client can tell what it must be ready for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import (
    Invalid,
    Malformed,
    NotFound,
    Problem,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from service.web.http import problems
from service.web.http.access import Access
from service.web.http.operation import ORDER_TOKEN, SAFE_METHODS, UNLIMITED, EventStream, Nothing, Operation, is_page
from service.web.openapi.bounds import bounded
from service.web.openapi.schemas import (
    PLAIN_TEXT,
    REF,
    Schema,
    components,
    defaults_in_words,
    example,
    overlaid,
    query_parameters,
)
from service.web.security import api_keys
from service.web.security.api_keys import BadApiKey, KeyNotAllowed, ScopeMissing
from service.web.security.authorize import NotYourRole
from service.web.security.cookies import CookieNames
from service.web.security.csrf import CsrfFailed
from service.web.security.sanitize import PATH_PART_MAX, DuplicateKey, EncodedBody, OperatorRefused, TooDeep

JSON = "application/json"
PARAMETER = re.compile(r"<(\w+)(?::[^>]*)?>")
IDEMPOTENCY_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]{1,255}$"}
IF_MATCH: Schema = {"type": "string", "maxLength": 17, "pattern": r'^(\*|"[0-9]{1,15}")$', "examples": ['"3"']}
IF_NONE_MATCH: Schema = {"type": "string", "examples": ['"6f1c3a0e5b7d9c24"']}
IN_PATH: Schema = {"type": "string", "minLength": 1, "maxLength": PATH_PART_MAX, "pattern": PLAIN_TEXT}
NOTHING_HAPPENS = "Nothing was changed."

PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; `detail` is for people.",
    "properties": {
        "type": {"type": "string", "examples": ["/problems/insufficient_stock"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "examples": ["/api/orders"]},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        "requestId": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
}
ERRORS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
        "required": ["path", "message"],
        "additionalProperties": False,
    },
    "minItems": 1,
}
SHORTAGES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "sku": {"type": "string"},
            "requested": {"type": "integer"},
            "available": {"type": "integer"},
        },
        "required": ["sku", "requested", "available"],
        "additionalProperties": False,
    },
    "minItems": 1,
}
HEADERS: Mapping[str, Schema] = {
    "X-Request-ID": {"description": "Names this request in our logs.", "required": True},
    "RateLimit": {"description": "What is left of the limit that refuses first."},
    "RateLimit-Policy": {"description": "The limits of this route."},
    "ETag": {"description": "Names this state of what was read; send it back as `If-None-Match`."},
    "Retry-After": {"description": "Seconds to wait before trying again."},
    "Idempotency-Replayed": {"description": "`true`: this is the answer to an earlier request with the same key."},
}


@dataclass(frozen=True, slots=True)
class Described:
    """A route as the document has it. `parameters` maps the names in its path to those the handler knows."""

    id: str
    tag: str
    path: str
    parameters: Mapping[str, str]
    operation: Operation


def is_published(path: str) -> bool:
    """The HTML pages and their files are for people."""
    return not is_page(path)


def document(routes: Iterable[Any], names: CookieNames, version: str) -> dict[str, Any]:
    """The whole document, from the routes of a Sanic router."""
    described = _described(routes)
    types = list(dict.fromkeys(kind for one in described for kind in _types(one.operation)))
    schemas, named = components(types)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    refusals: dict[str, Any] = {}
    for one in described:
        writer = _Writer(one, known, named, described, refusals)
        paths.setdefault(one.path, {})[one.operation.method.lower()] = writer.operation()
    for query in _queries(described, known):
        named.pop(query)
    defaults_in_words(named)
    written = {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": version,
            "summary": "Stock that is never sold twice, held and released on time.",
            "description": "HEAD is answered wherever GET is, but for the event stream: alike, without the body.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in described)],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, **named},
            "responses": refusals,
            "headers": {name: {"schema": {"type": "string"}, **header} for name, header in HEADERS.items()},
            "securitySchemes": _security_schemes(names),
        },
    }
    return bounded(written)


def _queries(described: Iterable[Described], known: Mapping[Any, Schema]) -> set[str]:
    """Shapes that are written out as query parameters and appear nowhere else."""
    takes = (one.operation.takes for one in described if not one.operation.takes_body)
    return {known[kind]["$ref"].removeprefix(REF) for kind in takes if kind is not Nothing}


def _security_schemes(names: CookieNames) -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": names.access},
        "apiKey": {"type": "apiKey", "in": "header", "name": api_keys.HEADER, "description": api_keys.described()},
        "orderToken": {
            "type": "apiKey",
            "in": "header",
            "name": ORDER_TOKEN,
            "description": "Of an order that a guest placed: `orderToken` of the checkout's answer.",
        },
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRF-Token",
            "description": "From `GET /api/auth/csrf`; needed beside the cookie for whatever changes something.",
        },
    }


def _types(operation: Operation) -> list[Any]:
    takes = [] if operation.takes is Nothing else [operation.takes]
    return [*takes, *(kind for kind in operation.returns.values() if kind not in {None, EventStream})]


def _described(routes: Iterable[Any]) -> list[Described]:
    """In reading order. Paths of one shape share the names of their parameters, as the document demands."""
    found = [route for route in routes if is_published(f"/{route.path}")]
    shared = _shared_names(found)
    described = [_describe(route, shared) for route in found]
    return sorted(described, key=lambda one: (one.path, one.operation.method))


def _describe(route: Any, shared: Mapping[str, str]) -> Described:
    parts, parameters, shape = [], {}, ""
    for part in f"/{route.path}".split("/")[1:]:
        match = PARAMETER.fullmatch(part)
        shape += "/{}" if match else f"/{part}"
        if match:
            parameters[shared[shape]] = match[1]
        parts.append(f"{{{shared[shape]}}}" if match else part)
    blueprint, handler = route.name.split(".")[-2:]
    path = "/" + "/".join(parts)
    tag = parts[1] if parts[0] == "api" else "operations"
    return Described(_camel(f"{blueprint}_{handler}"), tag, path, parameters, route.ctx.operation)


def _shared_names(routes: Iterable[Any]) -> dict[str, str]:
    names: dict[str, set[str]] = {}
    for route in routes:
        shape = ""
        for part in f"/{route.path}".split("/")[1:]:
            match = PARAMETER.fullmatch(part)
            shape += "/{}" if match else f"/{part}"
            if match:
                names.setdefault(shape, set()).add(_camel(match[1]))
    return {shape: min(found) for shape, found in names.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


class _Writer:
    """One operation of the document."""

    def __init__(
        self,
        described: Described,
        known: Mapping[Any, Schema],
        named: Mapping[str, Schema],
        everything: Iterable[Described],
        refusals: dict[str, Any],
    ) -> None:
        """`refusals` collects what many operations answer alike."""
        self._refusals = refusals
        self._described, self._operation = described, described.operation
        self._known, self._named, self._everything = known, named, everything

    def operation(self) -> dict[str, Any]:
        declared = self._operation
        written: dict[str, Any] = {
            "operationId": self._described.id,
            "tags": [self._described.tag],
            "summary": declared.summary,
            "description": declared.description,
            "x-access": declared.access.name.lower(),
            "x-rate-limit": declared.limit,
            "security": self._security(),
            "parameters": self._parameters(),
            "responses": self._responses(),
        }
        if declared.media:
            rows = {media: {"schema": {"type": "string"}, "example": one} for media, one in declared.media.items()}
            written["requestBody"] = {"required": True, "content": rows}
        if declared.takes_body:
            schema = self._known[declared.takes]
            content = {"schema": schema, "example": example(schema, self._named)}
            written["requestBody"] = {"required": not declared.body_optional, "content": {JSON: content}}
        return written

    def _security(self) -> list[dict[str, list[str]]]:
        declared = self._operation
        cookie: dict[str, list[str]] = {"cookie": []}
        if declared.method not in SAFE_METHODS:
            cookie["csrf"] = []
        credentials: list[dict[str, list[str]]] = [{"bearer": []}, cookie]
        if declared.scope:
            credentials.append({"apiKey": [declared.scope]})
        if declared.guests_too:
            return [{"orderToken": []} if self._described.parameters else {}, *credentials]
        if declared.access is Access.PUBLIC:
            return [{}, *credentials] if declared.guest else []
        return credentials

    def _parameters(self) -> list[dict[str, Any]]:
        declared = self._operation
        found: list[dict[str, Any]] = [
            {"name": name, "in": "path", "required": True, "schema": dict(IN_PATH)}
            for name in self._described.parameters
        ]
        if not declared.takes_body and declared.takes is not Nothing:
            schema = self._known[declared.takes]
            found += query_parameters(self._named[schema["$ref"].removeprefix(REF)])
        if declared.idempotent:
            found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": IDEMPOTENCY_KEY})
        if 304 in declared.returns:
            found.append({"name": "If-None-Match", "in": "header", "required": False, "schema": IF_NONE_MATCH})
        if declared.if_match:
            found.append({"name": "If-Match", "in": "header", "required": False, "schema": IF_MATCH})
        return found

    def _responses(self) -> dict[str, Any]:
        declared = self._operation
        responses = {str(status): self._success(status, kind) for status, kind in declared.returns.items()}
        codes: dict[int, list[type[Problem]]] = {}
        for problem in dict.fromkeys((*declared.errors, *_always(declared, bool(self._described.parameters)))):
            codes.setdefault(problems.status_of(problem), []).append(problem)
        for status, found in sorted(codes.items()):
            responses.setdefault(str(status), self._shared(status, found))
        return responses

    def _shared(self, status: int, found: list[type[Problem]]) -> dict[str, str]:
        name = ".".join([str(status), *sorted({problem.code for problem in found})])
        self._refusals.setdefault(name, _refusal(status, found))
        return {"$ref": f"#/components/responses/{name}"}

    def _success(self, status: int, kind: Any) -> dict[str, Any]:
        declared = self._operation
        headers = ["X-Request-ID", "RateLimit", "RateLimit-Policy"]
        if declared.idempotent:
            headers.append("Idempotency-Replayed")
        if 304 in declared.returns:
            headers.append("ETag")
        written: dict[str, Any] = {"description": declared.summary, "headers": _headers(headers)}
        if kind is EventStream:
            written["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        elif kind is not None:
            schema = self._known[kind]
            shown = overlaid(example(schema, self._named), declared.example)
            written["content"] = {JSON: {"schema": schema, "example": shown}}
        if declared.also_as and 200 <= status < 300:
            others = {media: {"schema": {"type": "string"}} for media in declared.also_as}
            written["content"] = {**written.get("content", {}), **others}
        links = self._links() if 200 <= status < 300 else {}
        return {**written, "links": links} if links else written

    def _links(self) -> dict[str, Any]:
        """To every route whose whole path can be filled from this answer."""
        gives = self._operation.gives
        return {
            other.id: {
                "operationId": other.id,
                "parameters": {f"path.{n}": f"$response.body#{gives[raw]}" for n, raw in other.parameters.items()},
            }
            for other in self._everything
            if other.parameters and all(raw in gives for raw in other.parameters.values())
        }


def _always(declared: Operation, has_parameters: bool) -> Iterable[type[Problem]]:
    """What the layers in front of every handler may answer."""
    yield from (Malformed, OperatorRefused, TooLarge, TooSlow, Invalid, TooMany, Unavailable)
    if declared.method not in SAFE_METHODS:
        yield from (Unsupported, EncodedBody)
        if not declared.media:
            yield from (DuplicateKey, TooDeep)
    if declared.access is not Access.PUBLIC or declared.guest:
        yield Unauthenticated
    if declared.access > Access.CUSTOMER:
        yield NotYourRole
    if declared.limit != UNLIMITED:
        yield BadApiKey
    if declared.scope:
        yield ScopeMissing
    elif not api_keys.is_open_to_keys(declared):
        yield KeyNotAllowed
    if declared.method not in SAFE_METHODS:
        yield CsrfFailed
    if has_parameters:
        yield NotFound


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(status: int, found: list[type[Problem]]) -> dict[str, Any]:
    titles = {problem.code: problem.title for problem in found}
    fields: dict[str, Schema] = {"status": {"const": status}, "code": {"enum": sorted(titles)}}
    required = ["errors"] if status == problems.STATUS[Invalid] else []
    if required:
        fields["errors"] = ERRORS
    if "insufficient_stock" in titles:
        fields["shortages"] = SHORTAGES
    schema = {"allOf": [{"$ref": REF + "Problem"}, {"properties": fields, "required": required}]}
    names = ["X-Request-ID"] + (["Retry-After"] if status in {429, 503} else [])
    return {
        "description": "; ".join(f"`{code}`: {title}" for code, title in sorted(titles.items())),
        "headers": _headers(names),
        "content": {problems.CONTENT_TYPE: {"schema": schema, "example": _example(status, found[0])}},
    }


def _example(status: int, problem: type[Problem]) -> dict[str, Any]:
    shown = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": status,
        "detail": problem.title,
        "instance": "/api",
        "code": problem.code,
        "requestId": "01a2054e93214c86",
    }
    if status == problems.STATUS[Invalid]:
        shown["errors"] = [{"path": "items[0].quantity", "message": "Expected `int` >= 1"}]
    return shown
