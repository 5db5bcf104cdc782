"""Owns the vocabulary between the shopper model and whatever carries it out: what a shopper or a member of staff means
to do, and what came of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """Think, type, find the card."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Browse:
    """Look at a list of products, in one of the orders the shop offers."""

    sort: str


@dataclass(frozen=True, slots=True)
class Search:
    words: str


@dataclass(frozen=True, slots=True)
class View:
    """Look at a product page and its availability."""

    sku: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask to be told when the SKU is back."""

    sku: str


@dataclass(frozen=True, slots=True)
class PutInCart:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class CheckOut:
    """All lines or none. `from_cart` says the lines are those put in the cart before."""

    lines: tuple[tuple[str, int], ...]
    from_cart: bool = False


@dataclass(frozen=True, slots=True)
class Pay:
    order_id: str
    card_is_good: bool = True


@dataclass(frozen=True, slots=True)
class Cancel:
    order_id: str


@dataclass(frozen=True, slots=True)
class WalkAway:
    """Leave without paying or cancelling: the hold is left to expire."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Restock:
    """Staff: goods in."""

    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Reprice:
    """Staff: multiply the price by `factor`."""

    sku: str
    factor: float


Action = Wait | Browse | Search | View | Subscribe | PutInCart | CheckOut | Pay | Cancel | WalkAway | Restock | Reprice


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of an action. `outcome` is one of `model.outcomes`; `shortages` pairs SKUs with what is left."""

    outcome: str = "ok"
    order_id: str = ""
    shortages: tuple[tuple[str, int], ...] = ()
    in_stock: bool = True
