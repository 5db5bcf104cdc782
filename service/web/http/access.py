"""Who may call a route, and who is calling. Roles are ordered: staff may do what a customer may."""

from enum import IntEnum
from typing import Literal, NamedTuple


class Access(IntEnum):
    PUBLIC = 0
    CUSTOMER = 1
    STAFF = 2
    ADMIN = 3


ROLES: dict[str, Access] = {"customer": Access.CUSTOMER, "staff": Access.STAFF, "admin": Access.ADMIN}


class Principal(NamedTuple):
    """The caller, once its token and its session have both been accepted."""

    user_id: str
    role: str
    session_id: str
    via: Literal["bearer", "cookie"]

    @property
    def access(self) -> Access:
        return ROLES[self.role]
