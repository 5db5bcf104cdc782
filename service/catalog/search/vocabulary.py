"""The words of the catalogue: how common each is, which are near a mistyped one, which begin with what was typed.

A hint, never the truth: products carry their own keys, so a word too many or a count too old costs at most speed.
One document a stem; its display form is a word that was really written ("christmas" for the stem "christma").
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import DeleteOne, UpdateOne

from service.catalog.repository import ACTIVE, PRODUCTS
from service.catalog.terms import (
    deletions_of,
    is_one_edit_apart,
    is_word_key,
    joined_of,
    prefixes_of,
    stem,
    stem_of_key,
    words_of,
)
from service.infra.mongo.client import Database

WORDS = "search_terms"
FORGIVEN_LENGTH_MIN = 4
NEAR_MAX = 50
LEARNED_TOGETHER_MAX = 1_000


class Vocabulary:
    def __init__(self, database: Database) -> None:
        self._words, self._products = database[WORDS], database[PRODUCTS]

    async def counts(self, stems: Iterable[str]) -> dict[str, int]:
        """How many products have each stem; unknown ones are left out."""
        found = self._words.find({"_id": {"$in": sorted(stems)}}, {"count": 1})
        return {each["_id"]: each["count"] for each in await found.to_list(None)}

    async def near(self, word: str) -> str | None:
        """The most common stem one edit away from a word nobody wrote."""
        if len(word) < FORGIVEN_LENGTH_MIN:
            return None
        query = {"deletions": {"$in": deletions_of(word)}}
        found = self._words.find(query, {"count": 1}).sort("count", -1).limit(NEAR_MAX)
        return next((each["_id"] for each in await found.to_list(None) if is_one_edit_apart(each["_id"], word)), None)

    async def completions(self, prefix: str, limit: int) -> list[tuple[str, str]]:
        """Stems and words that begin so, the most common first; for a plural typed to its end, the word itself."""
        if not prefix:
            return []
        found = self._words.find({"prefixes": prefixes_of(prefix)[-1]}, {"word": 1}).sort("count", -1).limit(limit)
        begun = [each for each in await found.to_list(limit) if each["word"].startswith(prefix)]
        begun = begun or await self._words.find({"_id": stem(prefix)}, {"word": 1}).to_list(1)
        return [(each["_id"], each["word"]) for each in begun]

    async def learn(self, texts: Iterable[str]) -> None:
        """Adds the words that are not known yet. Safe to repeat, and to run at the same time."""
        written: dict[str, str] = {}
        for text in texts:
            for word in (*words_of(text), *joined_of(text)):
                written[stem(word)] = min(written.get(stem(word), word), word)
        stems = sorted(written)
        for start in range(0, len(stems), LEARNED_TOGETHER_MAX):
            await self._learn({each: written[each] for each in stems[start : start + LEARNED_TOGETHER_MAX]})

    async def _learn(self, written: Mapping[str, str]) -> None:
        """The first of two forms of a stem in the alphabet is the plainer one, and is kept: heart, hearts."""
        found = await self._words.find({"_id": {"$in": sorted(written)}}, {"word": 1}).to_list(None)
        known = {each["_id"]: each["word"] for each in found}
        plainer = [each for each, word in written.items() if known.get(each, word) > word]
        updates = [UpdateOne({"_id": each}, {"$set": _forms(each, written[each])}) for each in plainer]
        updates += [_insert(each, word, 1) for each, word in written.items() if each not in known]
        await self._write(updates)

    async def recount(self) -> int:
        """Counts every word anew and forgets those no active product has. Returns how many words there are."""
        steps: list[dict[str, Any]] = [
            {"$match": ACTIVE},
            {"$project": {"search.keys": 1}},
            {"$unwind": "$search.keys"},
            {"$group": {"_id": "$search.keys", "count": {"$sum": 1}}},
        ]
        counts: dict[str, int] = {}
        async for row in self._products.aggregate(steps, allowDiskUse=True):
            if is_word_key(row["_id"]):
                counts[stem_of_key(row["_id"])] = counts.get(stem_of_key(row["_id"]), 0) + row["count"]
        known = {each["_id"]: each["count"] async for each in self._words.find({}, {"count": 1})}
        moved = {each: count for each, count in counts.items() if each in known and known[each] != count}
        writes: list[Any] = [UpdateOne({"_id": each}, {"$set": {"count": count}}) for each, count in moved.items()]
        writes += [_insert(each, each, count) for each, count in counts.items() if each not in known]
        writes += [DeleteOne({"_id": each}) for each in known if each not in counts]
        await self._write(writes)
        return len(counts)

    async def _write(self, writes: Sequence[Any]) -> None:
        for start in range(0, len(writes), LEARNED_TOGETHER_MAX):
            await self._words.bulk_write(writes[start : start + LEARNED_TOGETHER_MAX], ordered=False)


def _insert(term: str, word: str, count: int) -> UpdateOne:
    return UpdateOne({"_id": term}, {"$setOnInsert": {"count": count, **_forms(term, word)}}, upsert=True)


def _forms(term: str, word: str) -> dict[str, Any]:
    """Numbers and single letters are neither suggested nor taken for a typo of something else."""
    telling = len(word) > 1 and not word.isdigit()
    return {
        "word": word,
        "prefixes": prefixes_of(word) if telling else [],
        "deletions": deletions_of(term) if telling and len(term) >= FORGIVEN_LENGTH_MIN else [],
    }
