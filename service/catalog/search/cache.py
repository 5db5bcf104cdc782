"""What searches have read since the catalogue last changed, kept in this process: words, heads of lists, products.

Most searches want the same few words and products. One that is asked for under a generation of the catalogue goes by
what an earlier one read under it; whoever brings no generation reads everything. Ranks and ratings move without ending
a generation, so nothing is kept longer than `search_known_seconds`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from service.catalog.models import Product
from service.catalog.search.plan import Candidate, Walked
from service.clock import Clock
from service.config import Config

Key = TypeVar("Key")
Value = TypeVar("Value")
Head = tuple[list[Candidate], Walked]  # candidates to be ranked, and where on the walk they end


@dataclass(slots=True)
class SearchCacheEntry:
    """Of one generation. A search that began under one adds to that one, whatever is current when it ends.

    `words`: how many products have each. `heads`: by the words and by how many products were wanted. `codes`: the
    products whose SKU each is, mostly none."""

    words_max: int = 0
    heads_max: int = 0
    products_max: int = 0
    words: dict[str, int] = field(default_factory=dict)
    heads: dict[tuple[tuple[str, ...], int], Head] = field(default_factory=dict)
    codes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)

    def add_words(self, counts: Mapping[str, int]) -> None:
        _add(self.words, counts, self.words_max)

    def add_head(self, words: tuple[str, ...], enough: int, head: Head) -> None:
        _add(self.heads, {(words, enough): head}, self.heads_max)

    def add_code(self, code: str, ids: tuple[str, ...]) -> None:
        _add(self.codes, {code: ids}, self.heads_max)

    def add_products(self, products: Mapping[str, Product]) -> None:
        _add(self.products, products, self.products_max)


def _add(known: dict[Key, Value], more: Mapping[Key, Value], entries_max: int) -> None:
    """The oldest make room."""
    known.update(more)
    while len(known) > entries_max:
        del known[next(iter(known))]


class SearchCache:
    def __init__(self, clock: Clock, config: Config) -> None:
        self._clock, self._config = clock, config
        self._generation, self._until = b"", 0.0
        self._known = SearchCacheEntry()

    def entry(self, generation: bytes) -> SearchCacheEntry:
        """What is known under a generation; under none nothing is, nor kept."""
        if not generation:
            return SearchCacheEntry()
        now = self._clock.monotonic()
        if generation != self._generation or now >= self._until:
            config = self._config
            self._generation, self._until = generation, now + config.search_known_seconds
            self._known = SearchCacheEntry(
                config.search_known_words_max, config.search_known_heads_max, config.search_known_products_max
            )
        return self._known
