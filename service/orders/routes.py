"""/api/orders"""

from typing import Any

from sanic import Blueprint

from service.cart.models import CartChangedDuringCheckout, EmptyCart
from service.clock import Clock
from service.config import Config
from service.errors import Forbidden
from service.inventory.allowance import TooMuchHeld
from service.inventory.models import InsufficientStock, KeyReused, Line, ReservationExpired
from service.orders import guest_routes
from service.orders.buyers import Buyers
from service.orders.models import (
    CouponChanged,
    CouponNotValid,
    CouponUsedUp,
    IdempotencyInProgress,
    OrderNotFound,
    OrderStatus,
    OrderTooLarge,
    PaymentInProgress,
    RefundTooLarge,
    TotalChanged,
    UnknownCoupon,
    UnknownItems,
    VerificationNeeded,
    WrongStatus,
)
from service.orders.refunds import Refunds
from service.orders.schemas import (
    CheckoutBody,
    EventReply,
    OrderReply,
    OrdersQuery,
    OrdersReply,
    PayBody,
    PaymentActionView,
    PayReply,
    PlacedReply,
    RefundBody,
    ShipBody,
    order_example,
    order_view,
)
from service.orders.settlement import Settlement
from service.orders.usecases import OrderResult, Orders
from service.payments.models import BadSignature, CardNumber, PaymentDeclined, PaymentUnknown
from service.payments.webhooks import Webhooks
from service.web.http import cursor
from service.web.http.access import Access, Principal
from service.web.http.operation import Call, Nothing, Reply, operation

ONE = {200: OrderReply}
GUESSES = "guess"


def routes(
    orders: Orders, settlement: Settlement, refunds: Refunds, buyers: Buyers, clock: Clock, config: Config
) -> Blueprint:
    blueprint = Blueprint("orders", url_prefix="/api/orders")

    @operation(
        blueprint,
        "POST",
        "/",
        "Check out: the order is placed and its stock held, all lines or none",
        takes=CheckoutBody,
        returns={201: PlacedReply},
        access=Access.CUSTOMER,
        guests_too=True,
        limit="checkout",
        lines_of=lambda taken: len(taken.items or ()),
        errors=(
            InsufficientStock,
            UnknownItems,
            OrderTooLarge,
            TooMuchHeld,
            VerificationNeeded,
            TotalChanged,
            EmptyCart,
            CartChangedDuringCheckout,
            CouponNotValid,
            CouponUsedUp,
            CouponChanged,
            KeyReused,
        ),
        idempotent=True,
        gives={"order_id": "/order/id"},
        example={"order": order_example("pending")},
    )
    async def checkout(call: Call[CheckoutBody]) -> Reply:
        """Either `items` or `fromCart: true`, at the catalogue's prices. The stock is held until
        `reservation.expiresAt`. If a line is short nothing is held: 409 with `shortages`. Send an `Idempotency-Key`,
        and after a lost answer the same request again: it answers with the same order.

        Guests send `email`, and are told by mail as well; they pay, cancel and see the order under their cookie or with
        `orderToken` as `X-Order-Token`. An account that has verified the same address can claim it once it is paid."""
        if call.taken.coupon_code is None:
            return await placed(call)
        limits = call.request.app.ctx.layers
        await limits.also_limit(call.request, GUESSES, 0)
        try:
            return await placed(call)
        except UnknownCoupon:
            await limits.also_limit(call.request, GUESSES)
            raise

    async def placed(call: Call[CheckoutBody]) -> Reply:
        taken, buyer = call.taken, await buyers.of(call, call.taken.email)
        terms = (
            call.idempotency_key(clock, config, buyer.key_owner),
            taken.coupon_code,
            taken.expected_total,
            taken.shipping_address,
            buyer.email,
        )
        if taken.from_cart:
            result = await orders.checkout_cart(buyer.user_id, *terms)
        else:
            result = await orders.checkout(buyer.user_id, taken.lines(), *terms)
        order, headers = result.order, _headers(result)
        body = PlacedReply(order=order_view(order), order_token=buyers.token(buyer, order))
        return Reply(201, body, headers, cookies=buyers.cookies(buyer, order))

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/pay",
        "Pay: the held stock is sold, or freed when the payment is declined",
        takes=PayBody,
        returns={200: PayReply},
        access=Access.CUSTOMER,
        guests_too=True,
        limit="checkout",
        errors=(
            PaymentDeclined,
            OrderNotFound,
            WrongStatus,
            ReservationExpired,
            PaymentInProgress,
            IdempotencyInProgress,
            KeyReused,
            PaymentUnknown,
            CardNumber,
            CouponUsedUp,
            CouponChanged,
        ),
        idempotent=True,
        example={"order": order_example("paid")},
    )
    async def pay(call: Call[PayBody], order_id: str) -> Reply:
        """Within the hold the stock is certain. Declined: 402, the stock is free and the order cancelled. After the
        hold it is reserved again if there is enough, else 409 `reservation_expired` and the money goes back; a coupon
        that somebody else has used up meanwhile is 409 `coupon_used_up`, and nothing is charged. If the
        provider does not answer, 503 `payment_unknown`: ask again with the same key.

        Where the customer has to do something first, such as 3-D Secure, 200 has `payment` with `requires_action` and
        the provider's `clientSecret`, and the order is still pending. Afterwards ask again, or wait for the provider's
        event; asked again before, the answer is the same session. What is not done by the end of the hold is closed."""
        order = await buyers.own(call, order_id)
        result = await settlement.pay(
            order, call.taken.payment_method, call.idempotency_key(clock, config, order.user_id)
        )
        return _paying(result)

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/cancel",
        "Cancel a pending order and free its stock",
        returns=ONE,
        access=Access.CUSTOMER,
        guests_too=True,
        scope="orders:write",
        errors=(OrderNotFound, WrongStatus, PaymentInProgress, KeyReused),
        idempotent=True,
        example={"order": order_example("cancelled")},
    )
    async def cancel(call: Call[Nothing], order_id: str) -> Reply:
        """Frees the held stock at once. Not while a payment is being made, and not after it: 409. One that waits
        for the customer is closed first."""
        order = await buyers.visible(call, order_id)
        actor = call.caller.user_id if call.caller else order.user_id
        return _reply(await settlement.cancel(order, actor, call.idempotency_key(clock, config, order.user_id)))

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/refund",
        "Refund a paid order, in part or whole, and restock it when asked",
        takes=RefundBody,
        returns=ONE,
        access=Access.STAFF,
        scope="orders:write",
        errors=(OrderNotFound, WrongStatus, RefundTooLarge, KeyReused),
        idempotent=True,
        example={"order": order_example("refunded")},
    )
    async def refund(call: Call[RefundBody], order_id: str) -> Reply:
        """Without `items` everything that is left. `restock` puts the goods back on the shelf; the money goes back by
        the way it came."""
        lines = [Line(item.sku, item.quantity) for item in call.taken.items or ()]
        answer = await refunds.refund(
            order_id, lines, call.taken.restock, call.user.user_id, call.idempotency_key(clock, config)
        )
        return _reply(answer)

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/ship",
        "Mark a paid order as shipped",
        takes=ShipBody,
        body_optional=True,
        returns=ONE,
        access=Access.STAFF,
        scope="orders:write",
        errors=(OrderNotFound, WrongStatus),
        example={"order": order_example("shipped")},
    )
    async def ship(call: Call[ShipBody], order_id: str) -> Reply:
        """Only a paid order can be shipped: 409 `wrong_status` otherwise. The body is optional: `trackingNumber` is
        shown with the order."""
        return _reply(OrderResult(await orders.ship(order_id, call.user.user_id, call.taken.tracking_number)))

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/deliver",
        "Mark a shipped order as delivered",
        returns=ONE,
        access=Access.STAFF,
        scope="orders:write",
        errors=(OrderNotFound, WrongStatus),
        example={"order": order_example("delivered")},
    )
    async def deliver(call: Call[Nothing], order_id: str) -> Reply:
        """Only a shipped order can be delivered: 409 `wrong_status` otherwise."""
        return _reply(OrderResult(await orders.deliver(order_id, call.user.user_id)))

    @operation(
        blueprint,
        "GET",
        "/",
        "Your orders, newest first; staff may ask for a user's, for a status, or for all",
        takes=OrdersQuery,
        returns={200: OrdersReply},
        access=Access.CUSTOMER,
        scope="orders:read",
        errors=(Forbidden,),
        example={"items": [order_example("paid"), order_example("cancelled")]},
    )
    async def history(call: Call[OrdersQuery]) -> Reply:
        """Customers see their own orders; `userId` is for staff. `number` finds one order by what is printed on its
        papers."""
        taken = call.taken
        position = None if taken.cursor is None else cursor.decode(taken.cursor, cursor.TimePosition)
        page = await orders.newest(
            _whose(call.user, taken),
            None if taken.status is None else OrderStatus(taken.status),
            None if position is None else (position.at, position.id),
            taken.limit,
            taken.number,
        )
        after = None if page.next_before is None else cursor.encode(cursor.TimePosition(*page.next_before))
        return Reply(200, OrdersReply(items=[order_view(order) for order in page.items], next_cursor=after))

    @operation(
        blueprint,
        "GET",
        "/<order_id:str>",
        "One order",
        returns=ONE,
        access=Access.CUSTOMER,
        guests_too=True,
        scope="orders:read",
        errors=(OrderNotFound,),
        example={"order": order_example("pending")},
    )
    async def one(call: Call[Nothing], order_id: str) -> Reply:
        """Somebody else's order is answered with 404, for customers. `paymentStatus` `processing` or `unknown` means:
        ask again in a moment."""
        return _reply(OrderResult(await buyers.visible(call, order_id)))

    guest_routes.add(blueprint, orders)
    return blueprint


def webhook_routes(settlement: Settlement, webhooks: Webhooks) -> Blueprint:
    blueprint = Blueprint("payment_webhooks", url_prefix="/api/orders/webhooks")

    @operation(
        blueprint,
        "POST",
        "/payment",
        "The payment provider's signed event",
        takes=dict[str, Any],
        returns={200: EventReply},
        access=Access.PUBLIC,
        limit="webhook",
        errors=(BadSignature,),
    )
    async def payment_event(call: Call[dict[str, Any]]) -> Reply:
        """Verified by the provider's signature over the body. The same event twice changes nothing: `repeated` says so.
        No credentials are needed or looked at."""
        signature = call.request.headers.get(webhooks.header)
        new = await webhooks.receive(call.request.body, signature, settlement.settled_by_provider)
        return Reply(200, EventReply(received=True, repeated=not new))

    return blueprint


def _whose(user: Principal, query: OrdersQuery) -> str | None:
    """Whose orders are listed. A customer sees their own and may not ask for more; staff see all or one user's."""
    if user.access >= Access.STAFF:
        return query.user_id
    if query.user_id not in {None, user.user_id}:
        raise Forbidden("You may list your own orders only")
    return user.user_id


def _reply(answer: OrderResult, status: int = 200) -> Reply:
    return Reply(status, OrderReply(order=order_view(answer.order)), _headers(answer))


def _paying(result: OrderResult) -> Reply:
    """Paid, or what the customer has to do first."""
    if result.client_secret is None:
        return Reply(200, PayReply(order=order_view(result.order)), _headers(result))
    action = PaymentActionView(status="requires_action", client_secret=result.client_secret)
    return Reply(200, PayReply(order=order_view(result.order), payment=action))


def _headers(answer: OrderResult) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if answer.replayed else {}
