"""/api/orders: what becomes of a guest's order afterwards."""

from sanic import Blueprint

from service.orders.models import NotClaimable, OrderNotFound, VerificationNeeded
from service.orders.schemas import OrderReply, order_view
from service.orders.usecases import Orders
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


def add(blueprint: Blueprint, orders: Orders) -> None:
    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/claim",
        "Claim an order that you placed as a guest",
        returns={200: OrderReply},
        access=Access.CUSTOMER,
        errors=(OrderNotFound, NotClaimable, VerificationNeeded),
    )
    async def claim(call: Call[Nothing], order_id: str) -> Reply:
        """For the account that has verified the address the guest gave: 404 for any other. The order is in your history
        from then on, and the mailed link opens it no more. Once it is paid or cancelled; 409 `not_claimable` before."""
        return Reply(200, OrderReply(order=order_view(await orders.claim(order_id, call.user.user_id))))

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/forget",
        "Forget the guest who placed an order; the order is kept",
        returns={204: None},
        access=Access.ADMIN,
        errors=(OrderNotFound, NotClaimable),
    )
    async def forget_guest(call: Call[Nothing], order_id: str) -> Reply:
        """For a person without an account who asks to be erased: the e-mail address and the shipping address go, and
        the mailed link opens the order no more."""
        await orders.forget_guest(order_id)
        return Reply(204)
