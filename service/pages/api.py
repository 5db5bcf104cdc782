"""Forms do what the API does: a page's form is turned into a call of the API's own operation, so that both check,
answer and refuse alike, and then into the page to go to."""

import hashlib
from typing import Any
from urllib.parse import urlencode

import msgspec
from sanic import Request

from service.errors import Malformed
from service.infra import json
from service.web.http.operation import IDEMPOTENCY_KEY, Call, Once, Operation, Reply
from service.web.http.reading import converted
from service.web.security.authorize import authorize

SEE_OTHER = 303


class Api:
    """The operations of the app that was asked, by method and path as they are declared."""

    def __init__(self) -> None:
        self._known: dict[str, Operation] = {}

    def operation(self, request: Request, name: str) -> Operation:
        if not self._known:
            routes = ((route, route.ctx.operation) for route in request.app.router.routes)
            self._known = {f"{declared.method} /{route.path.strip('/')}": declared for route, declared in routes}
        return self._known[name]

    async def call(
        self, request: Request, name: str, given: dict[str, Any] | None = None, /, *, key: str = "", **parameters: str
    ) -> Reply:
        """The answer of the operation `name`. `key` is the form's idempotency key. Raises what the operation raises."""
        declared = self.operation(request, name)
        authorize(declared, request.ctx.principal)
        taken = converted(given or {}, declared.takes)
        assert declared.handler is not None, f"{name} is not mounted"
        once = _once(request, name, key, given, parameters) if declared.idempotent and key else None
        return await declared.handler(Call(request, taken, once), **parameters)

    def takes(self, request: Request, name: str, field: str) -> bool:
        """Whether the operation knows this field."""
        return any(each.encode_name == field for each in msgspec.structs.fields(self.operation(request, name).takes))


def _once(request: Request, name: str, key: str, given: Any, parameters: dict[str, str]) -> Once:
    if not IDEMPOTENCY_KEY.match(key):
        raise Malformed("The form's key cannot be read: load the page again")
    asked = hashlib.sha256(json.encode([name, parameters, given])).hexdigest()
    principal = request.ctx.principal
    return Once(f"{principal.user_id if principal else '-'}:form:{key}", asked)


def see_other(path: str, reply: Reply | None = None, **query: str | int) -> Reply:
    """Go there by GET, so that loading that page again sends no form again. Cookies of `reply` go along."""
    asked = {name: value for name, value in query.items() if value != ""}
    joined = f"{path}{'&' if '?' in path else '?'}{urlencode(asked)}" if asked else path
    return Reply(SEE_OTHER, headers={"Location": joined}, cookies=[] if reply is None else reply.cookies)
