"""A large, realistic catalogue, made from the vocabulary of a real retail trace and one seed.

The real names come first, with the popularity and price they had; the rest are crossed from them at a shared word
("WHITE HANGING HEART | HEART OF WICKER SMALL"), so that word frequencies stay as skewed as in the trace.

Trace: Chen, D. (2015). Online Retail. UCI Machine Learning Repository, doi 10.24432/C5BW33, CC BY 4.0.
"""

import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRACE = Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail.parquet"

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
_MATERIALS = ("wood", "ceramic", "cotton", "enamel", "glass", "paper", "tin", "zinc", "felt", "wicker")
_OPENINGS = ("A", "Our popular", "A charming", "Hand finished", "A classic", "New this season:", "An everyday")
_LINKS = ("Goes well with our", "Looks lovely next to a", "Matches the", "From the same range as the", "Also see")
_CLOSINGS = (
    "Wipe clean with a damp cloth.",
    "A thoughtful gift for any occasion.",
    "Not suitable for small children.",
    "Packed in a recycled box.",
    "Designed in England.",
    "Dishwasher safe.",
)
_SIZES = ("SMALL", "LARGE", "MINI", "JUMBO", "SET OF 2", "SET OF 4", "PACK OF 6")


@dataclass(frozen=True, slots=True)
class TraceName:
    """One real product: how many lines bought it, and its median price in pence."""

    name: str
    lines: int
    price_minor: int


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One product to be sold; popularity in units sold, price in pence."""

    name: str
    description: str
    category: str
    brand: str
    tags: tuple[str, ...]
    price_minor: int
    popularity: int


def trace_path() -> Path:
    return Path(os.environ.get("HOLDFAST_TRACE", TRACE))


def read_trace_names(path: Path) -> list[TraceName]:
    """The product names of a trace, most bought first; notes such as "damaged" and "POSTAGE" are left out."""
    import pandas

    rows = pandas.read_parquet(path, columns=["Description", "UnitPrice"]).dropna()
    rows = rows[rows["UnitPrice"].between(0.1, 200)]
    rows["Description"] = rows["Description"].str.replace(r"\s+", " ", regex=True).str.strip(" .*")
    groups = rows.groupby("Description")["UnitPrice"].agg(["size", "median"])
    names = [TraceName(str(name), int(lines), round(price * 100)) for name, lines, price in groups.itertuples()]
    return sorted(filter(_is_product, names), key=lambda each: (-each.lines, each.name))


def _is_product(entry: TraceName) -> bool:
    return entry.name.isupper() and len(entry.name.split()) > 1 and entry.lines > 1 and "POSTAGE" not in entry.name


def catalogue(names: list[TraceName], count: int, seed: int) -> Iterator[CatalogueEntry]:
    """`count` products, the same ones for the same seed."""
    chance = random.Random(seed)
    weights = _cumulative([entry.lines**0.5 for entry in names])
    for entry in names[:count]:
        yield _entry(entry.name, entry.price_minor, entry.lines, names, weights, chance)
    for name in _crossed_names(names, weights, max(count - len(names), 0), chance):
        price_minor = chance.choices(names, cum_weights=weights)[0].price_minor
        yield _entry(name, price_minor, min(int(chance.paretovariate(1.1)) - 1, 300), names, weights, chance)


def _crossed_names(names: list[TraceName], weights: list[float], count: int, chance: random.Random) -> Iterator[str]:
    tails = _tails_by_word(names)
    seen = {entry.name for entry in names}
    while count:
        name = _cross(chance.choices(names, cum_weights=weights)[0].name.split(), tails, chance)
        if name in seen:
            name = f"{chance.choice(_SIZES)} {name}"
        if name not in seen:
            seen.add(name)
            count -= 1
            yield name


def _cross(head: list[str], tails: dict[str, list[list[str]]], chance: random.Random) -> str:
    at = chance.randrange(len(head))
    tail = chance.choice(tails[head[at]])
    words = dict.fromkeys([*head[: at + 1], *tail])
    return " ".join(list(words)[:8])


def _tails_by_word(names: list[TraceName]) -> dict[str, list[list[str]]]:
    tails: dict[str, list[list[str]]] = defaultdict(list)
    for entry in names:
        words = entry.name.split()
        for at, word in enumerate(words):
            tails[word].append(words[at + 1 :])
    return tails


def _entry(
    name: str, price_minor: int, popularity: int, names: list[TraceName], weights: list[float], chance: random.Random
) -> CatalogueEntry:
    material = chance.choice(_MATERIALS)
    return CatalogueEntry(
        name=name,
        description=_description(name, material, names, weights, chance),
        category=category_of(name),
        brand=chance.choices(BRANDS, weights=range(len(BRANDS), 0, -1))[0],
        tags=(material, "gift") if chance.random() < 0.3 else (material,),
        price_minor=max(10, price_minor),
        popularity=popularity,
    )


def _description(name: str, material: str, names: list[TraceName], weights: list[float], chance: random.Random) -> str:
    others = chance.choices(names, cum_weights=weights, k=chance.choice((1, 1, 2, 3)))
    links = " ".join(f"{chance.choice(_LINKS)} {other.name.lower()}." for other in others)
    return f"{chance.choice(_OPENINGS)} {name.lower()} in {material}. {links} {chance.choice(_CLOSINGS)}"


def category_of(name: str) -> str:
    words = set(re.findall(r"[A-Z]+", name))
    return next((category for category, telling in CATEGORY_WORDS.items() if words & telling), "home")


def _cumulative(weights: list[float]) -> list[float]:
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    return sums
