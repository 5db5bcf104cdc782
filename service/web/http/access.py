"""Who may call a route, and who is calling. Roles are ordered: staff may do what a customer may. A service's key opens
the routes of its scopes and no other."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal, NamedTuple


class Access(IntEnum):
    PUBLIC = 0
    CUSTOMER = 1
    STAFF = 2
    ADMIN = 3


ROLES: dict[str, Access] = {"customer": Access.CUSTOMER, "staff": Access.STAFF, "admin": Access.ADMIN}
KEY_ROLE = "key"  # what a service is called where people have a role

Scope = Literal[
    "alerts:read",
    "alerts:write",
    "catalog:read",
    "catalog:write",
    "coupons:read",
    "coupons:write",
    "jobs:read",
    "jobs:write",
    "metrics:read",
    "orders:read",
    "orders:write",
    "stock:read",
    "stock:write",
]
SCOPES: Mapping[Scope, str] = {
    "alerts:read": "list stock alerts",
    "alerts:write": "acknowledge stock alerts",
    "catalog:read": "list reviews that wait for approval",
    "catalog:write": "create, change and archive products and categories, approve reviews",
    "coupons:read": "read coupons",
    "coupons:write": "create and change coupons",
    "jobs:read": "look at jobs and dead letters",
    "jobs:write": "start jobs, replay dead letters",
    "metrics:read": "read the metrics",
    "orders:read": "read all orders",
    "orders:write": "ship, deliver, cancel and refund orders",
    "stock:read": "read stock, its movements and its history",
    "stock:write": "receive, adjust and count stock, set thresholds",
}


class Principal(NamedTuple):
    """The caller, once its token and its session, or its key, have been accepted. `scopes` are a key's."""

    user_id: str
    role: str
    session_id: str
    via: Literal["bearer", "cookie", "key"]
    scopes: frozenset[str] = frozenset()

    @property
    def access(self) -> Access:
        return Access.STAFF if self.via == "key" else ROLES[self.role]
