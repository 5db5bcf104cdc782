"""What each domain keeps of a person: collected for an export, forgotten when the account is erased."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.alerts.repository import SubscriptionRepository
from service.auth.personal_data import RECORDS_MAX, Collect
from service.cart.models import Owner
from service.cart.repository import CartRepository, WishlistRepository
from service.catalog.review_repository import ReviewRepository
from service.events import AccountErased
from service.messaging.outbox import Fact
from service.messaging.relay import Consumer
from service.orders.repository import ShippingAddresses
from service.orders.usecases import Orders


def collectors(database: Any, orders: Orders) -> Mapping[str, Collect]:
    """By the name that the records have in the export."""
    carts, wishes, waiting = CartRepository(database), WishlistRepository(database), SubscriptionRepository(database)
    reviews = ReviewRepository(database)

    async def own_orders(user_id: str) -> Sequence[Any]:
        return (await orders.newest(user_id, None, None, RECORDS_MAX)).items

    async def cart(user_id: str) -> Sequence[Any]:
        return (await carts.find(Owner.user(user_id))).lines

    return {
        "orders": own_orders,
        "cart": cart,
        "wishlist": lambda user_id: wishes.newest(user_id, None, RECORDS_MAX),
        "reviews": lambda user_id: reviews.of_user(user_id, RECORDS_MAX),
        "notices": lambda user_id: waiting.of_user(user_id, RECORDS_MAX),
    }


def forgetting(database: Any) -> Consumer:
    """Follows the erasures that were committed."""
    carts, wishes, waiting = CartRepository(database), WishlistRepository(database), SubscriptionRepository(database)
    reviews, addresses = ReviewRepository(database), ShippingAddresses(database)

    async def forget(facts: Sequence[Fact]) -> None:
        for erased in (fact.event for fact in facts if isinstance(fact.event, AccountErased)):
            await carts.delete(Owner.user(erased.user_id))
            for repository in (wishes, waiting, reviews, addresses):
                await repository.forget_user(erased.user_id)

    return forget
