"""What a seeded product says of itself, in words that fit the department it is sold in."""

import random
from dataclasses import dataclass

OPENINGS = ("A", "Our popular", "A favourite", "Reliably good", "A classic", "New this season:", "An everyday")


@dataclass(frozen=True, slots=True)
class Wording:
    """`forms` is what it is made of or packed in, which is also its first tag; the rest are sentences' parts."""

    made: str
    forms: tuple[str, ...]
    links: tuple[str, ...]
    closings: tuple[str, ...]


FRESH = Wording(
    "in a",
    ("punnet", "tray", "net", "bunch", "paper bag", "box", "basket", "tub", "wrapper", "crate"),
    ("Goes well with our", "Tastes good beside a", "Often served with", "From the same counter as the", "Also see"),
    (
        "Keep it cool.",
        "Best within a few days.",
        "Wash before use.",
        "Weighed and packed by hand.",
        "Ask at the counter.",
        "Fit for freezing.",
    ),
)
PACKED = Wording(
    "in a",
    ("carton", "jar", "tin", "pouch", "box", "bottle", "bag", "tub", "wrapper", "multipack"),
    ("Goes well with our", "Tastes good beside a", "Often bought with", "From the same shelf as the", "Also see"),
    (
        "Store in a cool, dry place.",
        "Once opened, use within a few days.",
        "Allergens are on the label.",
        "The pack can be recycled.",
        "Shake before use.",
        "A staple of the pantry.",
    ),
)
CARE = Wording(
    "in a",
    ("bottle", "tube", "box", "jar", "refill", "spray", "sachet", "tin", "carton", "roll"),
    ("Goes well with our", "Works well beside a", "Often bought with", "From the same range as the", "Also see"),
    (
        "Keep away from children.",
        "Read the label before use.",
        "For daily use.",
        "The pack can be recycled.",
        "Gentle and reliable.",
        "Store at room temperature.",
    ),
)
HOMEWARE = Wording(
    "in",
    ("wood", "ceramic", "cotton", "enamel", "glass", "paper", "tin", "zinc", "felt", "wicker"),
    ("Goes well with our", "Looks lovely next to a", "Matches the", "From the same range as the", "Also see"),
    (
        "Wipe clean with a damp cloth.",
        "A thoughtful gift for any occasion.",
        "Not suitable for small children.",
        "Packed in a recycled box.",
        "Made to last.",
        "Dishwasher safe.",
    ),
)
OF_DEPARTMENT = {
    "PRODUCE": FRESH, "MEAT": FRESH, "SEAFOOD": FRESH, "DELI": FRESH, "PASTRY": FRESH, "FLORAL": FRESH,
    "SALAD BAR": FRESH, "CHEF SHOPPE": FRESH, "RESTAURANT": FRESH, "GARDEN CENTER": FRESH,
    "GROCERY": PACKED, "NUTRITION": PACKED, "MEAT-PCKGD": PACKED, "SEAFOOD-PCKGD": PACKED, "SPIRITS": PACKED,
    "FROZEN GROCERY": PACKED, "MISCELLANEOUS": PACKED,
    "DRUG GM": CARE, "COSMETICS": CARE,
}  # fmt: skip


def wording(department: str) -> Wording:
    """That of homeware where no department is known: names that are made up are homeware."""
    return OF_DEPARTMENT.get(department.upper(), PACKED if department else HOMEWARE)


def described(name: str, form: str, others: list[str], said: Wording, chance: random.Random) -> str:
    links = " ".join(f"{chance.choice(said.links)} {other.lower()}." for other in others)
    return f"{chance.choice(OPENINGS)} {name.lower()} {said.made} {form}. {links} {chance.choice(said.closings)}"
