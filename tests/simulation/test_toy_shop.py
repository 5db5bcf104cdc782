import pytest
import toy_shop
from toy_shop import STOCK, guarded, naive, sale, transactional

SEEDS = range(200)


def test_the_naive_shop_oversells_in_nearly_every_seed() -> None:
    oversold = [seed for seed in SEEDS if sale(naive, seed)[0]["available"] < 0]
    assert len(oversold) >= 190


@pytest.mark.slow
@pytest.mark.parametrize(("reserve", "seeds"), [(guarded, SEEDS), (transactional, range(40))])
def test_a_guarded_shop_sells_exactly_its_stock_in_every_seed(reserve: toy_shop.Reserve, seeds: range) -> None:
    """Slow: two hundred seeds, since one oversell in a hundred must be seen."""
    for seed in seeds:
        after, sold, _ = sale(reserve, seed)
        assert (after["available"], after["reserved"], sold) == (0, STOCK, STOCK), f"seed {seed}"


def test_two_processes_in_transactions_do_conflict() -> None:
    assert sum(sale(transactional, seed)[2].store.write_conflicts for seed in range(20)) > 20


def test_a_found_seed_replays_to_the_same_end() -> None:
    first, again = sale(naive, 7), sale(naive, 7)
    assert (first[0], first[1], first[2].loop.steps) == (again[0], again[1], again[2].loop.steps)
