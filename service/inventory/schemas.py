"""Inventory on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from service.infra import json
from service.inventory.models import Movement, Reference, Stock
from service.inventory.repository import StockFilters
from service.messaging.sse_feed import State
from service.web.http.operation import Wire

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?![\s\S])"
Sku = Annotated[str, msgspec.Meta(pattern=SKU_PATTERN, examples=["85123A"])]
SKUS_MAX = 100
LINES_MAX = 1_000
QUANTITY_MAX = 1_000_000_000

Skus = Annotated[list[Sku], msgspec.Meta(min_length=1, max_length=SKUS_MAX, examples=[["85123A", "22423"]])]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Cursor = Annotated[str, msgspec.Meta(max_length=200)]


class AvailabilityQuery(Wire):
    sku: Skus


class AvailabilityView(Wire):
    """What is not sold (archived, dropped) has `available: 0` and `action: "unavailable"`, whatever is on the shelf."""

    sku: str
    available: int
    in_stock: bool
    low_stock: bool
    action: Literal["add_to_cart", "notify_me", "unavailable"]


class StreamQuery(Wire):
    sku: Skus


class StockEvent(AvailabilityView):
    """The data of a `stock` event. `version` only grows within an `epoch`, which grows when an older backup was put
    back."""

    version: int
    epoch: int = 0


class AvailabilityReply(Wire):
    """SKUs that do not exist are left out."""

    items: list[AvailabilityView]


class InventoryReply(Wire):
    """`version` grows with every movement."""

    sku: str
    product_id: str
    on_hand: int
    reserved: int
    available: int
    low_stock_threshold: int
    version: int
    on_sale: bool


ReferenceKind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}(?![\s\S])", examples=["delivery_note"])]
ReferenceId = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,80}(?![\s\S])", examples=["DN-2041"])]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=["damaged"])]


class ReferenceBody(Wire):
    """The document a movement belongs to."""

    kind: ReferenceKind
    id: ReferenceId

    def named(self) -> Reference:
        return Reference(self.kind, self.id)


class Goods(Wire):
    sku: Sku
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, examples=[24])]


class ReceiveBody(Wire):
    lines: Annotated[list[Goods], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    reason: Reason = "goods in"
    reference: ReferenceBody | None = None


class ReceiveReply(Wire):
    items: list[InventoryReply]


class AdjustBody(Wire):
    """`delta` is added to what is on hand; it is not 0."""

    delta: Annotated[
        int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX, examples=[-3], extra_json_schema={"not": {"const": 0}})
    ]
    reason: Reason
    reference: ReferenceBody | None = None

    def __post_init__(self) -> None:
        if self.delta == 0:
            raise ValueError("`delta` must not be 0")


class CountBody(Wire):
    """What lay on the shelf when the stock was at `countedAtSeq`, the `version` that was read before counting."""

    counted: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX, examples=[47])]
    counted_at_seq: Annotated[int, msgspec.Meta(ge=0, le=10**12, examples=[3])]
    reason: Reason = "count"
    reference: ReferenceBody | None = None


class StockQuery(Wire):
    """Filters combine. `prefix` is how the SKU begins. A `format` other than `json` is the whole list in one file."""

    limit: Limit = 24
    cursor: Cursor | None = None
    prefix: Annotated[str, msgspec.Meta(max_length=64)] = ""
    low: bool | None = None
    on_sale: bool | None = None
    in_stock: bool | None = None
    format: Literal["json", "csv", "jsonl"] = "json"

    def filters(self) -> StockFilters:
        return StockFilters(self.prefix, self.low, self.on_sale, self.in_stock)


class MovementsQuery(Wire):
    reference_kind: ReferenceKind
    reference_id: ReferenceId
    limit: Limit = 24
    cursor: Cursor | None = None


class ReasonsReply(Wire):
    """`only`: whether any other reason is refused."""

    items: list[str]
    only: bool


class ThresholdBody(Wire):
    low_stock_threshold: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX, examples=[10])]


class PageQuery(Wire):
    limit: Limit = 24
    cursor: Cursor | None = None


class LowStockReply(Wire):
    items: list[InventoryReply]
    next_cursor: str | None


class MovementView(Wire):
    """One entry of the ledger: what changed, and the state after it."""

    sku: str
    version: int
    kind: Literal["receive", "adjust", "count", "reserve", "confirm", "release", "expire", "sell", "restock", "correct"]
    on_hand_delta: int
    reserved_delta: int
    on_hand: int
    reserved: int
    available: int
    actor: str
    reason: str
    order_id: str | None
    reference: ReferenceBody | None
    at: datetime


class HistoryReply(Wire):
    items: list[MovementView]
    next_cursor: str | None


def availability_view(stock: Stock) -> AvailabilityView:
    return AvailabilityView(
        sku=stock.sku,
        available=stock.sellable,
        in_stock=stock.sellable > 0,
        low_stock=stock.low,
        action=_action(stock.sellable, stock.on_sale),
    )


def _action(available: int, on_sale: bool) -> Literal["add_to_cart", "notify_me", "unavailable"]:
    if not on_sale:
        return "unavailable"
    return "add_to_cart" if available > 0 else "notify_me"


VERSIONS_OF_AN_EPOCH = 10**9  # movements of one SKU; epochs are seconds, and both together fit 63 bits


def stock_state(sku: str, version: int, available: int, threshold: int, on_sale: bool = True, epoch: int = 0) -> State:
    """What the stock stream sends of a SKU. `available` is what can be bought."""
    event = StockEvent(
        sku=sku,
        available=available,
        in_stock=available > 0,
        low_stock=on_sale and available <= threshold,
        action=_action(available, on_sale),
        version=version,
        epoch=epoch,
    )
    return State(sku, epoch * VERSIONS_OF_AN_EPOCH + version, msgspec.Raw(json.encode(event)))


def inventory_view(stock: Stock) -> InventoryReply:
    return InventoryReply(
        sku=stock.sku,
        product_id=stock.product_id,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        low_stock_threshold=stock.threshold,
        version=stock.seq,
        on_sale=stock.on_sale,
    )


def movement_view(movement: Movement) -> MovementView:
    return MovementView(
        sku=movement.sku,
        version=movement.seq,
        kind=movement.kind.value,
        on_hand_delta=movement.on_hand_delta,
        reserved_delta=movement.reserved_delta,
        on_hand=movement.on_hand,
        reserved=movement.reserved,
        available=movement.on_hand - movement.reserved,
        actor=movement.actor,
        reason=movement.reason,
        order_id=movement.order_id,
        reference=_reference(movement.reference),
        at=movement.at,
    )


def _reference(reference: Reference | None) -> ReferenceBody | None:
    return None if reference is None else ReferenceBody(kind=reference.kind, id=reference.id)
