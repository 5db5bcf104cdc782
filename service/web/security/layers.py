"""The security layers in their order, on every route: headers → rate limit → CSRF → JWT → roles → input.

    request ─ connection.py   deadline, head, connection bounds
            ─ early_reject    a client that goes on although it was refused, answered by the head of its request
            ─ begin           request id, CORS preflight
            ─ limit           rate limits and the session, one Redis round trip for all waiting requests; API keys
            ─ csrf            origin; token bound to the session, for cookie credentials
            ─ authenticate    whose session lives is the caller
            ─ authorize       the route's declared role
            ─ sanitize        what no honest client sends
            ─ handler         schema, then the use case; an unsafe one outlives a client that hangs up
            ─ audit           what staff did, and what happened to accounts, is on record before the answer leaves
    response ─ connection.py  security headers, request id, rate limit state, CORS

`setup_layers` registers them all. Routes are declared with `web.operation`; one that is not is refused.
"""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import MethodNotAllowed, NotFound

from service.clock import Clock
from service.config import Config
from service.errors import TooMany, Unavailable
from service.ids import Ids
from service.web.audit.layer import AuditLayer, audited, may_concern_others
from service.web.audit.log import AuditLog
from service.web.http import problems
from service.web.http.access import SCOPES, Access
from service.web.http.client_address import ClientAddresses
from service.web.http.operation import SAFE_METHODS, UNLIMITED, Operation
from service.web.http.request_id import RequestIds
from service.web.security.api_keys import GUESS
from service.web.security.authorize import Undeclared, authorize, principal
from service.web.security.bodies import Bodies
from service.web.security.connection import Connection
from service.web.security.cookies import Cookies
from service.web.security.cors import Cors
from service.web.security.credentials import Credential, CredentialReaders, find, presented_key
from service.web.security.csrf import Csrf
from service.web.security.fallback_limit import FallbackLimit
from service.web.security.gate import SessionAndRateLimitCheck, StoreDown
from service.web.security.headers import CSP, JSON_CSP, PAGE_HEADERS, as_bytes, page_csp, security_headers
from service.web.security.metrics import SecurityMetrics
from service.web.security.rate_limit import LINES_FREE, Prepared, RateLimits
from service.web.security.refusals import EarlyRejection, Refusals, RejectedClients
from service.web.security.sanitize import Sanitizer
from service.web.security.session_seal import SessionSeals

NONCE_BYTES = 16
UNDECLARED_LIMIT = "default"
LINES = "lines"
ORIGIN = re.compile(rb"\r\norigin:", re.IGNORECASE)
FIRST = 100
SENT, CUT_OFF = 200, 499  # of an answer that the handler sent itself


class Layers:
    """All layers, wired. `Connection` finds them as `app.ctx.layers`."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        ids: Ids,
        readers: CredentialReaders,
        audit_log: AuditLog,
        metrics: SecurityMetrics,
    ) -> None:
        self.metrics = metrics
        self.request_seconds_max = config.request_seconds_max
        self.response_seconds_max = config.response_seconds_max
        self.keep_alive_seconds = config.keep_alive_seconds
        self.connections_max = config.connections_max
        self.connections_per_address_max = max(1, round(config.connections_per_address_max * config.rate_limit_scale))
        self.connections_of: Counter[str] = Counter()
        self.bodies = Bodies(config)
        self.stopping = False
        self.cors = Cors(config.cors_origins)
        self.cookies = Cookies(config.secure_cookies)
        self.csrf = Csrf(config.keys("csrf"), ids, self.cors.origins, self.cookies.names.csrf)
        self.gate = SessionAndRateLimitCheck(clock, ids, config, metrics)
        self.limits, self.fallback = RateLimits(config.rate_limit_scale), FallbackLimit(clock)
        self.refusals = Refusals(clock)
        self._rejected_clients: RejectedClients | None = None
        self.addresses = ClientAddresses(config.trusted_proxies)
        self._seals = SessionSeals(config)
        self.audit = AuditLayer(audit_log, self.addresses, clock)
        self._tokens, self._keys = readers
        self._request_ids, self._sanitizer = RequestIds(ids), Sanitizer(config)
        common = as_bytes(security_headers())
        self._page_head = as_bytes(security_headers() | PAGE_HEADERS)
        self._images = " ".join(config.image_sources)
        self._json_head = common + as_bytes({CSP: JSON_CSP})

    def counted_address(self, address: str) -> str:
        return self.addresses.counted(address)

    def refuse_connection(self) -> None:
        self.metrics.connections_refused.inc()

    def open(self, router: Any) -> None:
        """Once every route is known."""

        def limit_of(path: str, method: str) -> Prepared | None:
            try:
                route, *_ = router.get(path, method, None)
            except (NotFound, MethodNotAllowed):
                return self.limits.of(UNDECLARED_LIMIT)
            limit = route.ctx.operation.limit
            return None if limit == UNLIMITED else self.limits.of(limit)

        self.cors.declare(route.ctx.operation for route in router.routes)
        fields = self._json_head + (b"vary: Origin\r\n" if self.cors.origins else b"")
        self._rejected_clients = RejectedClients(self.refusals, limit_of, self._request_ids.given, fields)

    def may_reject_early(self, connection: Any) -> bool:
        """Whether requests of this connection may be answered by `early_reject`."""
        return self.addresses.are_of_peers and self.addresses.of_peer(connection) in self.refusals

    def early_reject(self, connection: Any, head: bytes) -> EarlyRejection | None:
        """The answer to a client that asks again for what it has used up. None: the request goes the usual way."""
        if self._rejected_clients is None or (self.cors.origins and ORIGIN.search(head)):
            return None
        turned = self._rejected_clients.early_reject(self.addresses.of_peer(connection), head)
        if turned is not None:
            self.metrics.count(TooMany.code)
        return turned

    # the request

    async def admit(self, request: Request) -> HTTPResponse | None:
        """The layers in their order. Sanic runs this before every handler, and before an error's answer too."""
        if hasattr(request.ctx, "request_id"):  # this one has passed already
            return None
        preflight = self.begin(request)
        if preflight is not None:
            return preflight
        await self.limit(request)
        self.check_csrf(request)
        self.authenticate(request)
        self.authorize(request)
        self.sanitize(request)
        request.ctx.admitted = True
        return None

    def begin(self, request: Request) -> HTTPResponse | None:
        context = request.ctx
        context.request_id = self._request_ids.of(request)
        context.principal = context.credential = context.answer = context.rate = None
        context.client = ""
        context.operation = _operation(request)
        if not request.path.startswith("/api/"):
            context.csp_nonce = secrets.token_urlsafe(NONCE_BYTES)
        return self.cors.preflight(request)

    async def limit(self, request: Request) -> None:
        if request.conn_info is None:  # the head could not be read: nobody to count it for
            return
        context = request.ctx
        operation: Operation | None = context.operation
        if operation is not None and operation.limit == UNLIMITED:
            return
        credential = context.credential = find(request, self._tokens, self.cookies.names)
        session_id = credential.session_id if credential else ""
        limit = self.limits.of(operation.limit if operation else UNDECLARED_LIMIT)
        client = context.client = self.addresses.of(request)
        answer = self.refusals.find(client, limit)
        if answer is None:
            try:
                if credential is not None and credential.via == "key":
                    credential = context.credential = await self._looked_up(request)
                user_id = credential.account if credential else ""
                answer = await self.gate.ask(session_id, limit.limits(client, user_id), always=limit.always)
            except StoreDown:
                self._limit_without_redis(limit, client)
                return
        if answer.user_id and not self._seals.hold(session_id, answer.user_id, answer.role, answer.seal):
            self.metrics.count("forged_session")
            answer = answer._replace(user_id="", role="")
        context.answer, context.rate = answer, limit
        if answer.refused:
            self.refusals.remember(client, limit, answer)
            raise limit.refusal(answer.refused, answer.reset_seconds)

    async def _looked_up(self, request: Request) -> Credential:
        """The credential of a request with a key. Keys that do not exist are counted for their client, who asks the
        store no more once they are too many. Raises StoreDown, TooMany."""
        presented = presented_key(request)
        known = self._keys.remembered(presented)
        if known is None:
            if not self._keys.knows(presented):
                await self._guess(request, 0)
            known = await self._keys.find(presented)
            if known is None:
                await self._guess(request, 1)
        return Credential("key", None, known)

    async def _guess(self, request: Request, cost: int) -> None:
        client, limit = request.ctx.client, self.limits.of(GUESS)
        answer = self.refusals.find(client, limit) or await self.gate.ask("", limit.limits(client, ""), cost)
        if answer.refused:
            self.refusals.remember(client, limit, answer)
            request.ctx.answer, request.ctx.rate = answer, limit
            raise limit.refusal(answer.refused, answer.reset_seconds)

    def _limit_without_redis(self, limit: Prepared, client: str) -> None:
        if not limit.open_when_down:
            raise Unavailable("Requests of this kind cannot be checked right now", retry_after_seconds=1)
        self.fallback.take(client, limit.quota_per_minute)

    async def charge(self, request: Request, lines: int) -> None:
        """A request of many lines takes as much of the shop as many requests. Raises TooMany."""
        if lines > LINES_FREE:
            await self.also_limit(request, LINES, lines)

    async def also_limit(self, request: Request, name: str, cost: int = 1) -> None:
        """Counts an admitted request in one more class; a cost of 0 asks whether one more would pass. Raises
        TooMany."""
        context, limit = request.ctx, self.limits.of(name)
        if context.rate is None:  # Redis is down, and the route is open all the same
            return
        user_id = context.principal.user_id if context.principal else ""
        answer = await self.gate.ask("", limit.limits(context.client, user_id), cost)
        if answer.refused:
            context.answer, context.rate = answer, limit
            raise limit.refusal(answer.refused, answer.reset_seconds)

    def check_csrf(self, request: Request) -> None:
        if request.method in SAFE_METHODS or request.conn_info is None:
            return
        credential, operation = request.ctx.credential, request.ctx.operation
        if credential is not None and credential.via != "cookie":
            return
        self.csrf.check_origin(request)
        if credential is None or operation is None or credential.claims is None:
            return
        if operation.access is not Access.PUBLIC or operation.guest:
            self.csrf.check(request, credential.claims.session_id)

    def authenticate(self, request: Request) -> None:
        context = request.ctx
        context.principal = principal(context.operation, context.credential, context.answer)

    def authorize(self, request: Request) -> None:
        context = request.ctx
        if context.operation is not None:
            context.principal = authorize(context.operation, context.principal)
        elif request.route is not None:
            raise Undeclared()

    def sanitize(self, request: Request) -> None:
        operation = request.ctx.operation
        declares_rows = operation is not None and bool(operation.media)
        self._sanitizer.check(request, foreign=operation is not None and operation.takes is dict, rows=declares_rows)

    async def close(self) -> None:
        await self.audit.drain()
        self.gate.close()

    # the response

    async def answer(self, request: Request, error: Exception) -> HTTPResponse:
        """The answer to any exception: counted if it is a security event, on record if it must be."""
        response = problems.respond(request, error)
        self.metrics.count(request.ctx.outcome)
        await self.audit.refused(request, response)
        as_page = getattr(request.app.ctx, "as_page", None)
        if as_page is not None:
            await as_page(request, response)
        return response

    def response_head(self, request: Request, response: Any) -> bytes:
        """The layers' header fields, encoded. Nothing here may fail: every response passes."""
        context, headers = request.ctx, response.headers
        head = self._json_head
        if CSP in headers:
            head = self._page_head
        elif (response.content_type or "").startswith("text/html"):
            head = self._page_head + as_bytes({CSP: page_csp(getattr(context, "csp_nonce", ""), self._images)})
        parts = [head, b"x-request-id: %b\r\n" % getattr(context, "request_id", "").encode("ascii")]
        rate = getattr(context, "rate", None)
        if rate is not None:
            parts.append(rate.head(context.answer))
        if "cache-control" not in headers:
            parts.append(b"cache-control: no-cache\r\n" if "etag" in headers else b"cache-control: no-store\r\n")
        parts.append(self.cors.head(request))
        return b"".join(parts)


def _operation(request: Request) -> Operation | None:
    return None if request.route is None else getattr(request.route.ctx, "operation", None)


def setup_layers(app: Sanic[Any, Any], layers: Layers) -> type[Connection]:
    """Registers the layers in their order, before any other request middleware. Returns the protocol to serve with.

    `layers.answer` is the app's one error handler, `app.ctx.shield` runs what must not be cut short, and
    `layers.close()` comes last.
    """
    app.ctx.layers = layers
    app.register_middleware(layers.admit, "request", priority=FIRST)
    app.before_server_start(_prepare_routes)
    return Connection


async def _prepare_routes(app: Sanic[Any, Any]) -> None:
    layers: Layers = app.ctx.layers
    for route in app.router.routes:
        operation: Operation | None = getattr(route.ctx, "operation", None)
        assert operation is not None, f"{route.path} does not declare who may call it"
        assert operation.limit in layers.limits or operation.limit == UNLIMITED, (
            f"{route.path} names no known rate limit"
        )
        assert operation.scope == "" or operation.scope in SCOPES, f"{route.path} names no known scope"
        route.ctx.action = f"{operation.method} /{route.path}"
        route.ctx.audited = audited(operation)
        route.ctx.of_others = may_concern_others(operation, route.path)
        if route.ctx.audited or route.ctx.of_others:
            route.handler = _recorded(app, route.handler)
    layers.open(app.router)


def _recorded(app: Sanic[Any, Any], handler: Callable[..., Coroutine[Any, Any, HTTPResponse]]) -> Any:
    """The handler, and then its entry in the audit log, also when the client does not wait for either."""

    async def recorded(request: Request, **parameters: Any) -> HTTPResponse:
        if not app.ctx.layers.audit.concerns(request):
            return await handler(request, **parameters)

        async def both() -> HTTPResponse:
            status = CUT_OFF
            try:
                response = await handler(request, **parameters)
                status = SENT if response is None else response.status
            except asyncio.CancelledError:  # while its answer was being sent, piece by piece
                await app.ctx.layers.audit.done(request, status)
                raise
            await app.ctx.layers.audit.done(request, status)
            return response

        response: HTTPResponse = await app.ctx.shield.run(both(), request.ctx.request_id)
        return response

    return recorded
