"""Wires orders: checkout, payment, refunds, and freeing what was held and not paid."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.cart.usecases import Carts
from service.catalog.offers import Offers
from service.config import Config
from service.infra.stores import Stores
from service.inventory.wiring import InventoryDomain
from service.messaging.mail import Fill
from service.orders.coupons import Coupons
from service.orders.expiry import Expiry
from service.orders.guest_links import GuestLinks
from service.orders.hold_limits import AccountHoldLimits, BuyerAccounts
from service.orders.postings import GUEST_ORDER
from service.orders.refunds import Refunds
from service.orders.repository import CouponRepository, OrderRepository
from service.orders.returns import Returns
from service.orders.settlement import Settlement
from service.orders.usecases import Orders, Terms
from service.payments.models import Gateway
from service.runtime import Runtime


def fills(config: Config) -> Mapping[str, Fill]:
    """What a guest's confirmation is given when it is sent: the token of the order."""
    return {GUEST_ORDER: GuestLinks(config).fill}


@dataclass(frozen=True, slots=True)
class OrdersDomain:
    repository: OrderRepository
    coupons: Coupons
    orders: Orders
    settlement: Settlement
    refunds: Refunds
    returns: Returns
    expiry: Expiry


def wire(
    runtime: Runtime,
    stores: Stores,
    repository: OrderRepository,
    accounts: BuyerAccounts,
    stock: InventoryDomain,
    offers: Offers,
    carts: Carts,
    gateway: Gateway,
) -> OrdersDomain:
    clock, config, ledger = runtime.clock, runtime.config, stock.ledger
    coupons = Coupons(CouponRepository(stores.database), clock)
    terms = Terms(offers, AccountHoldLimits(accounts, config), coupons)
    orders = Orders(repository, ledger, terms, carts, runtime)
    return OrdersDomain(
        repository,
        coupons,
        orders,
        Settlement(orders, repository, ledger, gateway, runtime),
        Refunds(orders, repository, ledger, gateway, runtime),
        Returns(orders, repository, ledger, runtime),
        Expiry(stock.inventory, ledger, clock, config),
    )
