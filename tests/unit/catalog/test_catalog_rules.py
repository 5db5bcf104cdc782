"""The pure rules of the catalogue: slugs, variants, ranks, the category tree, how a search is planned."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from service.catalog.models import (
    RESERVED_SKUS,
    RESERVED_SLUGS,
    Category,
    CategoryNode,
    Filters,
    Product,
    Rating,
    Variant,
    check_variants,
    edited,
    follows_name,
    rank_of,
    slugify,
    standing_of,
    tree_of,
)
from service.catalog.search.plan import Candidate, score, streams_for
from service.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MUG = Product(
    id="p1",
    slug="red-mug",
    name="Red mug",
    description="",
    category="mugs",
    brand="",
    tags=(),
    price=500,
    currency="GBP",
    images=(),
    variants=(),
    sku="MUG",
    created_at=NOW,
    updated_at=NOW,
)
SMALL, LARGE = Variant("MUG-S", "small", 400), Variant("MUG-L", "large", 600)


def test_a_slug_is_made_of_the_names_words() -> None:
    assert slugify("Poppy's  CAFÉ: mug (2)") == "poppy-cafe-mug-2"
    assert len(slugify("word " * 100)) <= 80


@pytest.mark.parametrize("name", ["", "!!!", "кружка", *sorted(RESERVED_SLUGS)])
def test_a_name_without_a_usable_word_still_gets_a_slug_of_its_own(name: str) -> None:
    assert slugify(name)
    assert slugify(name) not in RESERVED_SLUGS


def test_a_slug_that_was_chosen_is_told_from_one_made_from_the_name() -> None:
    assert follows_name("red-mug", "Red mug")
    assert follows_name("red-mug-7k2p", "Red mug")
    assert not follows_name("our-best-mug", "Red mug")


def test_a_renamed_product_remembers_each_slug_once_and_never_its_own() -> None:
    there_and_back = MUG.renamed("blue-mug").renamed("red-mug").renamed("blue-mug")
    assert there_and_back.slug == "blue-mug"
    assert there_and_back.old_slugs == ("red-mug",)


def test_a_product_without_variants_is_sold_as_itself() -> None:
    assert MUG.sold == (Variant("MUG", "Red mug", 500),)
    assert replace(MUG, variants=(SMALL, LARGE), sku=None).skus == ("MUG-S", "MUG-L")


def test_variants_take_the_place_of_the_products_own_sku() -> None:
    assert edited(MUG, {"variants": (SMALL, LARGE)}).sku is None


def test_a_product_cannot_be_left_without_any_sku() -> None:
    with pytest.raises(Invalid):
        edited(replace(MUG, variants=(SMALL,), sku=None), {"variants": ()})


def test_a_sku_beside_variants_is_refused() -> None:
    with pytest.raises(Invalid):
        edited(replace(MUG, variants=(SMALL,), sku=None), {"sku": "MUG"})


def test_two_variants_with_one_sku_are_refused() -> None:
    with pytest.raises(Invalid):
        edited(MUG, {"variants": (SMALL, replace(LARGE, sku="MUG-S"))})


def test_a_rating_is_the_mean_of_what_was_published() -> None:
    rating = Rating().changed(1, 5).changed(1, 2)
    assert (rating.average, rating.count) == (3.5, 2)
    assert rating.changed(-1, 2) == Rating(1, 5)
    assert Rating().average == 0.0


def test_a_product_that_sells_more_ranks_higher_and_each_doubling_counts_the_same() -> None:
    ranks = [rank_of("Red mug", standing_of(sold, Rating())) for sold in (0, 1, 3, 7, 15)]
    assert [after - before for before, after in pairwise(ranks)] == [10, 10, 10, 10]


def test_one_perfect_review_lifts_a_product_less_than_many_good_ones() -> None:
    unknown, one_five, twenty_fours, bad = Rating(), Rating(1, 5), Rating(20, 80), Rating(20, 20)
    order = [standing_of(10, rating) for rating in (bad, unknown, one_five, twenty_fours)]
    assert order == sorted(set(order))


def test_the_tree_hangs_every_category_under_its_parent() -> None:
    home, kitchen, mugs = (
        Category("home", "Home", ("home",)),
        Category("kitchen", "Kitchen", ("home", "kitchen")),
        Category("mugs", "Mugs", ("home", "kitchen", "mugs")),
    )
    assert tree_of([mugs, kitchen, home]) == [CategoryNode(home, [CategoryNode(kitchen, [CategoryNode(mugs)])])]


def test_whole_matches_are_walked_before_partial_ones() -> None:
    for words in (["mug"], ["mug", "red"], ["mug", "red", "heart", "tin"]):
        streams = streams_for(words)
        assert [stream.tier for stream in streams] == sorted(stream.tier for stream in streams)
        assert [stream.whole for stream in streams] == sorted((s.whole for s in streams), reverse=True)


def test_the_index_is_walked_along_the_rarest_words() -> None:
    rare_first = streams_for(["spaceboy", "lunch", "box"])
    assert rare_first[0].walked == "lunch+spaceboy"
    assert rare_first[0].also == (("box",),)
    assert [stream.walked for stream in rare_first[1:3]] == ["spaceboy", "~spaceboy"]


def points(name: str, *words: str, rank: int = 0) -> int:
    return score(words, Candidate(0, rank, "p", tuple(name.split())))


def test_a_name_that_is_the_query_beats_one_that_contains_it() -> None:
    assert points("red mug", "red", "mug") > points("red mug set", "red", "mug")


def test_words_that_stand_together_beat_words_that_stand_apart() -> None:
    assert points("red mug small tin", "red", "mug") > points("red small tin mug", "red", "mug")


def test_each_word_found_outweighs_a_good_rank() -> None:
    assert points("red tin", "red", "mug", rank=100) < points("red mug tin", "red", "mug")


@pytest.mark.parametrize("sku", sorted(RESERVED_SKUS))
def test_a_sku_that_is_the_apis_own_word_is_refused(sku: str) -> None:
    with pytest.raises(Invalid):
        check_variants((), sku)
    with pytest.raises(Invalid):
        check_variants((replace(SMALL, sku=sku), LARGE), None)


def test_prices_that_no_product_can_lie_between_are_refused() -> None:
    Filters(min_price=5, max_price=5)
    with pytest.raises(Invalid):
        Filters(min_price=6, max_price=5)
