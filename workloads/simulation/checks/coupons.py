"""The uses of coupons, counted from the orders alone: a use counts for what is sold, or still held for its buyer."""

from collections import defaultdict
from collections.abc import Callable

from workloads.simulation.mongo.documents import Document

SOLD = {"paid", "shipped", "delivered", "refunded"}
PAYMENTS_UNDER_WAY = {"processing", "unknown", "returning"}


class CouponUses:
    """Feed it every change of a commit (`take_order`, `take_coupon`), then `check`."""

    def __init__(self, violate: Callable[[str, str], None]) -> None:
        self._violate = violate
        self._coupons: dict[str, Document] = {}
        self._using: dict[str, set[str]] = defaultdict(set)
        self._touched: dict[str, None] = {}

    def take_order(self, order_id: str, order: Document) -> None:
        coupon = order.get("coupon")
        if coupon is None:
            return
        self._touched[coupon] = None
        if _uses(order):
            self._using[coupon].add(order_id)
        else:
            self._using[coupon].discard(order_id)

    def take_coupon(self, code: str, coupon: Document) -> None:
        self._touched[code] = None
        self._coupons[code] = coupon

    def check(self) -> None:
        """After a commit, of the coupons it touched."""
        for code in self._touched:
            used, counted = self._coupons[code]["used"], len(self._using[code])
            if used != counted:
                self._violate("coupon_drifts", f"{code}: {used} uses, {counted} orders that use it")
            if counted > self._coupons[code]["usesMax"]:
                self._violate("coupon_overused", f"{code}: used by {counted} orders")
        self._touched.clear()

    def check_rest(self, order_id: str, order: Document) -> None:
        """Of an order that holds no stock: unpaid and not being paid, it keeps no coupon from others."""
        under_way = (order.get("payment") or {}).get("status") in PAYMENTS_UNDER_WAY
        if order["status"] == "pending" and order.get("coupon") and order["couponHeld"] and not under_way:
            self._violate("coupon_kept", f"order {order_id} ran out unpaid and keeps {order['coupon']}")


def _uses(order: Document) -> bool:
    return order["status"] in SOLD or (order["status"] == "pending" and bool(order["couponHeld"]))
