"""How a search is answered: an ordered list of streams, each one bounded walk along one index, best products first.

A product belongs to the first stream that it fits, so walking the streams in order lists every match once: all words
in the name, then all words anywhere, then some words. Within a stream the index gives the order (rank, then id).
The best of it, the *head*, is ordered again by how well the words fit; behind the head the index order goes on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from service.catalog.terms import pair_key, text_key

POINTS_NEIGHBOURS = 20
POINTS_WORD_TOO_MANY = -40
POINTS_WHOLE_NAME = 60
POINTS_WORD_FOUND = 200
PAIRS_AMONG_MAX = 4

Group = tuple[str, ...]
Walked = tuple[int, int, str]  # stream, rank, id


@dataclass(frozen=True, slots=True)
class Stream:
    """Products that have the key `walked` (this is what the index is walked along) and any key of each group in `also`.

    `whole` streams hold products that match every word; the others are there when those are few."""

    tier: int
    walked: str
    also: tuple[Group, ...] = ()
    whole: bool = True

    def condition(self) -> dict[str, Any]:
        """What a product of this stream fulfils."""
        return {"$and": [{"search.keys": self.walked}, *self.also_conditions()]}

    def also_conditions(self) -> list[dict[str, Any]]:
        return [_any_of(group) for group in self.also]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product found by a stream: its place in the index order, and what ranking it needs."""

    stream: int
    rank: int
    id: str
    name_stems: tuple[str, ...]

    @property
    def place(self) -> Walked:
        """Where it stands in the walk: stream, then rank and id."""
        return self.stream, self.rank, self.id


def _any_of(keys: Group) -> dict[str, Any]:
    return {"search.keys": {"$in": list(keys)}}


def streams_for(words: Sequence[str]) -> tuple[Stream, ...]:
    """The streams of a query. `words` are its stems, the rarest first: its list is the shortest to walk."""
    rarest, *others = words
    if not others:
        return Stream(0, rarest), Stream(1, text_key(rarest))
    named = Stream(0, pair_key(rarest, others[0]), tuple((word,) for word in others[1:]))
    others_anywhere = tuple((word, text_key(word)) for word in others)
    anywhere = (Stream(1, rarest, others_anywhere), Stream(1, text_key(rarest), others_anywhere))
    return named, *anywhere, *_some_words(words)


def _some_words(words: Sequence[str]) -> list[Stream]:
    pairs = combinations(words[:PAIRS_AMONG_MAX], 2) if len(words) > 2 else ()
    partly = [Stream(2, pair_key(one, other), whole=False) for one, other in pairs]
    partly += [Stream(3, word, whole=False) for word in words]
    return partly + [Stream(4, text_key(word), whole=False) for word in words]


def score(words: Collection[str], candidate: Candidate) -> int:
    """How well a name fits the words, on top of its rank. Tiers are compared before scores."""
    found = [stem in words for stem in candidate.name_stems]
    hits = found.count(True)
    unasked = len(found) - hits
    points = candidate.rank + POINTS_WORD_FOUND * hits + POINTS_WORD_TOO_MANY * unasked
    if hits > 1:
        points += POINTS_NEIGHBOURS * sum(one and other for one, other in pairwise(found))
    return points if unasked else points + POINTS_WHOLE_NAME
