"""API keys (`X-API-Key`): the credential of a service. A key is an explicit choice, like a bearer token: it needs no
CSRF token, is judged alone whatever cookies came along, and opens the routes of its scopes and no other.

Who presents keys that do not exist is counted per client before the store is asked, and refused after some."""

import re
from typing import NamedTuple, Protocol

from service.errors import Forbidden, Unauthenticated
from service.web.http.access import KEY_ROLE, SCOPES, Access, Principal
from service.web.http.operation import SAFE_METHODS, Operation

HEADER = "X-API-Key"
FORM = re.compile(r"hfk_([0-9a-f]{28})_([0-9a-f]{64})(?![\s\S])")
GUESS = "key-guess"  # the rate limit of keys that do not exist


class BadApiKey(Unauthenticated):
    code, title = "bad_api_key", "The API key is not known, was revoked, or has expired"


class KeyNotAllowed(Forbidden):
    code, title = "key_not_allowed", "This route is for people: no API key opens it"


class ScopeMissing(Forbidden):
    """`scope` is the one that the key lacks."""

    code, title = "scope_missing", "The API key does not have the scope of this route"


class KnownKey(NamedTuple):
    """A key that lives. `ends_at` is in seconds since 1970."""

    id: str
    scopes: frozenset[str]
    ends_at: float | None

    @property
    def account(self) -> str:
        """What it is called where people have a user id: in histories, in the audit log, in its rate limits."""
        return f"key:{self.id}"


class KeyReader(Protocol):
    """The part of auth that the web layer is given. `presented` is whatever came in the header."""

    def remembered(self, presented: str) -> KnownKey | None:
        """The key, if it was found a moment ago: costs no store."""

    def knows(self, presented: str) -> bool:
        """Whether it lived when it was last looked up: its owner is not kept out by who guesses at the same address."""

    async def find(self, presented: str) -> KnownKey | None:
        """The key, if it lives now."""


def key_principal(key: KnownKey) -> Principal:
    return Principal(key.account, KEY_ROLE, "", "key", key.scopes)


def authorize_key(operation: Operation, caller: Principal) -> Principal | None:
    """Whom the handler sees. What anybody may read stays open to a key, which is nobody there. Raises KeyNotAllowed,
    ScopeMissing."""
    if operation.scope:
        if operation.scope not in caller.scopes:
            raise ScopeMissing(f"The key lacks the scope {operation.scope}", scope=operation.scope)
        return caller
    if not is_open_to_keys(operation):
        raise KeyNotAllowed()
    return None


def is_open_to_keys(operation: Operation) -> bool:
    """Without a scope."""
    return operation.access is Access.PUBLIC and operation.method in SAFE_METHODS and not operation.guest


def described() -> str:
    """For the document."""
    scopes = "\n".join(f"- `{name}`: {what}" for name, what in SCOPES.items())
    return f"The key of a service, made by an admin (`POST /api/admin/api-keys`). Scopes:\n\n{scopes}"
