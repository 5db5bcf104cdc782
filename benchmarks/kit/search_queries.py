"""What people type into a search box, made from real product names and one seed.

Mostly a word or two; often a plural, out of order, or mistyped; as skewed towards common words as the names are."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from benchmarks.kit.catalogue import TraceName
from benchmarks.kit.outcome import RunInvalid
from service.catalog.terms import STOPWORDS, stem, words_of

WORDS_IN_A_QUERY = (1, 1, 1, 2, 2, 2, 2, 3, 3, 4)
PLURAL_SHARE = 0.2
SHUFFLED_SHARE = 0.3
TYPO_SHARE = 0.05
PAIRED_AT_RANDOM_SHARE = 0.1
FORGIVEN_LENGTH_MIN = 5
DRAWS_A_QUERY_MAX = 100


@dataclass(frozen=True, slots=True)
class Query:
    """`name` is the product that whoever typed it had in mind."""

    text: str
    name: str


def judged_queries(names: Sequence[TraceName], count: int, seed: int) -> list[Query]:
    """Different queries without typos: what the words of a real name are asked with. Raises RunInvalid where a few
    names have too few words for so many."""
    found: dict[str, Query] = {}
    for query in islice(_from_names(names, random.Random(seed)), count * DRAWS_A_QUERY_MAX):
        found.setdefault(query.text, query)
        if len(found) == count:
            return list(found.values())
    raise RunInvalid(f"{len(names):,} names give {len(found):,} different queries, not {count:,}: ask for fewer")


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
    """Without end. Raises RunInvalid where no name has a word that is asked for."""
    asked = {entry.name: [word for word in dict.fromkeys(words_of(entry.name)) if _is_asked(word)] for entry in names}
    usable = [entry for entry in names if asked[entry.name]]
    if not usable:
        raise RunInvalid("no name has a word to search for")
    weights = list(accumulate(entry.lines**0.5 for entry in usable))
    while True:
        name = chance.choices(usable, cum_weights=weights)[0].name
        yield Query(" ".join(_some(asked[name], chance)), name)


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
