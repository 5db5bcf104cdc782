"""All queries of carts and wishlists. A change of one line names that line only, so two tabs never undo each other."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from service.cart.models import Cart, CartLine, Owner, Wish
from service.infra.mongo.client import Database, Session

COLLECTION = "carts"


class CartRepository:
    def __init__(self, database: Database) -> None:
        self._carts = database[COLLECTION]

    async def find(self, owner: Owner, session: Session = None) -> Cart:
        document = await self._carts.find_one({"_id": owner.id}, session=session)
        return Cart(owner.id) if document is None else _to_cart(document)

    async def change_line(
        self, owner: Owner, line: CartLine, version: int | None, expires_at: datetime | None
    ) -> Cart | None:
        """The cart with the new quantity of a line it has, or None if it has none (or is not in `version`)."""
        changed = {"items.$.quantity": line.quantity, "items.$.unitPrice": line.unit_price}
        document = await self._carts.find_one_and_update(
            {"_id": owner.id, "items.sku": line.sku, **_in(version)},
            {"$set": {**changed, **_touched(line.added_at, expires_at)}, "$inc": {"version": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _to_cart(document)

    async def add_line(
        self, owner: Owner, line: CartLine, version: int | None, expires_at: datetime | None, lines_max: int
    ) -> Cart | None:
        """The cart with one more line; None if it has that line, is full, or is not in `version`."""
        room = {"items.sku": {"$ne": line.sku}, f"items.{lines_max - 1}": {"$exists": False}}
        try:
            document = await self._carts.find_one_and_update(
                {"_id": owner.id, **room, **_in(version)},
                {
                    "$push": {"items": _line_document(line)},
                    "$set": _touched(line.added_at, expires_at),
                    "$inc": {"version": 1},
                },
                upsert=version in {None, 0},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return None
        return None if document is None else _to_cart(document)

    async def remove_line(self, owner: Owner, sku: str, version: int | None, at: datetime) -> bool:
        result = await self._carts.update_one(
            {"_id": owner.id, "items.sku": sku, **_in(version)},
            {"$pull": {"items": {"sku": sku}}, "$set": {"updatedAt": at}, "$inc": {"version": 1}},
        )
        return bool(result.modified_count)

    async def empty(self, owner: Owner, version: int | None, at: datetime) -> bool:
        result = await self._carts.update_one({"_id": owner.id, **_in(version)}, emptying(at))
        return bool(result.modified_count)

    async def replace(self, owner: Owner, lines: Sequence[CartLine], at: datetime, session: Session) -> None:
        fields = {"items": [_line_document(line) for line in lines], "updatedAt": at}
        await self._carts.update_one(
            {"_id": owner.id}, {"$set": fields, "$inc": {"version": 1}}, upsert=True, session=session
        )

    async def delete(self, owner: Owner, session: Session = None) -> None:
        await self._carts.delete_one({"_id": owner.id}, session=session)


class WishlistRepository:
    """One document a wish, so that a list never outgrows a document and two devices never conflict."""

    def __init__(self, database: Database) -> None:
        self._wishes = database["wishes"]

    async def put(self, user_id: str, wish: Wish) -> Wish:
        """The wish as it is kept: one that was there before keeps its time."""
        fields = {"userId": user_id, "sku": wish.sku, "addedAt": wish.added_at}
        document = await self._wishes.find_one_and_update(
            {"_id": f"{user_id}:{wish.sku}"},
            {"$set": {"notify": wish.notify}, "$setOnInsert": fields},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _to_wish(document)

    async def remove(self, user_id: str, sku: str) -> Wish | None:
        document = await self._wishes.find_one_and_delete({"_id": f"{user_id}:{sku}"})
        return None if document is None else _to_wish(document)

    async def count(self, user_id: str, limit: int) -> int:
        found: int = await self._wishes.count_documents({"userId": user_id}, limit=limit)
        return found

    async def forget_user(self, user_id: str) -> None:
        await self._wishes.delete_many({"userId": user_id})

    async def wishers(self, sku: str, after_user: str, limit: int) -> list[str]:
        """Who wants to be told of that SKU, by user."""
        found = self._wishes.find({"sku": sku, "notify": True, "userId": {"$gt": after_user}}, {"userId": 1})
        return [document["userId"] for document in await found.sort("userId", 1).limit(limit).to_list(limit)]

    async def newest(self, user_id: str, before: tuple[datetime, str] | None, limit: int) -> list[Wish]:
        """Newest first, after the wish `before` names by time and SKU."""
        query: dict[str, Any] = {"userId": user_id}
        if before is not None:
            at, sku = before
            query["addedAt"] = {"$lte": at}
            query["$or"] = [{"addedAt": {"$lt": at}}, {"addedAt": at, "sku": {"$lt": sku}}]
        found = self._wishes.find(query).sort([("addedAt", -1), ("sku", -1)]).limit(limit)
        return [_to_wish(document) for document in await found.to_list(limit)]


def emptying(at: datetime) -> dict[str, Any]:
    return {"$set": {"items": [], "updatedAt": at}, "$inc": {"version": 1}}


def _in(version: int | None) -> dict[str, Any]:
    return {} if version is None else {"version": version}


def _touched(at: datetime, expires_at: datetime | None) -> dict[str, Any]:
    return {"updatedAt": at} if expires_at is None else {"updatedAt": at, "expiresAt": expires_at}


def _line_document(line: CartLine) -> dict[str, Any]:
    return {"sku": line.sku, "quantity": line.quantity, "unitPrice": line.unit_price, "addedAt": line.added_at}


def _to_cart(document: Mapping[str, Any]) -> Cart:
    lines = tuple(
        CartLine(item["sku"], item["quantity"], item["unitPrice"], item["addedAt"])
        for item in document.get("items", ())
    )
    return Cart(document["_id"], lines, document["version"])


def _to_wish(document: Mapping[str, Any]) -> Wish:
    return Wish(document["sku"], document["notify"], document["addedAt"])
