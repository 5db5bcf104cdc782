"""Audit layer: which requests go on record. The entry is stored before the answer leaves."""

import logging
from collections import Counter
from typing import Any

from sanic import Request

from service.clock import Clock
from service.errors import Problem
from service.infra import json
from service.infra.mongo.client import UNREACHABLE
from service.web.audit.chain import Entry
from service.web.audit.log import AuditLog
from service.web.http.access import Access, Principal
from service.web.http.client_address import ClientAddresses
from service.web.http.operation import SAFE_METHODS, Operation

log = logging.getLogger(__name__)
ACCOUNT_LIMITS = frozenset({"login", "register", "reset", "refresh", "account"})
REFUSED = 403
LIMITED = 429
REFUSALS_PER_HOUR_MAX = 20
CALLERS_REMEMBERED_MAX = 1_000


def audited(operation: Operation) -> bool:
    """What staff change, what an admin does or sees, and what happens to accounts and logins."""
    unsafe = operation.method not in SAFE_METHODS
    if operation.access is Access.ADMIN:
        return True
    return unsafe and (operation.access is Access.STAFF or operation.limit in ACCOUNT_LIMITS)


class Audit:
    def __init__(self, audit_log: AuditLog, addresses: ClientAddresses, clock: Clock) -> None:
        self._log, self._addresses, self._clock = audit_log, addresses, clock
        self._refusals, self._hour = Counter[str](), 0

    async def done(self, request: Request, response: Any) -> None:
        """After an audited handler."""
        await self._record(self._entry(request, response.status))

    async def refused(self, request: Request, response: Any) -> None:
        """After an exception, wherever it came from: an audited handler's own is always on record."""
        route = request.route
        if route is None or response.status == LIMITED:
            return
        handled = getattr(request.ctx, "admitted", False)
        if not route.ctx.audited and response.status != REFUSED:
            return
        if (route.ctx.audited and handled) or self._worth_keeping(request):
            await self._record(self._entry(request, response.status))

    def _worth_keeping(self, request: Request) -> bool:
        """What the layers refuse is on record too, but nobody can fill the log with it."""
        hour = int(self._clock.monotonic() // 3_600)
        if hour != self._hour or len(self._refusals) >= CALLERS_REMEMBERED_MAX:
            self._hour = hour
            self._refusals.clear()
        caller = self._addresses.of(request)
        self._refusals[caller] += 1
        return self._refusals[caller] <= REFUSALS_PER_HOUR_MAX

    def _entry(self, request: Request, status: int) -> Entry:
        caller: Principal | None = request.ctx.principal
        return Entry(
            actor=caller.user_id if caller else "",
            role=caller.role if caller else "",
            action=request.route.ctx.action,  # type: ignore[union-attr]
            target=request.path,
            outcome=getattr(request.ctx, "outcome", "ok"),
            status=status,
            address=self._addresses.of(request),
            request_id=request.ctx.request_id,
            subject=getattr(request.ctx, "subject", ""),
        )

    async def _record(self, entry: Entry) -> None:
        try:
            await self._log.record(entry)
        except (*UNREACHABLE, Problem) as error:
            # What happened has happened: the entry goes where it can still be read, and the answer stays true.
            log.error("audit entry not stored (%s): %s", error, json.encode(entry).decode())

    async def drain(self) -> None:
        await self._log.drain()
