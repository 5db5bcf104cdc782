"""/api/orders/{id}/returns: goods that come back."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from sanic import Blueprint

from service.clock import Clock
from service.config import Config
from service.errors import Problem
from service.inventory.models import KeyReused, Line, StockLimit
from service.orders.buyers import Buyers
from service.orders.models import Order, OrderNotFound, WrongStatus
from service.orders.return_models import (
    ReturnLine,
    ReturnNotFound,
    ReturnStatus,
    ReturnTooLarge,
    TooManyReturns,
    WrongReturnStatus,
)
from service.orders.returns import Returns
from service.orders.schemas import LINES_MAX, Items, ReturnView, Sku, order_view
from service.orders.usecases import OrderResult
from service.web.http.access import Access
from service.web.http.operation import Call, Handler, Nothing, Reply, Wire, operation

Units = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, examples=[1])]
STEP_ERRORS = (OrderNotFound, ReturnNotFound, WrongReturnStatus, KeyReused)


class ReturnBody(Wire):
    items: Items
    reason: Annotated[str, msgspec.Meta(max_length=500, examples=["The handle is loose"])] = ""


class InspectedItem(Wire):
    """How many of the units can be sold again, are damaged, or are written off: together all that came."""

    sku: Sku
    restocked: Units = 0
    damaged: Units = 0
    written_off: Units = 0


class InspectBody(Wire):
    items: Annotated[list[InspectedItem], msgspec.Meta(min_length=1, max_length=LINES_MAX)]


class ReturnReply(Wire):
    returned: ReturnView = msgspec.field(name="return")


class ReturnsReply(Wire):
    """All of the order's, oldest first. `returnable` is what may still be requested, by SKU."""

    items: list[ReturnView]
    returnable: dict[str, int]


def routes(returns: Returns, buyers: Buyers, clock: Clock, config: Config) -> Blueprint:
    blueprint = Blueprint("returns", url_prefix="/api/orders")
    _steps(blueprint, returns, clock, config)

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/returns",
        "Ask to send goods back",
        takes=ReturnBody,
        returns={201: ReturnReply},
        access=Access.CUSTOMER,
        guests_too=True,
        scope="orders:write",
        errors=(OrderNotFound, WrongStatus, ReturnTooLarge, TooManyReturns, KeyReused),
        idempotent=True,
        gives={"return_id": "/return/id"},
    )
    async def request_return(call: Call[ReturnBody], order_id: str) -> Reply:
        """Of an order that was shipped, its customer or staff; never more units than were sent and have not come back.
        The money is given back apart from it, by a refund without `restock`."""
        order = await buyers.visible(call, order_id)
        lines = [Line(item.sku, item.quantity) for item in call.taken.items]
        key = call.idempotency_key(clock, config, order.user_id)
        asked = await returns.request(order_id, lines, call.taken.reason, _actor(call, order), key)
        return _reply(*asked, 201)

    @operation(
        blueprint,
        "GET",
        "/<order_id:str>/returns",
        "An order's returns",
        returns={200: ReturnsReply},
        access=Access.CUSTOMER,
        guests_too=True,
        scope="orders:read",
        errors=(OrderNotFound,),
    )
    async def list_returns(call: Call[Nothing], order_id: str) -> Reply:
        """Its customer's, or anybody's for staff."""
        order = await buyers.visible(call, order_id)
        left = order.returnable() if order.was_shipped else {}
        return Reply(200, ReturnsReply(items=order_view(order).returns, returnable=left))

    @operation(
        blueprint,
        "POST",
        "/<order_id:str>/returns/<return_id:str>/cancel",
        "Take back a request that nothing has come of",
        returns={200: ReturnReply},
        access=Access.CUSTOMER,
        guests_too=True,
        scope="orders:write",
        errors=STEP_ERRORS,
        idempotent=True,
    )
    async def cancel_return(call: Call[Nothing], order_id: str, return_id: str) -> Reply:
        """Only while it is `requested`; its units may be asked for again."""
        order = await buyers.visible(call, order_id)
        key = call.idempotency_key(clock, config, order.user_id)
        return _reply(*await returns.move(order_id, return_id, ReturnStatus.CANCELLED, _actor(call, order), key))

    return blueprint


def _steps(blueprint: Blueprint, returns: Returns, clock: Clock, config: Config) -> None:
    """What staff do with it."""

    async def moved(
        call: Call[Any], order_id: str, return_id: str, status: ReturnStatus, found: Sequence[ReturnLine] | None = None
    ) -> Reply:
        key = call.idempotency_key(clock, config)
        return _reply(*await returns.move(order_id, return_id, status, call.user.user_id, key, found))

    def step(
        name: str, summary: str, takes: type[Any] = Nothing, errors: tuple[type[Problem], ...] = STEP_ERRORS
    ) -> Callable[[Handler], Handler]:
        return operation(
            blueprint,
            "POST",
            f"/<order_id:str>/returns/<return_id:str>/{name}",
            summary,
            takes=takes,
            returns={200: ReturnReply},
            access=Access.STAFF,
            scope="orders:write",
            errors=errors,
            idempotent=True,
        )

    @step("receive", "The goods have arrived")
    async def receive_return(call: Call[Nothing], order_id: str, return_id: str) -> Reply:
        """`requested` → `received`. Nothing is on the shelf yet."""
        return await moved(call, order_id, return_id, ReturnStatus.RECEIVED)

    @step("inspect", "Say of every unit whether it can be sold again", InspectBody)
    async def inspect_return(call: Call[InspectBody], order_id: str, return_id: str) -> Reply:
        """`received` → `inspected`, and again until it is closed. Every unit is accounted for, or nothing is kept."""
        found = [ReturnLine(i.sku, 0, i.restocked, i.damaged, i.written_off) for i in call.taken.items]
        return await moved(call, order_id, return_id, ReturnStatus.INSPECTED, found)

    @step("close", "Put on the shelf what can be sold again", errors=(*STEP_ERRORS, StockLimit))
    async def close_return(call: Call[Nothing], order_id: str, return_id: str) -> Reply:
        """`inspected` → `closed`. The movements name the return as their `reference`; what is damaged or written off
        moves no stock."""
        return await moved(call, order_id, return_id, ReturnStatus.CLOSED)

    @step("refuse", "Refuse a return")
    async def refuse_return(call: Call[Nothing], order_id: str, return_id: str) -> Reply:
        """Until it is closed. Its units may be asked for again."""
        return await moved(call, order_id, return_id, ReturnStatus.REFUSED)


def _actor(call: Call[Any], order: Order) -> str:
    """A guest acts in the name that the order has."""
    return call.caller.user_id if call.caller else order.user_id


def _reply(answer: OrderResult, return_id: str, status: int = 200) -> Reply:
    found = next(one for one in order_view(answer.order).returns if one.id == return_id)
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else {}
    return Reply(status, ReturnReply(returned=found), headers)
