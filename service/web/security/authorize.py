"""JWT layer, second half, and the roles: who may come in. What no route allows is refused."""

from service.errors import Forbidden, Unauthenticated, Unavailable
from service.web.http.access import ROLES, Access, Principal
from service.web.http.operation import Operation
from service.web.security.api_keys import BadApiKey, authorize_key, key_principal
from service.web.security.credentials import Credential
from service.web.security.gate import RateLimitResult


class NotYourRole(Forbidden):
    code, title = "forbidden", "Your role does not allow this"


class Undeclared(Forbidden):
    code, title = "forbidden", "This route has not said who may call it"


def principal(
    operation: Operation | None, credential: Credential | None, answer: RateLimitResult | None
) -> Principal | None:
    """The caller, if the credential's session lives. `answer` is None while Redis is down.

    A route that needs a caller, or keeps a cart for one, refuses a credential that does not hold. Other public
    routes ignore it: a browser with a stale cookie can still log in. So does an address without a route (None), whose
    page for a missing address greets whoever is signed in.
    """
    needs = operation is not None and operation.access is not Access.PUBLIC
    if credential is not None and credential.via == "key":
        return _key(operation, credential, answer, needs=needs)
    if credential is None:
        if needs and not (operation is not None and operation.guests_too):
            raise Unauthenticated("Log in first")
        return None
    caller = _verified(credential, answer)
    if caller is None and (needs or (operation is not None and operation.guest)):
        if answer is None and credential.claims is not None:
            raise Unavailable("Sessions cannot be checked right now", retry_after_seconds=1)
        raise Unauthenticated("The credential is not valid, or its session has ended")
    return caller


def _key(
    operation: Operation | None, credential: Credential, answer: RateLimitResult | None, *, needs: bool
) -> Principal | None:
    """A wrong key is refused wherever it is presented: nobody goes on for long without noticing."""
    if answer is None:
        if needs:
            raise Unavailable("API keys cannot be checked right now", retry_after_seconds=1)
        return None
    if credential.key is None:
        raise BadApiKey()
    return None if operation is None else key_principal(credential.key)


def _verified(credential: Credential, answer: RateLimitResult | None) -> Principal | None:
    claims = credential.claims
    if claims is None or answer is None or answer.user_id != claims.user_id or answer.role not in ROLES:
        return None
    return Principal(claims.user_id, answer.role, claims.session_id, credential.via)


def authorize(operation: Operation, caller: Principal | None) -> Principal | None:
    """Whom the handler sees. Raises NotYourRole, KeyNotAllowed, ScopeMissing."""
    if caller is not None and caller.via == "key":
        return authorize_key(operation, caller)
    if operation.access is Access.PUBLIC:
        return caller
    if caller is None and operation.guests_too:
        return None
    if caller is None or caller.access < operation.access:
        raise NotYourRole()
    return caller
