"""A return's rules: its steps, and what inspection says of each unit. A return is a part of its order."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from service.errors import Conflict, Invalid, NotFound


class ReturnTooLarge(Invalid):
    code, title = "return_too_large", "More would come back than was sent and has not come back"


class ReturnNotFound(NotFound):
    code, title = "return_not_found", "The order has no such return"


class WrongReturnStatus(Conflict):
    """`returnStatus` is what the return is in."""

    code, title = "wrong_return_status", "The return's status does not allow this"


class TooManyReturns(Conflict):
    code, title = "too_many_returns", "The order has as many returns as it may have"


class ReturnStatus(StrEnum):
    """Requested, received, inspected, closed: then what can be sold is on the shelf again. Or it comes to nothing."""

    REQUESTED = "requested"
    RECEIVED = "received"
    INSPECTED = "inspected"
    CLOSED = "closed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


RETURN_STEPS: Mapping[ReturnStatus, frozenset[ReturnStatus]] = {  # from which each may be entered
    ReturnStatus.RECEIVED: frozenset({ReturnStatus.REQUESTED}),
    ReturnStatus.INSPECTED: frozenset({ReturnStatus.RECEIVED, ReturnStatus.INSPECTED}),
    ReturnStatus.CLOSED: frozenset({ReturnStatus.INSPECTED}),
    ReturnStatus.REFUSED: frozenset({ReturnStatus.REQUESTED, ReturnStatus.RECEIVED, ReturnStatus.INSPECTED}),
    ReturnStatus.CANCELLED: frozenset({ReturnStatus.REQUESTED}),
}
CAME_TO_NOTHING = frozenset({ReturnStatus.REFUSED, ReturnStatus.CANCELLED})


class ReturnLine(Struct, frozen=True, rename="camel"):
    """Of `quantity` units so many go on the shelf, to the damaged goods, or are written off, as inspection said."""

    sku: str
    quantity: int
    restocked: int = 0
    damaged: int = 0
    written_off: int = 0


class ReturnChange(Struct, frozen=True):
    status: ReturnStatus
    at: datetime
    actor: str


class Return(Struct, frozen=True):
    """Goods that come back, apart from the money."""

    id: str
    status: ReturnStatus
    lines: tuple[ReturnLine, ...]
    reason: str
    history: tuple[ReturnChange, ...]

    def check_step(self, after: ReturnStatus) -> None:
        """Raises WrongReturnStatus."""
        if self.status not in RETURN_STEPS[after]:
            raise WrongReturnStatus(f"The return is {self.status}", returnStatus=self.status.value)
