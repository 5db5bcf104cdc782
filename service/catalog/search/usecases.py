"""Finding products by words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from service.catalog.models import Product
from service.catalog.product_reads import ProductReads
from service.catalog.search.cache import Head, SearchCache, SearchCacheEntry
from service.catalog.search.plan import Candidate, Stream, Walked, score, streams_for
from service.catalog.search.repository import SearchRepository
from service.catalog.search.vocabulary import Vocabulary
from service.catalog.terms import code_key, stem, stems_of, words_of
from service.config import Config
from service.errors import Invalid
from service.infra.batcher import Batcher

PHRASE_OR_EXCLUSION = re.compile(r'"|(?:^|\s)-\w')
EXACT_MAX = 4  # SKUs that differ in nothing but case and signs
LOWEST = (-1, "")
NUMBER_MAX = 2**31

Ranked = tuple[int, int, str]  # tier, points below, id: ascending


@dataclass(frozen=True, slots=True)
class Position:
    """Where a search goes on. It carries the plan (the words, and the edge of the head) so that every page is cut from
    the same list, whatever was learned or sold meanwhile."""

    asked: tuple[str, ...]
    words: tuple[str, ...] = ()
    edge: Walked | None = None
    ranked: Ranked | None = None
    walked: Walked | None = None
    scored: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`corrected`, on the first page, is the query that was answered when a word had to be taken for a typo."""

    items: tuple[Product, ...]
    next: Position | None
    corrected: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A product of the page, and the place to go on after it: in the ranked head, or on the walk behind it."""

    id: str
    ranked: Ranked | None
    walked: Walked | None


class Search:
    def __init__(
        self,
        repository: SearchRepository,
        products: ProductReads,
        vocabulary: Vocabulary,
        memory: SearchCache,
        config: Config,
    ) -> None:
        self._repository, self._products, self._vocabulary = repository, products, vocabulary
        self._cache, self._config = memory, config
        self._counts: Batcher[tuple[str, ...], dict[str, int]] = Batcher(
            self._counted_together, items_max=config.product_reads_max, waiting_max=config.postings_waiting_max
        )

    async def find(self, query: str, position: Position | None, limit: int, generation: bytes = b"") -> SearchPage:
        """Products whose SKU the query is, then those for its words, the best first. With the `generation` of the
        catalogue that is current, what was read under it is not read again. Raises Invalid for another query's
        position."""
        known = self._cache.entry(generation)
        page = await self._find(query, position, limit, known)
        ids = await self._ids_of_code(code_key(query), known)
        if not ids:
            return page
        others = tuple(product for product in page.items if product.id not in ids)
        if position is not None:
            return replace(page, items=others)
        exact = await self._on_sale(ids, known)
        return SearchPage((*exact, *others), page.next, None if exact else page.corrected)

    async def _ids_of_code(self, code: str, known: SearchCacheEntry) -> tuple[str, ...]:
        """What a label or a shelf says leads straight to the goods: they come first, and nowhere else."""
        if not code or code in known.codes:
            return known.codes.get(code, ())
        ids = tuple(each.id for each in await self._repository.best([code], EXACT_MAX))
        known.add_code(code, ids)
        return ids

    async def _find(self, query: str, position: Position | None, limit: int, known: SearchCacheEntry) -> SearchPage:
        asked = tuple(stems_of(query))
        by_text = PHRASE_OR_EXCLUSION.search(query) is not None
        if position is not None and not (position.asked == asked and self._is_sound(position, by_text)):
            raise Invalid(errors=[{"path": "cursor", "message": "Not a cursor of this search"}])
        if by_text and asked:
            return await self._by_text(query, asked, position, limit)
        if not asked:
            return SearchPage((), None)
        if position is not None:
            return await self._by_words(asked, position.words, position, limit, known)
        words, meant = await self._words(asked, known)
        page = await self._by_words(asked, words, None, limit, known)
        return replace(page, corrected=_corrected(query, meant))

    def _is_sound(self, position: Position, by_text: bool) -> bool:
        """A position comes back from the client: whatever it says must be something this class could have said."""
        if by_text or position.edge is None:
            return by_text and position.scored is not None
        places = [place for place in (position.edge, position.ranked, position.walked) if place is not None]
        streams = len(streams_for(position.words)) if position.words else 0
        return (
            len(places) == 2
            and 0 < len(position.words) <= self._config.search_words_max
            and 0 <= position.edge[0] < streams
            and all(abs(number) <= NUMBER_MAX for place in places for number in place[:2])
        )

    async def _by_text(self, query: str, asked: tuple[str, ...], position: Position | None, limit: int) -> SearchPage:
        found = await self._repository.text(query, position.scored if position else None, limit + 1)
        items = tuple(product for product, _ in found[:limit])
        if len(found) <= limit:
            return SearchPage(items, None)
        return SearchPage(items, Position(asked, scored=(found[limit - 1][1], items[-1].id)))

    async def _words(self, asked: Sequence[str], known: SearchCacheEntry) -> tuple[tuple[str, ...], dict[str, str]]:
        """The stems to search for, the rarest first, and which were taken for another. A word nobody wrote is taken for
        its nearest known one, or left out if others remain."""
        counts = {word: known.words[word] for word in asked if word in known.words}
        if unread := tuple(word for word in asked if word not in counts):
            found = await self._counts(unread)
            known.add_words(found)
            counts |= found
        near = {word: await self._vocabulary.near(word) for word in asked if word not in counts}
        meant = {word: other for word, other in near.items() if other is not None}
        if meant:
            counts |= await self._vocabulary.counts(meant.values())
        rarest = sorted(counts, key=lambda each: (counts[each], each)) or list(asked)
        return tuple(rarest[: self._config.search_words_max]), meant

    async def _counted_together(self, batch: Sequence[tuple[str, ...]]) -> Sequence[dict[str, int]]:
        """Searches that wait share one look at the vocabulary."""
        counts = await self._vocabulary.counts({word for asked in batch for word in asked})
        return [{word: counts[word] for word in asked if word in counts} for asked in batch]

    async def _by_words(
        self,
        asked: tuple[str, ...],
        words: tuple[str, ...],
        position: Position | None,
        limit: int,
        known: SearchCacheEntry,
    ) -> SearchPage:
        streams = streams_for(words)
        entries, edge = await self._entries(streams, words, position, limit + 1, known)
        items = await self._on_sale([entry.id for entry in entries[:limit]], known)
        if len(entries) <= limit:
            return SearchPage(tuple(items), None)
        last = entries[limit - 1]
        return SearchPage(tuple(items), Position(asked, words, edge, last.ranked, last.walked))

    async def _on_sale(self, ids: Sequence[str], known: SearchCacheEntry) -> list[Product]:
        on_sale = {each: known.products[each] for each in ids if each in known.products}
        unread = [each for each in ids if each not in on_sale]
        found = {product.id: product for product in await self._products.on_sale(unread)}
        known.add_products(found)
        on_sale |= found
        return [on_sale[each] for each in ids if each in on_sale]

    async def _entries(
        self,
        streams: Sequence[Stream],
        words: tuple[str, ...],
        position: Position | None,
        limit: int,
        known: SearchCacheEntry,
    ) -> tuple[list[_Entry], Walked]:
        if position is not None and position.walked is not None:
            assert position.edge is not None, "checked by _is_sound"
            return await self._tail(streams, position.walked, position.edge, limit), position.edge
        head, edge = await self._head(streams, words, position, limit, known)
        entries = _ranked(head, streams, words)
        if position is not None and position.ranked is not None:
            after = position.ranked
            entries = [entry for entry in entries if entry.ranked is not None and entry.ranked > after]
        if len(entries) < limit:
            entries += await self._tail(streams, edge, edge, limit - len(entries))
        return entries[:limit], edge

    async def _head(
        self,
        streams: Sequence[Stream],
        words: tuple[str, ...],
        position: Position | None,
        enough: int,
        known: SearchCacheEntry,
    ) -> Head:
        """The candidates that are ranked by their words, and where they end. From a position, those up to its edge."""
        if position is not None and position.edge is not None:
            return await self._gather_again(streams, position.edge)
        head = known.heads.get((words, enough))
        if head is None:
            head = await self._gather(streams, enough)
            known.add_head(words, enough, head)
        return head

    async def _gather(self, streams: Sequence[Stream], enough: int) -> Head:
        found: list[Candidate] = []
        edge: Walked = (0, *LOWEST)
        for number in range(len(streams)):
            room = self._config.search_head_max - len(found)
            candidates = await self._repository.walk(streams, number, room)
            found += candidates
            edge = candidates[-1].place if len(candidates) == room else (number, *LOWEST)
            if len(found) >= enough or len(candidates) == room:
                break
        return found, edge

    async def _gather_again(self, streams: Sequence[Stream], edge: Walked) -> Head:
        """Products that came into the head meanwhile are let in, up to as many again."""
        found: list[Candidate] = []
        for number in range(edge[0] + 1):
            from_rank = edge[1] if number == edge[0] and edge[1:] != LOWEST else None
            room = 2 * self._config.search_head_max
            candidates = await self._repository.walk(streams, number, room, from_rank=from_rank)
            found += [each for each in candidates if not _is_beyond(each.place, edge)]
        return found, edge

    async def _tail(self, streams: Sequence[Stream], place: Walked, edge: Walked, limit: int) -> list[_Entry]:
        """What comes after a place on the walk. Products with only some of the words follow only where the head already
        needed them."""
        found: list[_Entry] = []
        start, rank, last_id = place
        for number in range(start, len(streams)):
            if streams[edge[0]].whole and not streams[number].whole:
                break
            after = (rank, last_id) if number == start else None
            if after == LOWEST:
                continue
            candidates = await self._repository.walk(streams, number, limit - len(found), after=after)
            found += [_Entry(each.id, None, each.place) for each in candidates]
            if len(found) >= limit:
                break
        return found


def _ranked(head: Sequence[Candidate], streams: Sequence[Stream], words: Sequence[str]) -> list[_Entry]:
    wanted = frozenset(words)
    keys = [((streams[each.stream].tier, -score(wanted, each), each.id), each) for each in head]
    return [_Entry(each.id, key, None) for key, each in sorted(keys, key=lambda pair: pair[0])]


def _is_beyond(place: Walked, edge: Walked) -> bool:
    stream, rank, last_id = edge
    return place[0] == stream and (place[1], place[2]) < (rank, last_id)


def _corrected(query: str, meant: Mapping[str, str]) -> str | None:
    """The query with each mistyped word replaced by what it was taken for."""
    if not meant:
        return None
    return " ".join(meant.get(stem(word), word) for word in words_of(query))
