"""The queries of reviews. A review is moderated by a write that names the status it expects."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from service.catalog.models import AlreadyReviewed, Review, ReviewStatus
from service.infra.mongo.client import Database, Session

REVIEWS = "reviews"

Place = tuple[datetime, str]


class ReviewRepository:
    def __init__(self, database: Database) -> None:
        self._reviews = database[REVIEWS]

    async def insert(self, review: Review) -> None:
        try:
            await self._reviews.insert_one(_to_document(review))
        except DuplicateKeyError as error:
            raise AlreadyReviewed() from error

    async def find(self, review_id: str, session: Session = None) -> Review | None:
        document = await self._reviews.find_one({"_id": review_id}, session=session)
        return None if document is None else _to_review(document)

    async def of(self, product_id: str, user_id: str) -> Review | None:
        document = await self._reviews.find_one({"productId": product_id, "userId": user_id})
        return None if document is None else _to_review(document)

    async def of_user(self, user_id: str, limit: int) -> list[Review]:
        found = self._reviews.find({"userId": user_id}).limit(limit)
        return [_to_review(document) for document in await found.to_list(limit)]

    async def forget_user(self, user_id: str) -> None:
        """What was said of a product stays, without the name."""
        await self._reviews.update_many({"userId": user_id}, {"$set": {"author": "A customer"}})

    async def move(self, review: Review, status: ReviewStatus, session: Session) -> None:
        """Meant for a transaction that has read `review`."""
        result = await self._reviews.update_one(
            {"_id": review.id, "status": review.status.value}, {"$set": {"status": status.value}}, session=session
        )
        assert result.matched_count == 1, "the review moved inside the transaction that read it"

    async def approved(self, product_id: str, before: Place | None, limit: int) -> list[Review]:
        """A product's published reviews, newest first."""
        query: dict[str, Any] = {"productId": product_id, "status": ReviewStatus.APPROVED.value}
        return await self._walk(query, -1, before, limit)

    async def pending(self, after: Place | None, limit: int) -> list[Review]:
        """Those waiting for moderation, oldest first."""
        return await self._walk({"status": ReviewStatus.PENDING.value}, 1, after, limit)

    async def _walk(self, query: dict[str, Any], direction: int, place: Place | None, limit: int) -> list[Review]:
        if place is not None:
            at, review_id = place
            beyond, on = ("$gt", "$gte") if direction == 1 else ("$lt", "$lte")
            ties = {"createdAt": at, "_id": {beyond: review_id}}
            query = {**query, "createdAt": {on: at}, "$or": [{"createdAt": {beyond: at}}, ties]}
        found = self._reviews.find(query).sort([("createdAt", direction), ("_id", direction)]).limit(limit)
        return [_to_review(document) for document in await found.to_list(limit)]


def _to_document(review: Review) -> dict[str, Any]:
    return {
        "_id": review.id,
        "productId": review.product_id,
        "userId": review.user_id,
        "author": review.author,
        "stars": review.stars,
        "text": review.text,
        "status": review.status.value,
        "createdAt": review.created_at,
    }


def _to_review(document: Mapping[str, Any]) -> Review:
    return Review(
        document["_id"],
        document["productId"],
        document["userId"],
        document["author"],
        document["stars"],
        document["text"],
        ReviewStatus(document["status"]),
        document["createdAt"],
    )
