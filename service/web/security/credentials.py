"""JWT layer, first half: finds the credential of a request and reads it. Whether its session still lives is the
gate's answer; who may come in is `authorize`'s."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from sanic import Request

from service.web.security.api_keys import HEADER, KeyReader, KnownKey
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


class CredentialReaders(NamedTuple):
    """Both kinds that are looked up elsewhere."""

    tokens: TokenReader
    keys: KeyReader


class Credential(NamedTuple):
    """`claims`, of a key `key`, is None when something was presented that is not valid."""

    via: Literal["bearer", "cookie", "key"]
    claims: Claims | None
    key: KnownKey | None = None

    @property
    def account(self) -> str:
        """Whose rate limits it spends; "" for nobody's."""
        if self.claims is not None:
            return self.claims.user_id
        return "" if self.key is None else self.key.account

    @property
    def session_id(self) -> str:
        return "" if self.claims is None else self.claims.session_id


def find(request: Request, tokens: TokenReader, names: CookieNames) -> Credential | None:
    """A bearer token is an explicit choice: it is judged alone, whatever cookies came along. So is a key, which the
    caller has yet to look up."""
    headers = request.headers
    if HEADER in headers:
        return Credential("key", None)
    given = headers.getall("authorization", None)
    if given is not None:
        return Credential("bearer", _read_bearer(given[0], tokens) if len(given) == 1 else None)
    if "cookie" in headers:
        token = presented(request.cookies.getlist(names.access))
        if token:
            return Credential("cookie", tokens.read(token) if len(token) <= BEARER_BYTES_MAX else None)
    return None


def presented_key(request: Request) -> str:
    """ "" for what cannot be a key: several of them, or one beside a bearer token."""
    given = request.headers.getall(HEADER)
    return given[0] if len(given) == 1 and "authorization" not in request.headers else ""


def _read_bearer(header: str, tokens: TokenReader) -> Claims | None:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or len(token) > BEARER_BYTES_MAX:
        return None
    return tokens.read(token)
