"""The judge of searches, and the catalogue and the queries it judges with."""

import math
from itertools import islice

import pytest

from benchmarks.kit.catalogue import CatalogueEntry, TraceName, catalogue
from benchmarks.kit.search_queries import judged_queries, query_mix
from benchmarks.lookups.command import broken
from benchmarks.search.relevance import Judge, judge, ndcg, reciprocal_rank
from service.catalog.terms import stems_of

NAMES = [
    TraceName("WHITE HANGING HEART T-LIGHT HOLDER", 900, 295),
    TraceName("HEART OF WICKER SMALL", 400, 165),
    TraceName("RED RETROSPOT MUG", 200, 125),
    TraceName("SMALL RED HEART BOX", 100, 85),
    TraceName("JUMBO BAG RED RETROSPOT", 50, 208),
]


def entry(name: str, description: str = "") -> CatalogueEntry:
    return CatalogueEntry(name, description, "home", "", (), 100, 0)


def test_names_count_more_than_descriptions_and_all_words_more_than_half() -> None:
    entries = [entry("RED MUG"), entry("RED MUG SET"), entry("MUG", "in red"), entry("RED BOWL"), entry("BLUE VASE")]
    grades = Judge(entries).grades("red mug")
    ranked = sorted(grades, key=lambda each: -grades[each])
    assert [int(each, 16) for each in ranked] == [0, 1, 2, 3]
    assert [int(grades[each]) for each in ranked] == [4, 3, 2, 1]


def test_ndcg_is_one_for_the_best_order_and_less_for_any_other() -> None:
    grades = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert ndcg(["a", "b", "c"], grades) == 1
    assert 0 < ndcg(["c", "b", "a"], grades) < ndcg(["b", "a", "c"], grades) < 1
    assert ndcg([], grades) == 0
    assert ndcg(["x"], {}) == 1


def test_ndcg_by_hand() -> None:
    second = 1 / math.log2(3)
    assert ndcg(["b", "a"], {"a": 2.0, "b": 1.0}) == pytest.approx((1 + 3 * second) / (3 + 1 * second))


def test_a_known_item_below_the_tenth_place_earns_nothing() -> None:
    places = [f"p{number}" for number in range(11)]
    assert reciprocal_rank(places, "p1") == 0.5
    assert reciprocal_rank(places, "p10") == 0


def test_a_search_that_ranks_worse_or_answers_slower_is_called_out() -> None:
    good = {"ndcg10": 0.9, "knownItem": 0.5, "p50Ms": 1.0, "p95Ms": 2.0}
    figures = {"queries": 1, "products": 1}
    assert judge({"ways": {"termIndex": good, "textScore": good}, **figures}).broken == ()
    for worse in ({"ndcg10": 0.8}, {"knownItem": 0.4}, {"p95Ms": 3.0}):
        assert judge({"ways": {"termIndex": good | worse, "textScore": good}, **figures}).broken


def test_a_look_up_that_misses_the_documented_table_is_called_out() -> None:
    ways = {name: {"p50Ms": 1.0, "p95Ms": 1.0} for name in ("termIndex", "regexScan", "textIndex")}
    row = {"operation": "x", "p95Ratio": 10, "requiredP95Ratio": 10, "p95AfterMs": 5, "requiredP95AfterMs": 5}
    row |= {"growth": 2.0}
    assert list(broken({"rows": [row], "otherWaysToSearch": ways})) == []
    for worse in ({"p95Ratio": 9.9}, {"p95AfterMs": 5.1}, {"growth": 2.1}):
        assert len(list(broken({"rows": [row | worse], "otherWaysToSearch": ways}))) == 1
    slow = ways | {"termIndex": {"p50Ms": 1.0, "p95Ms": 9.0}}
    assert len(list(broken({"rows": [row], "otherWaysToSearch": slow}))) == 2


def test_the_same_seed_makes_the_same_catalogue_and_the_same_queries() -> None:
    assert list(catalogue(NAMES, 60, 7)) == list(catalogue(NAMES, 60, 7))
    assert list(catalogue(NAMES, 60, 7)) != list(catalogue(NAMES, 60, 8))
    assert query_mix(NAMES, 50, 7) == query_mix(NAMES, 50, 7)


def test_a_catalogue_begins_with_the_real_names_and_has_each_name_once() -> None:
    entries = list(islice(catalogue(NAMES, 80, 1), 80))
    assert [each.name for each in entries[: len(NAMES)]] == [each.name for each in NAMES]
    assert [each.popularity for each in entries[: len(NAMES)]] == [each.lines for each in NAMES]
    assert len({each.name for each in entries}) == 80
    words = {word for each in NAMES for word in stems_of(each.name)}
    sizes = set(stems_of("SMALL LARGE MINI JUMBO SET OF 2 SET OF 4 PACK OF 6"))
    assert all(set(stems_of(each.name)) <= words | sizes for each in entries)


def test_judged_queries_are_words_of_the_name_they_were_made_from() -> None:
    queries = judged_queries(NAMES, 30, 1)
    assert len({query.text for query in queries}) == 30
    for query in queries:
        assert set(stems_of(query.text)) <= set(stems_of(query.name))


def test_the_mix_holds_words_nobody_wrote() -> None:
    known = {word for each in NAMES for word in stems_of(each.name)}
    mistyped = [query for query in query_mix(NAMES, 400, 1) if not set(stems_of(query)) <= known]
    assert 0 < len(mistyped) < 60


@pytest.mark.parametrize("department", ["GROCERY", "PRODUCE", "DRUG GM", "SPIRITS", "A DEPARTMENT NOBODY KNOWS"])
def test_no_food_is_described_as_made_of_what_homeware_is_made_of(department: str) -> None:
    names = [
        TraceName("FLUID MILK NATIONAL 1 GA", 9, 300, department),
        TraceName("CHEESE NATIONAL 8 OZ", 5, 250, department),
    ]
    told = " ".join(entry.description + " ".join(entry.tags) for entry in catalogue(names, 200, 3))
    strange = ("wicker", "felt", "zinc", "enamel", "cotton", "damp cloth", "Dishwasher", "Looks lovely")
    assert [word for word in strange if word in told] == []
    assert "wicker" in " ".join(entry.description for entry in catalogue(NAMES, 200, 3))
