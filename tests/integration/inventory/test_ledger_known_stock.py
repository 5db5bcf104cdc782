"""A process goes by the stock it left itself, and is never wrong for it: others move the same SKUs in between."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import shops

from service.bootstrap import Shop
from service.config import Config
from service.infra.mongo.commands import FindCommand
from service.inventory.known_stock import SKUS_MAX, KnownStock
from service.inventory.models import InsufficientStock, Line, Stock

ASSUMED_AFTER = Config().stock_assumed_after
WARM = ASSUMED_AFTER + 2


@pytest.fixture
async def other(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    async with shops.open_shop(config, clock) as opened:
        yield opened


def stock_reads(shop: Shop) -> list[FindCommand]:
    """Every look at the inventory its ledger takes from now on."""
    runner: Any = shop.ledger._store._runner
    find_all, seen = runner.find_all, []

    async def watched(finds: Sequence[FindCommand], session: Any) -> Any:
        seen.extend(find for find in finds if find.collection == "inventory")
        return await find_all(finds, session)

    runner.find_all = watched
    return seen


async def warmed(shop: Shop, sku: str = "A") -> None:
    for n in range(WARM):
        await shops.buy(shop, user=f"warm{n}", **{sku: 1})


async def history(shop: Shop, sku: str = "A") -> list[int]:
    return [movement.seq for movement in reversed(await shop.inventory.history(sku, None, 200))]


async def test_a_process_alone_with_a_sku_stops_reading_it(shop: Shop):
    await shops.stock(shop, A=100)
    await warmed(shop)
    reads = stock_reads(shop)
    for n in range(5):
        await shops.buy(shop, user=f"u{n}", A=1)
    assert not reads
    assert await shops.levels(shop, "A") == (100, WARM + 5)


async def test_a_sku_this_process_never_moved_is_read(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    await shops.stock(other, B=3)
    await warmed(shop)
    reads = stock_reads(shop)
    await shops.buy(shop, user="u", A=1, B=1)
    assert len(reads) == 1
    assert await shops.levels(shop, "B") == (3, 1)


async def test_a_wide_batch_is_read(shop: Shop):
    wide = {f"W{n}": 1 for n in range(SKUS_MAX + 1)}
    await shops.stock(shop, A=100, **dict.fromkeys(wide, 9))
    await shops.buy(shop, user="before", **wide)
    await warmed(shop)
    reads = stock_reads(shop)
    await shops.buy(shop, user="u", **wide)
    assert len(reads) == 1


async def test_what_another_process_sold_in_between_is_not_sold_again(shop: Shop, other: Shop):
    await shops.stock(shop, A=WARM + 3)
    await warmed(shop)
    await shops.buy(other, user="o1", A=2)
    await shops.buy(shop, user="u1", A=1)
    with pytest.raises(InsufficientStock):
        await shops.buy(shop, user="u2", A=1)
    assert await shops.levels(shop, "A") == (WARM + 3, WARM + 3)
    assert (await history(shop)) == list(range(1, WARM + 4))


async def test_while_another_process_moves_the_same_sku_it_is_read_every_time(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    await warmed(shop)
    await shops.buy(other, user="o1", A=1)
    await shops.buy(shop, user="u1", A=1)  # finds out
    reads = stock_reads(shop)
    for n in range(3):
        await shops.buy(other, user=f"p{n}", A=1)
        await shops.buy(shop, user=f"q{n}", A=1)
    assert len(reads) == 3
    assert await shops.levels(shop, "A") == (100, WARM + 8)


async def test_nobody_is_refused_by_an_assumption(shop: Shop, other: Shop):
    """A refusal writes nothing that would prove it, so it is only ever given after a look."""
    await shops.stock(shop, A=WARM)
    await warmed(shop)
    await other.inventory.receive([Line("A", 1)], "staff")
    await shops.buy(shop, user="late", A=1)
    assert await shops.levels(shop, "A") == (WARM + 1, WARM + 1)


async def test_a_hold_that_another_process_made_is_paid_here(shop: Shop, other: Shop):
    """Holds are always read, so one may be younger than the stock that is assumed beside it."""
    await shops.stock(shop, A=100)
    await warmed(shop)
    order = await shops.buy(other, user="o1", A=50)
    await shops.pay(shop, order)
    assert await shops.levels(shop, "A") == (50, WARM)


async def test_what_is_sold_out_is_not_assumed_in_vain_for_every_batch(shop: Shop):
    await shops.stock(shop, A=WARM)
    await warmed(shop)
    reads = stock_reads(shop)
    for n in range(4):
        with pytest.raises(InsufficientStock):
            await shops.buy(shop, user=f"late{n}", A=1)
    assert len(reads) == 4
    assert shop.ledger._store._known._agreements < ASSUMED_AFTER


async def test_a_threshold_set_by_another_process_is_kept(shop: Shop, other: Shop):
    await shops.stock(shop, A=100)
    await warmed(shop)
    await other.inventory.set_threshold("A", 90, "staff")
    await shops.buy(shop, user="u1", A=1)
    document = await shop.stores.database["inventory"].find_one({"_id": "A"})
    assert (document["lowStockThreshold"], document["low"]) == (90, True)


async def test_a_batch_that_failed_is_not_gone_by(shop: Shop):
    await shops.stock(shop, A=100)
    await warmed(shop)
    with shops.failing_once_written(shop), pytest.raises(RuntimeError):
        await shops.buy(shop, user="lost", A=50)
    reads = stock_reads(shop)
    await shops.buy(shop, user="next", A=60)
    assert len(reads) == 1
    assert await shops.levels(shop, "A") == (100, WARM + 60)


def test_what_is_kept_has_a_limit():
    known = KnownStock(ASSUMED_AFTER)
    for seq in range(ASSUMED_AFTER + 1):
        known.compare({"hot": Stock("hot", 9, 0, seq)})
        known.keep(
            {"hot": Stock("hot", 9, 0, seq), **{str(sku): Stock(str(sku), 1, 0, seq) for sku in range(3 * SKUS_MAX)}}
        )
        known.keep({"hot": Stock("hot", 9, 0, seq + 1)})
    assert known.assumed(["hot"]) == {"hot": Stock("hot", 9, 0, seq + 1)}
    assert known.assumed(["0"]) is None
    assert len(known._left) == SKUS_MAX


def test_what_is_assumed_comes_by_sku_whatever_order_it_is_asked_for_in() -> None:
    """As a read brings it: the order of updates must not hang on a process's hash seed."""
    known = KnownStock(assumed_after=0)
    known.keep({sku: Stock(sku, 1, 0, 1) for sku in "CAB"})
    for asked in (["B", "C", "A"], ["C", "A", "B"]):
        assumed = known.assumed(asked)
        assert assumed is not None
        assert list(assumed) == ["A", "B", "C"]
