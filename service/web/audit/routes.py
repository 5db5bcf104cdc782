"""/api/audit: the audit log, for admins."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from sanic import Blueprint

from service.web.audit.log import AuditLog
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Reply, Wire, operation

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class AuditQuery(Wire):
    """`actor` is a user's id, `target` a path, `outcome` "ok" or a problem's code."""

    actor: Text | None = None
    target: Text | None = None
    outcome: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None

    def exact(self) -> dict[str, str]:
        given = {"actor": self.actor, "target": self.target, "outcome": self.outcome}
        return {name: value for name, value in given.items() if value is not None}


class AuditEntryView(Wire):
    id: str
    at: datetime
    actor: str
    role: str
    action: str
    target: str
    outcome: str
    status: int
    address: str
    request_id: str
    subject: str
    count: int


class AuditReply(Wire):
    items: list[AuditEntryView]
    next_cursor: str | None


def routes(audit_log: AuditLog) -> Blueprint:
    blueprint = Blueprint("audit", url_prefix="/api/audit")

    @operation(
        blueprint,
        "GET",
        "/",
        "Who did what to what, newest first",
        takes=AuditQuery,
        returns={200: AuditReply},
        access=Access.ADMIN,
        compress=False,
    )
    async def audit_entries(call: Call[AuditQuery]) -> Reply:
        """Every change by staff, everything admins do, and what happened to accounts. Entries are chained, so a missing
        one shows: `holdfast audit --log` checks it."""
        taken = call.taken
        position = None if taken.cursor is None else cursor.decode(taken.cursor, cursor.TimePosition)
        before = None if position is None else (position.at, position.id)
        found = await audit_log.find(taken.exact(), before, taken.limit + 1)
        last = found[taken.limit - 1] if len(found) > taken.limit else None
        after = None if last is None else cursor.encode(cursor.TimePosition(last["at"], last["_id"]))
        return Reply(200, AuditReply(items=[_view(entry) for entry in found[: taken.limit]], next_cursor=after))

    return blueprint


def _view(entry: Mapping[str, Any]) -> AuditEntryView:
    names = ("at", "actor", "role", "action", "target", "outcome", "status", "address", "request_id", "subject")
    return AuditEntryView(id=entry["_id"], **{name: entry[name] for name in names}, count=entry.get("count", 1))
