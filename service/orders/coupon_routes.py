"""/api/orders/coupons"""

from msgspec import UNSET
from sanic import Blueprint

from service.orders.coupons import CouponMoved, Coupons
from service.orders.models import CouponExists, CouponKind, CouponNotFound
from service.orders.schemas import CouponBody, CouponChanges, CouponReply, CouponsQuery, CouponsReply, coupon_view
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


def routes(coupons: Coupons) -> Blueprint:
    blueprint = Blueprint("coupons", url_prefix="/api/orders/coupons")
    one = {200: CouponReply}

    @operation(
        blueprint,
        "POST",
        "/",
        "Make a coupon",
        takes=CouponBody,
        returns={201: CouponReply},
        access=Access.STAFF,
        scope="coupons:write",
        errors=(CouponExists,),
        gives={"code": "/coupon/code"},
    )
    async def create_coupon(call: Call[CouponBody]) -> Reply:
        """`value` is in percent or in minor units by `kind`. Limits that are not given do not apply."""
        fields = {name: getattr(call.taken, name) for name in call.taken.__struct_fields__}
        coupon = await coupons.create(**{**fields, "kind": CouponKind(call.taken.kind)})
        return Reply(201, CouponReply(coupon=coupon_view(coupon)))

    @operation(
        blueprint,
        "GET",
        "/",
        "Coupons, by code",
        takes=CouponsQuery,
        returns={200: CouponsReply},
        access=Access.STAFF,
        scope="coupons:read",
    )
    async def list_coupons(call: Call[CouponsQuery]) -> Reply:
        """All coupons in the order of their codes, with how often each was used."""
        position = "" if call.taken.cursor is None else cursor.decode(call.taken.cursor, str)
        page = await coupons.by_code(position, call.taken.limit)
        items = [coupon_view(coupon) for coupon in page.items]
        return Reply(
            200,
            CouponsReply(items=items, next_cursor=None if page.next_code is None else cursor.encode(page.next_code)),
        )

    @operation(
        blueprint,
        "GET",
        "/<code:str>",
        "One coupon and how often it was used",
        returns=one,
        access=Access.STAFF,
        scope="coupons:read",
        errors=(CouponNotFound,),
    )
    async def one_coupon(call: Call[Nothing], code: str) -> Reply:
        """Codes are found as they were made; `used` counts orders that stand."""
        return Reply(200, CouponReply(coupon=coupon_view(await coupons.get(code))))

    @operation(
        blueprint,
        "PATCH",
        "/<code:str>",
        "Change a coupon's limits, its time, or switch it off",
        takes=CouponChanges,
        returns=one,
        access=Access.STAFF,
        scope="coupons:write",
        errors=(CouponNotFound, CouponMoved),
    )
    async def edit_coupon(call: Call[CouponChanges], code: str) -> Reply:
        """Orders that were placed keep their discount. Send `version` to refuse overwriting somebody else's change."""
        version = None if call.taken.version is UNSET else call.taken.version
        coupon = await coupons.edit(code, version, **call.taken.changes())
        return Reply(200, CouponReply(coupon=coupon_view(coupon)))

    return blueprint
