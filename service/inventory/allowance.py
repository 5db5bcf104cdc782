"""Hold limits: how much unpaid stock one customer may hold, and when a customer who let holds run out may hold again.

Pure rules. The ledger asks them inside the batch that reserves, against what the customer holds at that moment, so that
simultaneous checkouts of one customer never hold more between them than one after the other."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from service.errors import Conflict
from service.inventory.models import Hold, HoldStatus, Line, Reserve

WAIT_DOUBLINGS_MAX = 32


class TooMuchHeld(Conflict):
    """`limit` says which bound was met: `orders`, `units`, `sku` (with `sku`) or `unpaid_before` (with Retry-After)."""

    code, title = "too_much_held", "You hold too much that is not paid"


class Allowance(Struct, frozen=True):
    """What one customer may hold unpaid. `sku_units_max` is of each SKU; `sku_limits` has the SKUs with one of their
    own. After `lapses_free` holds that ran out unpaid there is one at a time, and each further one doubles the wait
    before the next checkout."""

    orders_max: int
    units_max: int
    sku_units_max: int
    sku_limits: Mapping[str, int]
    lapses_free: int
    wait_seconds: float
    wait_max_seconds: float
    remembered_seconds: float
    hold_seconds: float

    def check(self, lines: Sequence[Line], holds: Sequence[Hold], now: datetime) -> None:
        """Raises TooMuchHeld if the lines are more than may be held beside `holds`, the customer's own."""
        lapsed = [hold for hold in holds if self.has_lapsed(hold, now)]
        self._check_lapses(lapsed, now)
        alive = [hold for hold in holds if is_alive(hold, now)]
        if len(alive) >= (self.orders_max if len(lapsed) <= self.lapses_free else 1):
            raise TooMuchHeld(f"You have {len(alive)} unpaid orders: pay or cancel one of them first", limit="orders")
        held = _units(line for hold in alive for line in hold.lines)
        if sum(held.values()) + sum(line.quantity for line in lines) > self.units_max:
            raise TooMuchHeld(f"You may hold {self.units_max} unpaid units in all", limit="units")
        for line in lines:
            self._check_line(line, held[line.sku])

    def _check_line(self, line: Line, before: int) -> None:
        sku_max = self.sku_limits.get(line.sku, self.sku_units_max)
        if before + line.quantity > sku_max:
            detail = f"You hold {before} of {line.sku} already, and may hold {sku_max}"
            raise TooMuchHeld(detail, limit="sku", sku=line.sku, maximum=sku_max)

    def _check_lapses(self, lapsed: Sequence[Hold], now: datetime) -> None:
        beyond = len(lapsed) - self.lapses_free
        if beyond <= 0:
            return
        wait_seconds = min(self.wait_max_seconds, self.wait_seconds * 2.0 ** min(beyond - 1, WAIT_DOUBLINGS_MAX))
        left = (max(_ended(hold) for hold in lapsed) + timedelta(seconds=wait_seconds) - now).total_seconds()
        if left > 0:
            detail = f"{len(lapsed)} of your orders ran out unpaid: wait before the next one"
            raise TooMuchHeld(detail, limit="unpaid_before", retry_after_seconds=int(left) + 1)

    def has_lapsed(self, hold: Hold, now: datetime) -> bool:
        """Whether the stock was kept from others for nothing: until its time was up, or for most of that time."""
        if _ended(hold) <= now - timedelta(seconds=self.remembered_seconds):
            return False
        if hold.status is HoldStatus.RELEASED:
            return _ended(hold) > hold.expires_at - timedelta(seconds=self.hold_seconds / 2)
        return hold.status is HoldStatus.EXPIRED or (hold.status is HoldStatus.ACTIVE and now >= hold.expires_at)

    def worth_remembering(self, hold: Hold, now: datetime) -> bool:
        return is_alive(hold, now) or self.has_lapsed(hold, now)


def holders_of(reserve: Reserve) -> tuple[str, ...]:
    """Whose holds are counted: a guest's address outlives the cookie."""
    return (reserve.user_id,) if reserve.also_held_by is None else (reserve.user_id, reserve.also_held_by)


def is_alive(hold: Hold, now: datetime) -> bool:
    return hold.status is HoldStatus.ACTIVE and now < hold.expires_at


def _ended(hold: Hold) -> datetime:
    """When the hold ended, or will; swept late, it had ended with its time all the same."""
    return min(hold.resolved_at or hold.expires_at, hold.expires_at)


def _units(lines: Iterable[Line]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
