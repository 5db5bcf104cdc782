"""Coupons: made and edited by staff, found by a checkout. Their limits hold because a use is counted in the posting
that places the order (`postings.placed`), and given back in the one that cancels it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from service.clock import Clock
from service.errors import PreconditionFailed
from service.orders.models import Coupon, CouponExists, CouponKind, CouponNotFound, UnknownCoupon
from service.orders.repository import CouponRepository


class CouponMoved(PreconditionFailed):
    code, title = "coupon_moved", "The coupon has changed since you read it"


@dataclass(frozen=True, slots=True)
class CouponPage:
    items: tuple[Coupon, ...]
    next_code: str | None


class Coupons:
    def __init__(self, repository: CouponRepository, clock: Clock) -> None:
        self._repository, self._clock = repository, clock

    async def create(
        self,
        code: str,
        kind: CouponKind,
        value: int,
        minimum_subtotal: int = 0,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        uses_max: int | None = None,
        uses_per_user_max: int | None = None,
    ) -> Coupon:
        """Codes are kept in capitals. Raises CouponExists."""
        coupon = Coupon(
            code=code.upper(),
            kind=kind,
            value=value,
            created_at=self._clock.now(),
            minimum_subtotal=minimum_subtotal,
            starts_at=starts_at,
            ends_at=ends_at,
            uses_max=uses_max,
            uses_per_user_max=uses_per_user_max,
        )
        coupon.check()
        if not await self._repository.add(coupon):
            raise CouponExists(f"There is a coupon {coupon.code}")
        return coupon

    async def get(self, code: str) -> Coupon:
        coupon = await self._repository.find(code.upper())
        if coupon is None:
            raise CouponNotFound()
        return coupon

    async def edit(self, code: str, version: int | None, **changes: Any) -> Coupon:
        """Changes the named fields. Raises CouponNotFound, or CouponMoved if another edit came first."""
        coupon = await self.get(code)
        if version is not None and version != coupon.version:
            raise CouponMoved(version=coupon.version)
        after = replace(coupon, **changes)
        after.check()
        if not await self._repository.edit(coupon, after):
            raise CouponMoved()
        return await self.get(code)

    async def by_code(self, after_code: str, limit: int) -> CouponPage:
        found = await self._repository.by_code(after_code, limit + 1)
        return CouponPage(tuple(found[:limit]), found[limit - 1].code if len(found) > limit else None)

    async def usable(self, code: str) -> Coupon:
        """Raises UnknownCoupon for a code that does not exist: a shopper is told no more than that."""
        coupon = await self._repository.find(code.upper())
        if coupon is None:
            raise UnknownCoupon(errors=[{"path": "couponCode", "message": "This coupon is not valid now"}])
        return coupon
