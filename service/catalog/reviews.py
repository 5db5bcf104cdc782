"""Reviews: one per customer and product, published by staff; only published ones count in the rating."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from service.catalog.models import NotBought, Review, ReviewNotFound, ReviewStatus, check_signature
from service.catalog.review_repository import Place, ReviewRepository
from service.catalog.usecases import Catalog
from service.clock import Clock
from service.ids import Ids
from service.infra.mongo.client import Session, Transactions


@dataclass(frozen=True, slots=True)
class ReviewPage:
    items: tuple[Review, ...]
    next: tuple[datetime, str] | None


class PastBuyers(Protocol):
    async def has_bought(self, user_id: str, product_id: str) -> bool:
        """Whether the customer has paid for it, in whatever variant."""


class Reviews:
    def __init__(
        self,
        repository: ReviewRepository,
        catalog: Catalog,
        buyers: PastBuyers,
        transactions: Transactions,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._repository, self._catalog, self._buyers = repository, catalog, buyers
        self._transactions, self._clock, self._ids = transactions, clock, ids

    async def submit(self, id_or_slug: str, user_id: str, author: str, stars: int, text: str) -> Review:
        """Waits for moderation. Raises ProductNotFound, NotBought, SignedAsStaff, AlreadyReviewed."""
        product = await self._catalog.on_sale(id_or_slug)
        check_signature(author)
        if not await self._buyers.has_bought(user_id, product.id):
            raise NotBought(f"Buy {product.name} first, then tell others what you think of it")
        review = Review(
            self._ids.new(), product.id, user_id, author, stars, text, ReviewStatus.PENDING, self._clock.now()
        )
        await self._repository.insert(review)
        return review

    async def own(self, id_or_slug: str, user_id: str) -> Review:
        """What this customer wrote, published or not."""
        product = await self._catalog.on_sale(id_or_slug)
        review = await self._repository.of(product.id, user_id)
        if review is None:
            raise ReviewNotFound("You have not reviewed this product")
        return review

    async def published(self, id_or_slug: str, before: Place | None, limit: int) -> ReviewPage:
        """Newest first."""
        product = await self._catalog.on_sale(id_or_slug)
        return _page(await self._repository.approved(product.id, before, limit + 1), limit)

    async def waiting(self, after: Place | None, limit: int) -> ReviewPage:
        """Oldest first."""
        return _page(await self._repository.pending(after, limit + 1), limit)

    async def moderate(self, review_id: str, status: ReviewStatus) -> Review:
        """Publishes or refuses a review, also one that was decided before; the rating follows in the same transaction,
        so a decision made twice counts once."""

        async def body(session: Session) -> Review:
            review = await self._repository.find(review_id, session)
            if review is None:
                raise ReviewNotFound()
            if review.status is status:
                return review
            await self._repository.move(review, status, session)
            await self._rate(review, status, session)
            return replace(review, status=status)

        return await self._transactions.run(body)

    async def _rate(self, review: Review, status: ReviewStatus, session: Session) -> None:
        counted = (status is ReviewStatus.APPROVED) - (review.status is ReviewStatus.APPROVED)
        if not counted:
            return
        await self._catalog.rate(review.product_id, counted, review.stars, session)


def _page(found: list[Review], limit: int) -> ReviewPage:
    last = found[limit - 1] if len(found) > limit else None
    return ReviewPage(tuple(found[:limit]), None if last is None else (last.created_at, last.id))
