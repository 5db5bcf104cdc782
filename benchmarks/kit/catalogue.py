"""A large, realistic catalogue, made from the vocabulary of a real retail trace and one seed.

The real names come first, with the popularity and price they had; the rest are crossed from them at a shared word
("WHEAT BREAD | BREAD CRUMBS PLAIN"), so that word frequencies stay as skewed as in the trace.

By default the trace is the packaged year (workloads/traces/complete_journey.py says where it comes from).
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kit.descriptions import described, wording
from benchmarks.kit.outcome import RunInvalid
from workloads.traces.names import default_trace

PRICE_MINOR_MIN, PRICE_MINOR_MAX = 10, 20_000
# Chance finds an unused name at once in a large vocabulary; in one of a few words there may be none left.
CROSSINGS_MAX = 40

CATEGORY_WORDS = {
    "kitchen": {
        "CAKE",
        "MUG",
        "BOWL",
        "TEA",
        "TEACUP",
        "PLATE",
        "JAM",
        "JAR",
        "BAKING",
        "KITCHEN",
        "TIN",
        "TINS",
        "SPOON",
    },
    "christmas": {"CHRISTMAS", "STOCKING", "REINDEER", "SNOWMAN", "BAUBLE", "ADVENT", "XMAS"},
    "jewellery": {"NECKLACE", "BRACELET", "EARRINGS", "RING", "BROOCH", "BEAD", "CRYSTAL"},
    "bags": {"BAG", "SHOPPER", "PURSE", "TOTE", "HANDBAG", "LUNCH"},
    "lighting": {"LIGHT", "LIGHTS", "LANTERN", "CANDLE", "CANDLES", "LAMP", "HOLDER", "CHANDELIER"},
    "garden": {"GARDEN", "FLOWER", "PLANT", "BIRD", "PARASOL", "HERB", "WATERING"},
    "stationery": {"CARD", "CARDS", "PAPER", "WRAP", "NOTEBOOK", "PENCIL", "PENCILS", "STICKERS", "TAPE", "RIBBON"},
    "children": {"CHILDRENS", "CHILDS", "KIDS", "DOLL", "TOY", "PLAYHOUSE", "SKITTLES", "SPACEBOY", "BABUSHKA"},
    "home": set(),
}
BRANDS = ("Regency", "Retrospot", "Pantry", "Suki", "Woodland", "Skandi", "Harrow & Dale", "Northlight")
_SIZES = ("SMALL", "LARGE", "MINI", "JUMBO", "SET OF 2", "SET OF 4", "PACK OF 6")


@dataclass(frozen=True, slots=True)
class TraceName:
    """One real product: how many lines bought it, and its median price in minor units. Category and brand are empty
    where the trace does not know them."""

    name: str
    lines: int
    price_minor: int
    category: str = ""
    brand: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One product to be sold; popularity in units sold, price in minor units."""

    name: str
    description: str
    category: str
    brand: str
    tags: tuple[str, ...]
    price_minor: int
    popularity: int


def vocabulary() -> list[TraceName]:
    """The names of the default trace, for a benchmark. Raises RunInvalid where it cannot be read."""
    from workloads.traces.retail import TraceError

    try:
        return read_trace_names()
    except TraceError as error:
        raise RunInvalid(str(error)) from error


def read_trace_names(trace: str | Path | None = None) -> list[TraceName]:
    """The product names of a trace, the default one without a name; most bought first. Notes such as "damaged" and
    "POSTAGE" are left out. Raises TraceError."""
    from workloads.traces.retail import read_trace

    named: dict[str, TraceName] = {}
    for item in read_trace(trace or default_trace()).catalogue():
        name = " ".join(item.name.split()).strip(" .*")
        known = named.get(name)
        if known is not None:  # the same words on another SKU: the one bought most has been there first
            named[name] = replace(known, lines=known.lines + item.lines)
        elif PRICE_MINOR_MIN <= item.price_minor <= PRICE_MINOR_MAX:
            named[name] = TraceName(name, item.lines, item.price_minor, item.category, item.brand)
    return sorted(filter(_is_product, named.values()), key=lambda each: (-each.lines, each.name))


def _is_product(entry: TraceName) -> bool:
    return entry.name.isupper() and len(entry.name.split()) > 1 and entry.lines > 1 and "POSTAGE" not in entry.name


def catalogue(names: Sequence[TraceName], count: int, seed: int) -> Iterator[CatalogueEntry]:
    """`count` products, the same ones for the same seed."""
    chance = random.Random(seed)
    weights = _cumulative([entry.lines**0.5 for entry in names])
    for entry in names[:count]:
        yield _entry(entry.name, entry, entry.lines, names, weights, chance)
    for name, like in _crossed_names(names, weights, max(count - len(names), 0), chance):
        yield _entry(name, like, min(int(chance.paretovariate(1.1)) - 1, 300), names, weights, chance)


def _crossed_names(
    names: Sequence[TraceName], weights: list[float], count: int, chance: random.Random
) -> Iterator[tuple[str, TraceName]]:
    """New names, each with a real product that it is priced like. A few words make few names: where chance finds no
    unused one within CROSSINGS_MAX, the name gets a number."""
    tails = _tails_by_word(names)
    seen = {entry.name for entry in names}
    for number in range(1, count + 1):
        for _ in range(CROSSINGS_MAX):
            like = chance.choices(names, cum_weights=weights)[0]
            name = _cross(like.name.split(), tails, chance)
            if name in seen:
                name = f"{chance.choice(_SIZES)} {name}"
            if name not in seen:
                break
        else:
            numbered = (f"{name} NO. {number + more}" for more in range(len(seen) + 1))
            name = next(each for each in numbered if each not in seen)
        seen.add(name)
        yield name, like


def _cross(head: list[str], tails: dict[str, list[list[str]]], chance: random.Random) -> str:
    at = chance.randrange(len(head))
    tail = chance.choice(tails[head[at]])
    words = dict.fromkeys([*head[: at + 1], *tail])
    return " ".join(list(words)[:8])


def _tails_by_word(names: Sequence[TraceName]) -> dict[str, list[list[str]]]:
    tails: dict[str, list[list[str]]] = defaultdict(list)
    for entry in names:
        words = entry.name.split()
        for at, word in enumerate(words):
            tails[word].append(words[at + 1 :])
    return tails


def _entry(
    name: str,
    like: TraceName,
    popularity: int,
    names: Sequence[TraceName],
    weights: list[float],
    chance: random.Random,
) -> CatalogueEntry:
    said = wording(like.category)
    form = chance.choice(said.forms)
    made_by = chance.choices(BRANDS, weights=range(len(BRANDS), 0, -1))[0]
    others = chance.choices(names, cum_weights=weights, k=chance.choice((1, 1, 2, 3)))
    return CatalogueEntry(
        name=name,
        description=described(name, form, [other.name for other in others], said, chance),
        category=category_id(like.category) or category_of(name),
        brand=like.brand or made_by,
        tags=(form, "gift") if chance.random() < 0.3 else (form,),
        price_minor=max(PRICE_MINOR_MIN, like.price_minor),
        popularity=popularity,
    )


def category_id(department: str) -> str:
    return "-".join(re.findall(r"\w+", department.lower()))


def category_of(name: str) -> str:
    words = set(re.findall(r"[A-Z]+", name))
    return next((category for category, telling in CATEGORY_WORDS.items() if words & telling), "home")


def _cumulative(weights: list[float]) -> list[float]:
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    return sums
