"""The one table from error kinds to HTTP: RFC 9457 problem documents, never a stack trace."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sanic import HTTPMethod, HTTPResponse, Request
from sanic.exceptions import SanicException

from service.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Malformed,
    NotAllowed,
    NotFound,
    PaymentRequired,
    PreconditionFailed,
    Problem,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from service.infra import json
from service.infra.mongo.client import UNREACHABLE as MONGO_UNREACHABLE
from service.infra.redis.client import UNREACHABLE as REDIS_UNREACHABLE
from service.web.http.accept import prefers_html

log = logging.getLogger(__name__)

STATUS: dict[type[Problem], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    PaymentRequired: 402,
    Forbidden: 403,
    NotFound: 404,
    NotAllowed: 405,
    TooSlow: 408,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    Unsupported: 415,
    Invalid: 422,
    TooMany: 429,
    Unavailable: 503,
}
KIND_BY_STATUS = {status: kind for kind, status in STATUS.items()}
CONTENT_TYPE, HTML = "application/problem+json", "text/html; charset=utf-8"


def status_of(kind: type[Problem]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def respond(request: Request, error: Exception) -> HTTPResponse:
    """The answer to any exception that left a handler."""
    problem = _as_problem(error)
    if problem is None:
        asked = {"requestId": getattr(request.ctx, "request_id", "")}
        log.error("unhandled error on %s %s", request.method, request.path, exc_info=error, extra=asked)
        return _render(
            request, 500, "internal", "Something went wrong on our side", "Try again; if it stays, report it", {}
        )
    response = _render(request, status_of(type(problem)), problem.code, problem.title, problem.detail, problem.extra)
    response.headers.update(problem.headers)
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    if problem.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    if isinstance(problem, Unauthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="holdfast"'
    if isinstance(problem, NotAllowed):
        response.headers["Allow"] = ", ".join(_offered(request))
    return response


def _offered(request: Request) -> Iterator[str]:
    """What the path can be asked instead. Sanic's own list is empty for paths with parameters."""
    for method in HTTPMethod:
        with suppress(SanicException):
            request.app.router.get(request.path, method.value, request.headers.get("host"))
            yield method.value


def _as_problem(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    if isinstance(error, (*MONGO_UNREACHABLE, *REDIS_UNREACHABLE)):
        return Unavailable(retry_after_seconds=1)
    if isinstance(error, SanicException) and error.status_code < 500:
        kind = KIND_BY_STATUS.get(error.status_code, Malformed)
        return kind()
    if isinstance(error, SanicException) and error.status_code == 503:
        return Unavailable(retry_after_seconds=1)
    return None


def _render(request: Request, status: int, code: str, title: str, detail: str, extra: dict[str, Any]) -> HTTPResponse:
    """In the form the caller reads: a page for whoever asks for HTML first, as browsers do."""
    request.ctx.outcome = code
    document = _document(status, code, title, detail, request.path, getattr(request.ctx, "request_id", ""), extra)
    request.ctx.problem = document
    page = getattr(request.app.ctx, "problem_page", None)
    if page is None:
        return HTTPResponse(json.encode(document), status=status, content_type=CONTENT_TYPE)
    headers = {"Vary": "Accept"}
    if prefers_html(", ".join(request.headers.getall("accept", []))):
        return HTTPResponse(page(request, document), status=status, headers=headers, content_type=HTML)
    return HTTPResponse(json.encode(document), status=status, headers=headers, content_type=CONTENT_TYPE)


def encoded(problem: Problem, path: str, request_id: str) -> bytes:
    """The body that answers a request to `path` with this problem."""
    kind = type(problem)
    return json.encode(
        _document(status_of(kind), kind.code, kind.title, problem.detail, path, request_id, problem.extra)
    )


def _document(
    status: int, code: str, title: str, detail: str, path: str, request_id: str, extra: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        "code": code,
        "requestId": request_id,
        **extra,
    }
