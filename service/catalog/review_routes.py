"""/api/products: reviews, written by who bought and published by staff."""

from datetime import datetime

from sanic import Blueprint

from service.catalog.models import (
    AlreadyReviewed,
    NotBought,
    ProductNotFound,
    ReviewNotFound,
    ReviewStatus,
    SignedAsStaff,
)
from service.catalog.reviews import ReviewPage, Reviews
from service.catalog.schemas import ModerationBody, PageQuery, ReviewBody, ReviewsReply, ReviewView, review_view
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.http.ready import ReadyReplies


def add(blueprint: Blueprint, reviews: Reviews, ready: ReadyReplies) -> None:
    @operation(
        blueprint,
        "GET",
        "/<id_or_slug:str>/reviews",
        "A product's published reviews, newest first",
        takes=PageQuery,
        returns={200: ReviewsReply, 304: None},
        access=Access.PUBLIC,
        limit="read",
        errors=(ProductNotFound,),
    )
    async def published(call: Call[PageQuery], id_or_slug: str) -> Reply:
        """Only those that staff have published."""

        async def view() -> ReviewsReply:
            return _reviews(await reviews.published(id_or_slug, _moment(call.taken.cursor), call.taken.limit))

        return await ready.reply(call, view)

    @operation(
        blueprint,
        "POST",
        "/<id_or_slug:str>/reviews",
        "Review a product; staff publish it",
        takes=ReviewBody,
        returns={201: ReviewView},
        access=Access.CUSTOMER,
        errors=(ProductNotFound, AlreadyReviewed, NotBought, SignedAsStaff),
        gives={"review_id": "/id"},
    )
    async def submit(call: Call[ReviewBody], id_or_slug: str) -> Reply:
        """By who has bought it, one review a customer and product, and not signed in the shop's name. It is shown, and
        counts in the rating, when staff have published it."""
        taken = call.taken
        review = await reviews.submit(id_or_slug, call.user.user_id, taken.author, taken.rating, taken.text)
        return Reply(201, review_view(review))

    @operation(
        blueprint,
        "GET",
        "/<id_or_slug:str>/reviews/mine",
        "Your own review of a product, published or not",
        returns={200: ReviewView},
        access=Access.CUSTOMER,
        errors=(ProductNotFound, ReviewNotFound),
    )
    async def own(call: Call[Nothing], id_or_slug: str) -> Reply:
        """404 `review_not_found` if you have written none."""
        return Reply(200, review_view(await reviews.own(id_or_slug, call.user.user_id)))

    @operation(
        blueprint,
        "GET",
        "/reviews",
        "Reviews waiting for moderation, oldest first",
        takes=PageQuery,
        returns={200: ReviewsReply},
        access=Access.STAFF,
        scope="catalog:read",
    )
    async def waiting(call: Call[PageQuery]) -> Reply:
        """Oldest first, for staff to publish or refuse one after the other."""
        return Reply(200, _reviews(await reviews.waiting(_moment(call.taken.cursor), call.taken.limit)))

    @operation(
        blueprint,
        "PATCH",
        "/reviews/<review_id:str>",
        "Publish or refuse a review",
        takes=ModerationBody,
        returns={200: ReviewView},
        access=Access.STAFF,
        scope="catalog:write",
        errors=(ReviewNotFound,),
    )
    async def moderate(call: Call[ModerationBody], review_id: str) -> Reply:
        """Publishing adds its stars to the product's rating, refusing takes them away again."""
        moderated = await reviews.moderate(review_id, ReviewStatus(call.taken.status))
        await ready.forget()
        return Reply(200, review_view(moderated))


def _moment(given: str | None) -> tuple[datetime, str] | None:
    if given is None:
        return None
    position = cursor.decode(given, cursor.TimePosition)
    return position.at, position.id


def _reviews(page: ReviewPage) -> ReviewsReply:
    after = None if page.next is None else cursor.encode(cursor.TimePosition(*page.next))
    return ReviewsReply(items=[review_view(review) for review in page.items], next_cursor=after)
