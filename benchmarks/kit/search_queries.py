"""What people type into a search box, made from real product names and one seed.

Mostly a word or two; often a plural, out of order, or mistyped; as skewed towards common words as the names are."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.kit.catalogue import TraceName
from service.catalog.terms import STOPWORDS, stem, words_of

WORDS_IN_A_QUERY = (1, 1, 1, 2, 2, 2, 2, 3, 3, 4)
PLURAL_SHARE = 0.2
SHUFFLED_SHARE = 0.3
TYPO_SHARE = 0.05
PAIRED_AT_RANDOM_SHARE = 0.1
FORGIVEN_LENGTH_MIN = 5


@dataclass(frozen=True, slots=True)
class Query:
    """`name` is the product that whoever typed it had in mind."""

    text: str
    name: str


def judged_queries(names: Sequence[TraceName], count: int, seed: int) -> list[Query]:
    """Different queries without typos: what the words of a real name are asked with."""
    chance = random.Random(seed)
    found: dict[str, Query] = {}
    for query in _from_names(names, chance):
        found.setdefault(query.text, query)
        if len(found) == count:
            return list(found.values())
    raise AssertionError("the names never end")


def query_mix(names: Sequence[TraceName], count: int, seed: int) -> list[str]:
    """All that a search has to answer: common words, rare words, words that never stand together, typos."""
    chance = random.Random(seed)
    queries = _from_names(names, chance)
    mix: list[str] = []
    while len(mix) < count:
        text = next(queries).text
        if chance.random() < PAIRED_AT_RANDOM_SHARE:
            text = " ".join((text.split()[0], next(queries).text.split()[-1]))
        mix.append(_mistyped(text, chance) if chance.random() < TYPO_SHARE else text)
    return mix


def _from_names(names: Sequence[TraceName], chance: random.Random) -> Iterator[Query]:
    weights = [entry.lines**0.5 for entry in names]
    while True:
        name = chance.choices(names, weights)[0].name
        words = [word for word in dict.fromkeys(words_of(name)) if _is_asked(word)]
        if words:
            yield Query(" ".join(_some(words, chance)), name)


def _is_asked(word: str) -> bool:
    return word not in STOPWORDS and not word.isdigit() and len(word) > 1


def _some(words: Sequence[str], chance: random.Random) -> list[str]:
    number = min(chance.choice(WORDS_IN_A_QUERY), len(words))
    chosen = [words[at] for at in sorted(chance.sample(range(len(words)), number))]
    if chance.random() < PLURAL_SHARE:
        chosen[-1] = _plural(chosen[-1])
    if chance.random() < SHUFFLED_SHARE:
        chance.shuffle(chosen)
    return chosen


def _plural(word: str) -> str:
    return word + "s" if len(word) > 3 and not word.endswith("s") and stem(word + "s") == word else word


def _mistyped(text: str, chance: random.Random) -> str:
    words = text.split()
    at = max(range(len(words)), key=lambda each: len(words[each]))
    word = words[at]
    if len(word) >= FORGIVEN_LENGTH_MIN:
        gone = chance.randrange(1, len(word) - 1)
        words[at] = word[:gone] + word[gone + 1 :]
    return " ".join(words)
