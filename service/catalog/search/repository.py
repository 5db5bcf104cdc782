"""The queries of search: bounded walks along the term index; the weighted text index for quotes and exclusions."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.catalog.models import Product
from service.catalog.repository import ACTIVE, PRODUCTS, WITHOUT_SEARCH_KEYS, to_product
from service.catalog.search.plan import Candidate, Stream
from service.infra.mongo.client import Database

WALK_ORDER = {"search.rank": -1, "_id": -1}
CANDIDATE_FIELDS = {"search.rank": 1, "search.name": 1}

TEXT_WINDOWS = 4  # a phrase is looked for in so many windows of products that have its words

Place = tuple[int, str]
Scored = tuple[Product, float]


class SearchRepository:
    def __init__(self, database: Database, window_max: int) -> None:
        self._products, self._window_max = database[PRODUCTS], window_max
        self._text_max = TEXT_WINDOWS * window_max

    async def walk(
        self,
        streams: Sequence[Stream],
        number: int,
        limit: int,
        *,
        after: Place | None = None,
        from_rank: int | None = None,
    ) -> list[Candidate]:
        """The next products of a stream, the best first: after a place (rank, id), or down to a rank.

        A stream with conditions beside its walk looks at `window_max` products and no more, so that no combination of
        common words can make a search slow."""
        found: list[Candidate] = []
        for reach in _reaches(after, from_rank):
            steps = [*self._walked(streams, number, limit - len(found), reach), {"$project": CANDIDATE_FIELDS}]
            rows = await self._products.aggregate(steps).to_list(None)
            found += [to_candidate(number, row) for row in rows]
            if len(found) >= limit:
                break
        return found

    def _walked(
        self, streams: Sequence[Stream], number: int, limit: int, reach: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        stream, earlier = streams[number], streams[:number]
        start = {"$match": {**ACTIVE, "search.keys": stream.walked, **reach}}
        if not stream.also and not earlier:
            return [start, {"$sort": WALK_ORDER}, {"$limit": limit}]
        conditions = stream.also_conditions()
        if earlier:
            conditions.append({"$nor": [each.condition() for each in earlier]})
        window: list[dict[str, Any]] = [{"$sort": WALK_ORDER}, {"$limit": self._window_max}]
        return [start, *window, {"$match": {"$and": conditions}}, {"$limit": limit}]

    async def best(self, keys: Sequence[str], limit: int) -> list[Candidate]:
        """The best products that have any of these keys."""
        query = {**ACTIVE, "search.keys": {"$in": list(keys)}}
        found = self._products.find(query, CANDIDATE_FIELDS).sort(list(WALK_ORDER.items())).limit(limit)
        return [to_candidate(0, row) for row in await found.to_list(limit)]

    async def text(self, query: str, after: tuple[float, str] | None, limit: int) -> list[Scored]:
        """Understands "quoted phrases" and -excluded words. The best by MongoDB's own text score, which reads every
        match; of more matches than four windows so many are read, and the most popular of them come first."""
        matching = {"$match": {**ACTIVE, "$text": {"$search": query}}}
        score: Any = {"$meta": "textScore"}
        steps: list[dict[str, Any]] = [matching]
        if await self._is_common(matching):
            steps.append({"$limit": self._text_max})
            score = "$search.rank"
        steps.append({"$set": {"textScore": score}})
        if after is not None:
            last_score, last_id = after
            ties = {"textScore": last_score, "_id": {"$lt": last_id}}
            steps.append({"$match": {"$or": [{"textScore": {"$lt": last_score}}, ties]}})
        steps += [
            {"$sort": {"textScore": -1, "_id": -1}},
            {"$limit": limit},
            {"$project": WITHOUT_SEARCH_KEYS},
        ]
        rows = await self._products.aggregate(steps).to_list(None)
        return [(to_product(row), row["textScore"]) for row in rows]

    async def _is_common(self, matching: Mapping[str, Any]) -> bool:
        """Without a score the server stops as soon as it has seen so many."""
        steps = [matching, {"$limit": self._text_max + 1}, {"$count": "matches"}]
        counted = await self._products.aggregate(steps).to_list(None)
        return bool(counted) and counted[0]["matches"] > self._text_max


def _reaches(after: Place | None, from_rank: int | None) -> list[dict[str, Any]]:
    """Ranks tie often: first those that tie with the place, then those below it, each an index range of its own."""
    if after is not None:
        rank, last_id = after
        return [{"search.rank": rank, "_id": {"$lt": last_id}}, {"search.rank": {"$lt": rank}}]
    return [{} if from_rank is None else {"search.rank": {"$gte": from_rank}}]


def to_candidate(stream: int, row: Mapping[str, Any]) -> Candidate:
    return Candidate(stream, row["search"]["rank"], row["_id"], tuple(row["search"]["name"]))
