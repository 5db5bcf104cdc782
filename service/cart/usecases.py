"""Carts of users and guests. Prices and stock are read fresh with every look; nothing is held."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.cart.models import (
    Cart,
    CartChanged,
    CartFull,
    CartLine,
    CartMoved,
    EmptyCart,
    LineState,
    NotSold,
    Owner,
    PricedCart,
    PricedLine,
)
from service.cart.repository import COLLECTION, CartRepository, emptying
from service.catalog.offers import Offer, Offers
from service.clock import Clock
from service.config import Config
from service.errors import Unavailable
from service.infra.mongo.client import Session, Transactions
from service.inventory.models import Expect, Line, Stock, Write
from service.inventory.usecases import Inventory

ATTEMPTS_MAX = 8


@dataclass(frozen=True, slots=True)
class Emptied:
    """What a checkout adds to its posting: the cart must be as it was read, and is left empty."""

    lines: tuple[Line, ...]
    expect: Expect
    write: Write


class Carts:
    def __init__(
        self,
        repository: CartRepository,
        offers: Offers,
        inventory: Inventory,
        transactions: Transactions,
        clock: Clock,
        config: Config,
    ) -> None:
        self._repository, self._offers, self._inventory = repository, offers, inventory
        self._transactions, self._clock, self._config = transactions, clock, config

    def none(self) -> PricedCart:
        """What somebody sees who has no cart."""
        return PricedCart((), self._config.currency, 0)

    async def view(self, owner: Owner) -> PricedCart:
        return await self._priced(await self._repository.find(owner))

    async def put(self, owner: Owner, sku: str, quantity: int, version: int | None = None) -> PricedCart:
        """Sets a line's quantity; 0 removes it. Raises NotSold, CartFull, CartMoved (not in `version` any more)."""
        if quantity == 0:
            return await self.remove(owner, sku, version)
        offer = (await self._offers.of([sku])).get(sku)
        if offer is None or not offer.active:
            raise NotSold(f"{sku} is not sold here")
        line = CartLine(sku, quantity, offer.unit_price, self._clock.now())
        for _ in range(ATTEMPTS_MAX):
            if cart := await self._put(owner, line, version):
                return await self._priced(cart)
            self._check_room(await self._repository.find(owner), sku, version)
        raise Unavailable("The cart is changing too quickly", retry_after_seconds=1)

    async def _put(self, owner: Owner, line: CartLine, version: int | None) -> Cart | None:
        """The first write needs the line to be there and the second needs it not to be."""
        expires_at = self._expiry(owner)
        return await self._repository.change_line(owner, line, version, expires_at) or await self._repository.add_line(
            owner, line, version, expires_at, self._config.cart_lines_max
        )

    def _check_room(self, cart: Cart, sku: str, version: int | None) -> None:
        if version is not None and cart.version != version:
            raise CartMoved(version=cart.version)
        if len(cart.lines) >= self._config.cart_lines_max and all(line.sku != sku for line in cart.lines):
            raise CartFull(f"A cart has at most {self._config.cart_lines_max} lines")

    def _expiry(self, owner: Owner) -> datetime | None:
        return self._clock.now() + timedelta(seconds=self._config.guest_cart_ttl_seconds) if owner.guest else None

    async def remove(self, owner: Owner, sku: str, version: int | None = None) -> PricedCart:
        """Raises CartMoved. A line that is not there is gone already."""
        removed = await self._repository.remove_line(owner, sku, version, self._clock.now())
        return await self._priced(await self._checked(owner, version, removed))

    async def clear(self, owner: Owner, version: int | None = None) -> None:
        """Raises CartMoved."""
        cleared = await self._repository.empty(owner, version, self._clock.now())
        await self._checked(owner, version, cleared)

    async def _checked(self, owner: Owner, version: int | None, changed: bool) -> Cart:
        cart = await self._repository.find(owner)
        if not changed and version is not None and cart.version != version:
            raise CartMoved(version=cart.version)
        return cart

    async def merge(self, guest: Owner, user: Owner) -> PricedCart:
        """The guest's lines join the user's cart and the guest's cart is gone, in one transaction: merging twice, or
        from two tabs at once, adds them once. Raises CartFull, and then both carts are as they were."""

        async def body(session: Session) -> None:
            theirs = await self._repository.find(guest, session)
            if not theirs.lines:
                return
            merged = (await self._repository.find(user, session)).with_lines_of(theirs, self._config.line_quantity_max)
            if len(merged) > self._config.cart_lines_max:
                raise CartFull(f"A cart has at most {self._config.cart_lines_max} lines")
            await self._repository.replace(user, merged, self._clock.now(), session)
            await self._repository.delete(guest, session)

        await self._transactions.run(body)
        return await self.view(user)

    async def taken(self, owner: Owner) -> Emptied:
        """The cart's lines for a checkout, and what empties it with the order. Raises EmptyCart."""
        cart = await self._repository.find(owner)
        if not cart.lines:
            raise EmptyCart(errors=[{"path": "fromCart", "message": "The cart is empty"}])
        return Emptied(
            tuple(Line(line.sku, line.quantity) for line in cart.lines),
            Expect(COLLECTION, cart.id, "version", frozenset({cart.version}), CartChanged),
            Write(COLLECTION, cart.id, update=emptying(self._clock.now())),
        )

    async def _priced(self, cart: Cart) -> PricedCart:
        skus = [line.sku for line in cart.lines]
        if not skus:
            return PricedCart((), self._config.currency, cart.version)
        offers, stock = await asyncio.gather(self._offers.of(skus), self._inventory.availability(skus))
        lines = (_priced_line(line, offers.get(line.sku) or _gone(line), stock.get(line.sku)) for line in cart.lines)
        return PricedCart(tuple(lines), self._config.currency, cart.version)


def _gone(line: CartLine) -> Offer:
    """A line whose variant has left the catalogue for good is shown as archived, by its SKU."""
    return Offer(line.sku, "", line.sku, line.unit_price, "", active=False)


def _priced_line(line: CartLine, offer: Offer, stock: Stock | None) -> PricedLine:
    available = stock.sellable if stock and offer.active else 0
    return PricedLine(
        sku=line.sku,
        product_id=offer.product_id,
        name=offer.name,
        slug=offer.slug,
        image=offer.image,
        quantity=line.quantity,
        unit_price=offer.unit_price,
        available=available,
        state=_state(line.quantity, offer.active, available),
        previous_unit_price=None if line.unit_price == offer.unit_price else line.unit_price,
    )


def _state(quantity: int, active: bool, available: int) -> LineState:
    if not active:
        return LineState.ARCHIVED
    if available >= quantity:
        return LineState.AVAILABLE
    return LineState.SHORT if available else LineState.SOLD_OUT
