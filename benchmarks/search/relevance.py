"""Is search right? Judged queries made from real names, answered by the shop's search and by MongoDB's own text score.

Nobody marks 100,000 products by hand, so the judgements are rules, written down here and blind to either ranking:

- graded: 3 if all words stand in the name, 2 if all stand in name or description, 1 if half stand in the name; plus, to
  tell apart those of one grade, the share of words that query and name have in common (0 to 1). Measured as nDCG@10.
- known item: the real product whose name the query was made from. Measured as the mean reciprocal rank, 0 below ten.
"""

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from benchmarks.kit.catalogue import CatalogueEntry, catalogue, vocabulary
from benchmarks.kit.outcome import Outcome, progress, table
from benchmarks.kit.own_stores import own_stores
from benchmarks.kit.percentiles import percentile
from benchmarks.kit.search_queries import Query, judged_queries
from benchmarks.lookups.data import fill_catalogue
from benchmarks.lookups.operations import PAGE, product_search, text_search
from service.catalog.terms import stems_of

DATABASE = "bench_relevance"
DEPTH = 10
MEASURES = ("ndcg10", "knownItem")

Rank = Callable[[str], Awaitable[Sequence[str]]]
Grades = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    products: int = 100_000
    queries: int = 250
    seed: int = 1


class Judge:
    """Knows every product's words, and grades all of them for a query."""

    def __init__(self, entries: Sequence[CatalogueEntry]) -> None:
        self._named: dict[str, set[str]] = defaultdict(set)
        self._told: dict[str, set[str]] = defaultdict(set)
        self._size: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        for number, entry in enumerate(entries):
            product_id = f"{number:028x}"
            self.ids.setdefault(entry.name, product_id)
            self._size[product_id] = len(stems_of(entry.name))
            _index(self._named, product_id, stems_of(entry.name))
            _index(self._told, product_id, stems_of(" ".join((entry.name, entry.description, entry.brand))))

    def grades(self, query: str) -> Grades:
        words = stems_of(query)
        found = self._found_in_name(words)
        close = {each: common / (len(words) + self._size[each] - common) for each, common in found.items()}
        grades = {each: 1.0 for each, common in found.items() if 2 * common >= len(words)}
        grades |= dict.fromkeys(set.intersection(*(self._told[word] for word in words)), 2.0)
        grades |= dict.fromkeys(set.intersection(*(self._named[word] for word in words)), 3.0)
        return {each: grade + close.get(each, 0.0) for each, grade in grades.items()}

    def _found_in_name(self, words: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for word in words:
            for product in self._named[word]:
                found[product] += 1
        return found


@dataclass(slots=True)
class Marks:
    """What one way of searching has earned, query by query."""

    ndcg10: list[float] = field(default_factory=list)
    knownItem: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        means = {name: round(sum(marks) / len(marks), 4) for name in MEASURES if (marks := getattr(self, name))}
        return means | {
            "p50Ms": round(percentile(self.milliseconds, 50), 2),
            "p95Ms": round(percentile(self.milliseconds, 95), 2),
        }


def ndcg(ranked: Sequence[str], grades: Grades, depth: int = DEPTH) -> float:
    """Normalised discounted cumulative gain of the first `depth`; 1 when nothing could have been found."""
    ideal = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain([grades.get(each, 0.0) for each in ranked[:depth]]) / ideal if ideal else 1.0


def _gain(grades: Iterable[float]) -> float:
    return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades))


def reciprocal_rank(ranked: Sequence[str], wanted: str, depth: int = DEPTH) -> float:
    return 1 / (ranked.index(wanted) + 1) if wanted in ranked[:depth] else 0.0


def _index(words: dict[str, set[str]], product_id: str, stems: Iterable[str]) -> None:
    for each in stems:
        words[each].add(product_id)


async def judged(judge: Judge, queries: Sequence[Query], ways: Mapping[str, Rank]) -> dict[str, dict[str, float]]:
    """Every query by every way, in turns."""
    marks = {name: Marks() for name in ways}
    for query in queries:
        grades = judge.grades(query.text)
        for name, rank in ways.items():
            started = perf_counter()
            ranked = await rank(query.text)
            marks[name].milliseconds.append((perf_counter() - started) * 1_000)
            marks[name].ndcg10.append(ndcg(ranked, grades))
            marks[name].knownItem.append(reciprocal_rank(ranked, judge.ids[query.name]))
    return {name: marks[name].row() for name in ways}


def ways(database: Any) -> dict[str, Rank]:
    search, text = product_search(database), text_search(database)

    async def by_terms(query: str) -> Sequence[str]:
        return [product.id for product in (await search(query)).items]

    async def by_text(query: str) -> Sequence[str]:
        return [product.id for product, _ in await text(query)]

    return {"termIndex": by_terms, "textScore": by_text}


async def run(client: Any, plan: Plan, step: Callable[[str], None]) -> dict[str, Any]:
    names = vocabulary()
    entries = list(catalogue(names, plan.products, plan.seed))
    database = client[DATABASE]
    try:
        await fill_catalogue(database, entries)
        step("filled")
        queries = judged_queries(names[: plan.products], plan.queries, plan.seed)
        rows = await judged(Judge(entries), queries, ways(database))
        step("judged")
    finally:
        await client.drop_database(DATABASE)
    return {"products": plan.products, "queries": plan.queries, "page": PAGE, "ways": rows}


def measure(plan: Plan) -> Outcome:
    import asyncio

    import uvloop
    from motor.motor_asyncio import AsyncIOMotorClient

    async def on(uri: str, step: Callable[[str], None]) -> dict[str, Any]:
        client: Any = AsyncIOMotorClient(uri, tz_aware=True, w=1)
        try:
            return await run(client, plan, step)
        finally:
            client.close()

    with (
        own_stores() as stores,
        progress("relevance", 2) as step,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return judge(runner.run(on(stores.mongodb_uri, step)))


def judge(result: dict[str, Any]) -> Outcome:
    ours, theirs = result["ways"]["termIndex"], result["ways"]["textScore"]
    columns = (*MEASURES, "p50Ms", "p95Ms")
    rows = [[name, *(row[each] for each in columns)] for name, row in result["ways"].items()]
    title = f"{result['queries']} judged queries on {result['products']:,} products"
    worse = tuple(
        f"{name} is {ours[name]}, text score {theirs[name]}" for name in MEASURES if ours[name] < theirs[name]
    )
    slower = (f"p95 is {ours['p95Ms']} ms, by text {theirs['p95Ms']}",) if ours["p95Ms"] > theirs["p95Ms"] else ()
    return Outcome(result, (table(title, ("way", *columns), rows),), worse + slower)
