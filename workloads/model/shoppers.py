"""Owns the one shopper model. A visit is a generator of intended actions: the driver carries each action out, by HTTP
or inside the simulator, and sends back what came of it. No I/O, no clock and no global randomness in here, so the same
seed gives the same visit to every driver:

    visit = shopper(Random(seed), shop)
    action = next(visit)
    while True:
        action = visit.send(carry_out(action))      # ends with StopIteration
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from random import Random

from workloads.model.actions import (
    Action,
    Browse,
    Cancel,
    CheckOut,
    Pay,
    PutInCart,
    Reply,
    Reprice,
    Restock,
    Search,
    Subscribe,
    View,
    Wait,
    WalkAway,
)
from workloads.model.demand import Profile, load_profile, rank_at, zipf_cumulative_weights

SKUS_MAX = 1_000_000
SORTS = ("relevance", "newest", "price_asc", "popular")


Visit = Generator[Action, Reply, None]


@dataclass(frozen=True, slots=True)
class Habits:
    """Chances are between 0 and 1; times are means in seconds (exponential, payment log-normal)."""

    search_chance: float = 0.35
    extra_view_mean: float = 1.5
    buy_chance: float = 0.45
    subscribe_chance: float = 0.3
    settle_for_less_chance: float = 0.6
    bad_card_chance: float = 0.04
    other_card_chance: float = 0.7
    walk_away_chance: float = 0.06
    cancel_chance: float = 0.02
    think_mean_seconds: float = 4.0
    payment_median_seconds: float = 25.0
    payment_sigma: float = 0.7
    basket_lines_max: int = 40
    line_quantity_max: int = 24


@dataclass(frozen=True, slots=True)
class Shop:
    """What a shopper can choose from: SKUs in the order of popularity, and the words they search for."""

    skus: tuple[str, ...]
    words: tuple[str, ...] = ("heart", "bag", "lantern", "cake", "christmas", "vintage")
    profile: Profile = field(default_factory=load_profile)
    habits: Habits = Habits()
    zipf_exponent: float | None = None
    cumulative_weights: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        assert 1 <= len(self.skus) <= SKUS_MAX, "a shop sells at least one SKU"
        exponent = self.profile.zipf_exponent if self.zipf_exponent is None else self.zipf_exponent
        object.__setattr__(self, "cumulative_weights", zipf_cumulative_weights(len(self.skus), exponent))

    def pick_sku(self, random: Random) -> str:
        return self.skus[rank_at(self.cumulative_weights, random.random())]

    def pick_quantity(self, random: Random) -> int:
        return min(self.profile.line_quantity(random.random()), self.habits.line_quantity_max)

    def pick_basket_lines(self, random: Random) -> int:
        return min(self.profile.basket_lines(random.random()), self.habits.basket_lines_max)


def shopper(random: Random, shop: Shop) -> Visit:
    """One visit: look around; perhaps fill a cart, check out, and pay or not."""
    yield from _look_around(random, shop)
    if random.random() >= shop.habits.buy_chance:
        return
    lines = yield from _fill_cart(random, shop)
    if lines:
        yield from _think(random, shop)
        yield from buy(random, shop, lines, from_cart=True)


def flash_buyer(random: Random, shop: Shop, sku: str, quantity: int = 1) -> Visit:
    """One buyer who came for one thing and goes straight to the checkout."""
    yield View(sku)
    yield from buy(random, shop, ((sku, quantity),))


def buy(random: Random, shop: Shop, lines: tuple[tuple[str, int], ...], *, from_cart: bool = False) -> Visit:
    """Check out and settle the order; one who is short of some lines may take what is left."""
    reply = yield CheckOut(lines, from_cart)
    if reply.outcome == "out_of_stock" and random.random() < shop.habits.settle_for_less_chance:
        lines = _what_is_left(lines, reply)
        if lines:
            reply = yield CheckOut(lines)
    if reply.outcome == "ok" and reply.order_id:
        yield from _settle(random, shop, lines, reply.order_id)


def staff_member(random: Random, shop: Shop, rounds: int = 1) -> Visit:
    """Restocks popular SKUs and now and then changes a price."""
    for _ in range(rounds):
        yield Restock(tuple((shop.pick_sku(random), random.randint(10, 100)) for _ in range(random.randint(1, 10))))
        yield from _think(random, shop)
        if random.random() < 0.5:
            yield Reprice(shop.pick_sku(random), random.choice((0.9, 0.95, 1.05, 1.1)))
            yield from _think(random, shop)


def _look_around(random: Random, shop: Shop) -> Visit:
    if random.random() < shop.habits.search_chance:
        yield Search(random.choice(shop.words))
    else:
        yield Browse(random.choice(SORTS))
    for _ in range(1 + _poisson(random, shop.habits.extra_view_mean)):
        yield from _think(random, shop)
        sku = shop.pick_sku(random)
        seen = yield View(sku)
        if not seen.in_stock and random.random() < shop.habits.subscribe_chance:
            yield Subscribe(sku)


def _fill_cart(random: Random, shop: Shop) -> Generator[Action, Reply, tuple[tuple[str, int], ...]]:
    """The lines that went into the cart. A cart line holds a SKU once, so choosing it again replaces its quantity."""
    cart: dict[str, int] = {}
    for _ in range(shop.pick_basket_lines(random)):
        sku, quantity = shop.pick_sku(random), shop.pick_quantity(random)
        reply = yield PutInCart(sku, quantity)
        if reply.outcome == "ok":
            cart[sku] = quantity
    return tuple(cart.items())


def _settle(random: Random, shop: Shop, lines: tuple[tuple[str, int], ...], order_id: str) -> Visit:
    habits, fate = shop.habits, random.random()
    yield Wait(habits.payment_median_seconds * random.lognormvariate(0.0, habits.payment_sigma))
    if fate < habits.walk_away_chance:
        yield WalkAway(order_id)
    elif fate < habits.walk_away_chance + habits.cancel_chance:
        yield Cancel(order_id)
    else:
        reply = yield Pay(order_id, card_is_good=random.random() >= habits.bad_card_chance)
        if reply.outcome == "declined" and random.random() < habits.other_card_chance:
            yield from _pay_with_other_card(lines)


def _pay_with_other_card(lines: tuple[tuple[str, int], ...]) -> Visit:
    """A declined order is cancelled and its stock freed, so another card means another order."""
    reply = yield CheckOut(lines)
    if reply.outcome == "ok" and reply.order_id:
        yield Pay(reply.order_id)


def _what_is_left(lines: tuple[tuple[str, int], ...], reply: Reply) -> tuple[tuple[str, int], ...]:
    left = dict(reply.shortages)
    return tuple((sku, fits) for sku, wanted in lines if (fits := min(wanted, left.get(sku, wanted))) > 0)


def _think(random: Random, shop: Shop) -> Visit:
    yield Wait(random.expovariate(1.0 / shop.habits.think_mean_seconds))


def _poisson(random: Random, mean: float) -> int:
    """A Poisson count, by the exponential gaps between events."""
    count, left = 0, mean
    while (left := left - random.expovariate(1.0)) > 0:
        count += 1
    return count
