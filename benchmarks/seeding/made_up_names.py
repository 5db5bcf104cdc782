"""Product names for a shop without a trace: any number of different ones, the same ones for the same seed."""

import math
import random

from benchmarks.kit.catalogue import TraceName

# Different choices never make the same name: no thing ends like another one behind a material.
SIZES = ("", "SMALL", "LARGE", "MINI", "JUMBO", "TALL", "FLAT", "ROUND")
STYLES = ("", "VINTAGE", "CLASSIC", "RUSTIC", "NORDIC", "FOLDING", "STRIPED", "SPOTTED", "EMBROIDERED", "HANGING")
COLOURS = ("RED", "BLUE", "CREAM", "GREEN", "PINK", "WHITE", "YELLOW", "GREY", "BLACK", "LILAC", "AMBER", "TEAL")
MATERIALS = (
    "PAPER", "TIN", "CERAMIC", "COTTON", "GLASS", "WICKER", "ENAMEL", "WOODEN", "FELT", "ZINC", "LINEN", "BAMBOO",
    "CORK", "COPPER", "WOOL", "SLATE",
)  # fmt: skip
THINGS = (
    "MUG", "BOWL", "LANTERN", "GARLAND", "SIGN", "BAG", "CANDLE HOLDER", "JUG", "STAR", "NOTEBOOK", "TRAY", "CLOCK",
    "BASKET", "CUSHION", "PLATE", "TEAPOT", "DOORMAT", "FRAME", "VASE", "LAMP", "BOX", "COASTER", "APRON", "BLANKET",
    "BRACELET", "CAKE TIN", "BIRD HOUSE", "EGG CUP", "SPOON", "STOOL", "TOY TRAIN", "WATERING CAN", "WREATH", "SCARF",
    "PENCIL CASE", "SOAP DISH", "KEY RING", "BREAD BIN", "PLANT POT", "MIRROR", "SKITTLES", "DOLL",
)  # fmt: skip
PARTS = (SIZES, STYLES, COLOURS, MATERIALS, THINGS)
COMBINATIONS = math.prod(map(len, PARTS))
PRICE_MINOR_MIN, PRICE_MINOR_MEDIAN, PRICE_SIGMA, PRICE_MINOR_MAX = 45, 450, 0.9, 20_000
LINES_OF_THE_FIRST = 2_000


def made_up_names(count: int, seed: int) -> list[TraceName]:
    """`count` different ones; the first sells most, as in a real shop."""
    chance = random.Random(f"names {seed}")
    step = _coprime(chance.randrange(COMBINATIONS // 3, COMBINATIONS))
    start = chance.randrange(COMBINATIONS)
    return [
        TraceName(_name(index, start, step), max(2, LINES_OF_THE_FIRST // (index + 1)), _price_minor(chance))
        for index in range(count)
    ]


def _name(index: int, start: int, step: int) -> str:
    """Walks all combinations in steps that meet each once, so that none has to be looked for; where they are used up it
    begins anew with a number behind the name."""
    used_up, at = divmod(index, COMBINATIONS)
    name = _combination((start + at * step) % COMBINATIONS)
    return f"{name} NO. {used_up + 1}" if used_up else name


def _coprime(near: int) -> int:
    """The next number that shares no factor with COMBINATIONS: consecutive ones never all do."""
    return next(step for step in range(near, near + COMBINATIONS) if math.gcd(step, COMBINATIONS) == 1)


def _combination(index: int) -> str:
    words: list[str] = []
    for part in reversed(PARTS):
        index, at = divmod(index, len(part))
        words.insert(0, part[at])
    return " ".join(filter(None, words))


def _price_minor(chance: random.Random) -> int:
    drawn = PRICE_MINOR_MEDIAN * chance.lognormvariate(0.0, PRICE_SIGMA)
    return min(max(round(drawn / 5) * 5, PRICE_MINOR_MIN), PRICE_MINOR_MAX)
