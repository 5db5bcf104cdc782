"""JWT layer, first half: finds the credential of a request and reads it. Whether its session still lives is the
gate's answer; who may come in is `authorize`'s."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from sanic import Request

from service.web.security.cookies import CookieNames, presented

BEARER_BYTES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Claims:
    """What a correctly signed access token says. `expired` ones still name the session a CSRF token is bound to."""

    user_id: str
    session_id: str
    expires_at: datetime


class TokenReader(Protocol):
    """The part of auth that the web layer is given."""

    def read(self, token: str) -> Claims | None:
        """None for anything that is not one of our own access tokens, valid now."""


class Credential(NamedTuple):
    """`claims` is None when something was presented that is not valid."""

    via: Literal["bearer", "cookie"]
    claims: Claims | None


def find(request: Request, tokens: TokenReader, names: CookieNames) -> Credential | None:
    """A bearer token is an explicit choice: it is judged alone, whatever cookies came along."""
    headers = request.headers
    given = headers.getall("authorization", None)
    if given is not None:
        return Credential("bearer", _read_bearer(given[0], tokens) if len(given) == 1 else None)
    if "cookie" in headers:
        token = presented(request.cookies.getlist(names.access))
        if token:
            return Credential("cookie", tokens.read(token) if len(token) <= BEARER_BYTES_MAX else None)
    return None


def _read_bearer(header: str, tokens: TokenReader) -> Claims | None:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or len(token) > BEARER_BYTES_MAX:
        return None
    return tokens.read(token)
