"""Mapping between the documents of inventory in MongoDB and its models: stock, holds and movements, field by field."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict

from service.inventory.models import Hold, HoldStatus, Lapsed, Line, Movement, MovementKind, Reference, Stock

STOCK_FIELDS = {
    "onHand": 1,
    "reserved": 1,
    "seq": 1,
    "lowStockThreshold": 1,
    "productId": 1,
    "onSale": 1,
    "countedSeq": 1,
}
HOLD_FIELDS = {
    **{"_id": 0, "orderId": 1, "userId": 1, "sku": 1, "quantity": 1},
    **{"status": 1, "expiresAt": 1, "resolvedAt": 1},
}
LAPSED_FIELDS = {"orderId": 1, "userId": 1, "expiresAt": 1, "sku": 1, "coupon": 1}
HOLD_PRECEDENCE = (HoldStatus.ACTIVE, HoldStatus.CONFIRMED, HoldStatus.RELEASED, HoldStatus.EXPIRED)
SEQ_DIGITS = 12


def to_stock(document: Mapping[str, Any]) -> Stock:
    return Stock(
        document["_id"],
        document["onHand"],
        document["reserved"],
        document["seq"],
        document["lowStockThreshold"],
        document["productId"],
        document.get("onSale", True),
        document.get("countedSeq", 0),
    )


def history_id(sku: str, seq: int) -> str:
    """One SKU's entries lie together in order, so the primary key is also the index of its history."""
    return f"{sku}#{seq:0{SEQ_DIGITS}d}"


def to_hold(documents: Sequence[Mapping[str, Any]]) -> Hold:
    """An order whose expired hold was sold again has two sets of reservations: the one that counts comes first."""
    present = {document["status"] for document in documents}
    status = next(status for status in HOLD_PRECEDENCE if status.value in present)
    lines = [document for document in documents if document["status"] == status.value]
    return Hold(
        lines[0]["orderId"],
        lines[0]["userId"],
        tuple(Line(document["sku"], document["quantity"]) for document in lines),
        status,
        lines[0]["expiresAt"],
        lines[0].get("resolvedAt"),
    )


def to_lapsed(document: Mapping[str, Any]) -> Lapsed:
    return Lapsed(document["orderId"], document["userId"], document["expiresAt"], document.get("coupon"))


def stock_fields(stock: Stock, now: datetime) -> dict[str, Any]:
    return {
        "onHand": stock.on_hand,
        "reserved": stock.reserved,
        "available": stock.available,
        "low": stock.low,
        "lowStockThreshold": stock.threshold,
        "seq": stock.seq,
        "updatedAt": now,
        **({"countedSeq": stock.counted_seq} if stock.counted_seq else {}),
    }


def history_document(movement: Movement) -> dict[str, Any]:
    return {
        "_id": history_id(movement.sku, movement.seq),
        "sku": movement.sku,
        "seq": movement.seq,
        "kind": movement.kind.value,
        "onHandDelta": movement.on_hand_delta,
        "reservedDelta": movement.reserved_delta,
        "onHand": movement.on_hand,
        "reserved": movement.reserved,
        "actor": movement.actor,
        "reason": movement.reason,
        "orderId": movement.order_id,
        "at": movement.at,
        **({} if movement.reference is None else {"reference": asdict(movement.reference)}),
    }


def reference_prefix(reference: Reference) -> str:
    return f"{reference.kind}\n{reference.id}\n"


def reference_documents(movements: Sequence[Movement]) -> list[dict[str, Any]]:
    """Beside the history, so that movements without a reference cost no index: the primary key leads to the entries."""
    return [
        {"_id": reference_prefix(each.reference) + history_id(each.sku, each.seq)}
        for each in movements
        if each.reference is not None
    ]


def to_movement(document: Mapping[str, Any]) -> Movement:
    return Movement(
        document["sku"],
        document["seq"],
        MovementKind(document["kind"]),
        document["onHandDelta"],
        document["reservedDelta"],
        document["onHand"],
        document["reserved"],
        document["actor"],
        document["reason"],
        document["orderId"],
        document["at"],
        Reference(**document["reference"]) if document.get("reference") else None,
    )


def reservation_documents(hold: Hold, now: datetime) -> list[dict[str, Any]]:
    sold_again = hold.status is HoldStatus.CONFIRMED
    mark = "r" if sold_again else ""
    noted = {} if hold.coupon is None else {"coupon": hold.coupon}
    return [
        {
            "_id": f"{hold.order_id}:{mark}{number}",
            "orderId": hold.order_id,
            "userId": hold.user_id,
            "sku": line.sku,
            "quantity": line.quantity,
            "status": hold.status.value,
            "expiresAt": hold.expires_at,
            "createdAt": now,
            "resolvedAt": now if sold_again else None,
            **noted,
        }
        for number, line in enumerate(hold.lines)
    ]
