"""What a search may go by that an earlier one has read: of the same generation, fresh enough, and never too much."""

from dataclasses import replace
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.catalog.models import NewProduct, Product
from service.catalog.search.cache import SearchCache, SearchCacheEntry
from service.catalog.search.usecases import Search
from service.catalog.terms import code_key
from service.config import Config

NOW, LATER = b"generation 1", b"generation 2"


class Reads:
    """What a search asks of MongoDB, by name."""

    def __init__(self, search: Search) -> None:
        self.seen: list[str] = []
        for holder, name in (
            (search._vocabulary, "counts"),
            (search._repository, "walk"),
            (search._products, "on_sale"),
        ):
            setattr(holder, name, self._counted(name, getattr(holder, name)))

    def _counted(self, name: str, read: Any) -> Any:
        async def counted(*asked: Any, **more: Any) -> Any:
            found = await read(*asked, **more)
            if name != "on_sale" or asked[0]:
                self.seen.append(name)
            return found

        return counted

    def take(self) -> set[str]:
        seen = set(self.seen)
        self.seen.clear()
        return seen


@pytest.fixture
def reads(shop: Shop) -> Reads:
    return Reads(shop.search)


async def mug(shop: Shop, name: str = "Red mug") -> Product:
    return await shop.catalog.create(NewProduct(name, 100, "mugs"))


async def prices(shop: Shop, query: str, generation: bytes) -> list[int]:
    return [each.price for each in (await shop.search.find(query, None, 24, generation)).items]


async def test_the_same_search_reads_nothing_twice_within_a_generation(shop: Shop, reads: Reads) -> None:
    await mug(shop)
    assert await prices(shop, "mug", NOW) == [100]
    assert reads.take() == {"counts", "walk", "on_sale"}
    assert await prices(shop, "mugs", NOW) == [100]
    assert reads.take() == set()


async def test_whether_a_query_is_a_sku_is_asked_once_within_a_generation(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, best, asked = await mug(shop), shop.search._repository.best, list[str]()

    async def counted(keys: Any, limit: int) -> Any:
        asked.extend(keys)
        return await best(keys, limit)

    monkeypatch.setattr(shop.search._repository, "best", counted)
    for query in ("mug", "mug", product.skus[0], product.skus[0].lower()):
        assert await prices(shop, query, NOW) == [100]
    assert asked == [code_key("mug"), code_key(product.skus[0])]
    await prices(shop, "mug", LATER)
    assert asked[2:] == [code_key("mug")]


async def test_another_search_reads_what_is_new_to_it(shop: Shop, reads: Reads) -> None:
    await mug(shop)
    await mug(shop, "Blue mug")
    await prices(shop, "mug", NOW)
    reads.take()
    assert await prices(shop, "red mug", NOW) == [100, 100]
    assert reads.take() == {"counts", "walk"}, "its products are known"


async def test_another_generation_knows_nothing_of_the_last_one(shop: Shop, reads: Reads) -> None:
    product = await mug(shop)
    await prices(shop, "mug", NOW)
    await shop.catalog.edit(product.id, {"price": 200})
    assert await prices(shop, "mug", LATER) == [200]
    assert await prices(shop, "mug", NOW) == [200], "nor the other way round"


async def test_what_was_read_before_a_change_is_not_known_after_it(shop: Shop) -> None:
    """A search that began under the old generation ends under the new one."""
    product = await mug(shop)
    on_sale = shop.search._products.on_sale

    async def edited_meanwhile(ids: Any) -> Any:
        found = await on_sale(ids)
        shop.search._products.on_sale = on_sale  # type: ignore[method-assign]
        await shop.catalog.edit(product.id, {"price": 200})
        assert await prices(shop, "mug", LATER) == [200]
        return found

    shop.search._products.on_sale = edited_meanwhile  # type: ignore[method-assign]
    assert await prices(shop, "mug", NOW) == [100], "its own request came before the change"
    assert await prices(shop, "mug", LATER) == [200]


async def test_without_a_generation_everything_is_read(shop: Shop, reads: Reads) -> None:
    product = await mug(shop)
    for price in (100, 200):
        await shop.catalog.edit(product.id, {"price": price})
        assert await prices(shop, "mug", b"") == [price]
        assert reads.take() == {"counts", "walk", "on_sale"}


async def test_what_moves_without_ending_a_generation_is_not_old_for_long(
    shop: Shop, clock: shops.MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mug(shop)
    await mug(shop, "Blue mug")
    *_, last = (await shop.search.find("mug", None, 24, NOW)).items
    await shop.catalog.record_sales({last.id: 10_000})
    await shop.catalog.count_sales()
    assert (await shop.search.find("mug", None, 24, NOW)).items[-1].id == last.id
    over = clock.monotonic() + shop.config.search_known_seconds
    monkeypatch.setattr(clock, "monotonic", lambda: over)
    assert (await shop.search.find("mug", None, 24, NOW)).items[0].id == last.id


async def test_a_product_that_leaves_the_memory_while_others_are_read_is_still_found(shop: Shop) -> None:
    await mug(shop)
    assert await prices(shop, "red", NOW) == [100]
    await mug(shop, "Blue mug")
    on_sale = shop.search._products.on_sale

    async def crowded_out(ids: Any) -> Any:
        found = await on_sale(ids)
        shop.search._cache.entry(NOW).products.clear()
        return found

    shop.search._products.on_sale = crowded_out  # type: ignore[method-assign]
    assert await prices(shop, "mug", NOW) == [100, 100]


async def test_a_word_that_nobody_wrote_is_looked_for_again(shop: Shop) -> None:
    assert await prices(shop, "mug", NOW) == []
    await mug(shop)
    assert await prices(shop, "mug", LATER) == [100]


def test_what_is_known_is_bounded_and_the_oldest_leaves_first(clock: shops.MovableClock) -> None:
    config = replace(Config(), search_known_words_max=2, search_known_heads_max=1)
    memory = SearchCache(clock, config)
    known = memory.entry(NOW)
    known.add_words({"a": 1, "b": 1})
    known.add_words({"c": 1})
    known.add_head(("a",), 25, ([], (0, 0, "")))
    known.add_head(("b",), 25, ([], (0, 0, "")))
    assert list(known.words) == ["b", "c"]
    assert list(known.heads) == [(("b",), 25)]
    assert memory.entry(NOW) is known
    nothing = memory.entry(b"")
    nothing.add_words({"a": 1})
    assert nothing == SearchCacheEntry()
    assert memory.entry(LATER) is not known
