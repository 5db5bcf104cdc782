"""Wires carts, and wishlists, which follow the stock."""

from service.alerts.usecases import Notices
from service.cart.repository import CartRepository, WishlistRepository
from service.cart.usecases import Carts
from service.cart.wishlists import Wishlists
from service.catalog.offers import Offers
from service.infra.stores import Stores
from service.inventory.usecases import Inventory
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime


def wire(runtime: Runtime, stores: Stores, work: UnitOfWork, offers: Offers, inventory: Inventory) -> Carts:
    repository = CartRepository(stores.database)
    return Carts(repository, offers, inventory, work.transactions, runtime.clock, runtime.config)


def wire_wishlists(
    runtime: Runtime, stores: Stores, offers: Offers, inventory: Inventory, notices: Notices
) -> Wishlists:
    repository = WishlistRepository(stores.database)
    return Wishlists(repository, offers, inventory, notices, runtime.clock, runtime.config)
