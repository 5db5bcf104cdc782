"""AuditLayer layer: which requests go on record. The entry is stored before the answer leaves."""

import logging
from dataclasses import replace
from typing import Any

import msgspec
from sanic import Request

from service.clock import Clock
from service.errors import Problem
from service.infra import json
from service.infra.mongo.client import UNREACHABLE
from service.web.audit.chain import AuditEntry
from service.web.audit.log import AuditLog
from service.web.audit.sampling import RefusalSampling
from service.web.http.access import Access, Principal
from service.web.http.client_address import ClientAddresses
from service.web.http.operation import SAFE_METHODS, Operation

log = logging.getLogger(__name__)
ACCOUNT_LIMITS = frozenset({"login", "register", "reset", "refresh", "account"})
REFUSED = 403
LIMITED = 429


def audited(operation: Operation) -> bool:
    """What staff change, what an admin does or sees, and what happens to accounts and logins."""
    unsafe = operation.method not in SAFE_METHODS
    if operation.access is Access.ADMIN:
        return True
    return unsafe and (operation.access is Access.STAFF or operation.limit in ACCOUNT_LIMITS)


def may_concern_others(operation: Operation, path: str) -> bool:
    """Whether staff, who may do what a customer may, can reach somebody else's data by this route."""
    if operation.access is not Access.CUSTOMER:
        return False
    names_a_user = any(field.name == "user_id" for field in msgspec.structs.fields(operation.takes))
    return operation.method not in SAFE_METHODS or "<" in path or names_a_user


class AuditLayer:
    def __init__(self, audit_log: AuditLog, addresses: ClientAddresses, clock: Clock) -> None:
        self._log, self._addresses, self._sampling = audit_log, addresses, RefusalSampling(clock)

    def concerns(self, request: Request) -> bool:
        """Whether what this request does is to be on record, by its route and its caller."""
        declared: Any = request.route.ctx  # type: ignore[union-attr]
        caller: Principal | None = request.ctx.principal
        return declared.audited or (declared.of_others and caller is not None and caller.access >= Access.STAFF)

    async def done(self, request: Request, status: int) -> None:
        """After an audited handler."""
        await self._record(self._entry(request, status))

    async def refused(self, request: Request, response: Any) -> None:
        """After an exception, wherever it came from: an audited handler's own is always on record."""
        if request.route is None or response.status == LIMITED:
            return
        concerned = self.concerns(request)
        if not concerned and response.status != REFUSED:
            return
        entry = self._entry(request, response.status)
        if not (concerned and getattr(request.ctx, "admitted", False)):
            count = self._sampling.stands_for((entry.address, entry.actor, entry.action, entry.outcome))
            entry = replace(entry, count=count)
        if entry.count:
            await self._record(entry)

    def _entry(self, request: Request, status: int) -> AuditEntry:
        caller: Principal | None = request.ctx.principal
        return AuditEntry(
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

    async def _record(self, entry: AuditEntry) -> None:
        try:
            await self._log.record(entry)
        except (*UNREACHABLE, Problem) as error:
            # What happened has happened: the entry goes where it can still be read, and the answer stays true.
            log.error("audit entry not stored (%s): %s", error, json.encode(entry).decode())

    async def drain(self) -> None:
        await self._log.drain()
