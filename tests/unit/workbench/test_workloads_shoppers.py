"""The one shopper model and the schedules it arrives on: seeded, skewed like the real shop, free of I/O."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from workloads.model import arrivals
from workloads.model.actions import CheckOut, Pay, PutInCart, Reply, Subscribe, View, Wait, WalkAway
from workloads.model.demand import fit_zipf_exponent, load_profile, rank_at, zipf_cumulative_weights
from workloads.model.outcomes import classify
from workloads.model.shoppers import Habits, Shop, buy, flash_buyer, shopper, staff_member

SKUS = tuple(f"SKU-{number}" for number in range(500))


def carry_out(visit, answer=lambda action: Reply(order_id="o1" if isinstance(action, CheckOut) else "")) -> list:
    actions = []
    try:
        action = next(visit)
        while True:
            actions.append(action)
            action = visit.send(answer(action))
    except StopIteration:
        return actions


def test_the_same_seed_gives_the_same_visit():
    shop = Shop(SKUS)
    first = [carry_out(shopper(Random(seed), shop)) for seed in range(50)]
    assert first == [carry_out(shopper(Random(seed), shop)) for seed in range(50)]
    assert len({str(visit) for visit in first}) == 50


def test_shoppers_check_out_exactly_what_they_put_in_the_cart():
    shop = Shop(SKUS, habits=Habits(buy_chance=1))
    for seed in range(100):
        actions = carry_out(shopper(Random(seed), shop))
        cart = {action.sku: action.quantity for action in actions if isinstance(action, PutInCart)}
        checkout = next(action for action in actions if isinstance(action, CheckOut))
        assert dict(checkout.lines) == cart


def test_a_buyer_who_is_short_takes_what_is_left_or_leaves():
    def short_once(action):
        if isinstance(action, CheckOut) and ("A", 5) in action.lines:
            return Reply("out_of_stock", shortages=(("A", 2), ("B", 0)))
        return Reply(order_id="o1")

    shop = Shop(SKUS, habits=Habits(settle_for_less_chance=1, walk_away_chance=0, cancel_chance=0))
    actions = carry_out(buy(Random(1), shop, (("A", 5), ("B", 1), ("C", 1))), short_once)
    assert [action.lines for action in actions if isinstance(action, CheckOut)][1] == (("A", 2), ("C", 1))
    proud = Shop(SKUS, habits=Habits(settle_for_less_chance=0))
    assert len(carry_out(buy(Random(1), proud, (("A", 5),)), short_once)) == 1


def test_some_pay_and_some_walk_away_at_the_rate_of_their_habits():
    shop = Shop(SKUS, habits=Habits(walk_away_chance=0.25, cancel_chance=0, bad_card_chance=0))
    endings = Counter(type(carry_out(flash_buyer(Random(seed), shop, "A"))[-1]) for seed in range(2000))
    assert endings[WalkAway] == pytest.approx(500, abs=80)
    assert endings[Pay] == 2000 - endings[WalkAway]


def test_a_declined_card_means_a_new_order_and_another_card():
    def decline_bad_cards(action):
        if isinstance(action, Pay) and not action.card_is_good:
            return Reply("declined")
        return Reply(order_id="o1")

    habits = Habits(bad_card_chance=1, other_card_chance=1, walk_away_chance=0, cancel_chance=0)
    actions = carry_out(buy(Random(1), Shop(SKUS, habits=habits), (("A", 1),)), decline_bad_cards)
    assert [type(action) for action in actions] == [CheckOut, Wait, Pay, CheckOut, Pay]
    assert [action.card_is_good for action in actions if isinstance(action, Pay)] == [False, True]


def test_who_finds_a_product_gone_may_ask_to_be_told():
    shop = Shop(SKUS, habits=Habits(subscribe_chance=1))
    actions = carry_out(shopper(Random(3), shop), lambda action: Reply("out_of_stock", in_stock=False))
    assert {a.sku for a in actions if isinstance(a, Subscribe)} == {a.sku for a in actions if isinstance(a, View)}


def test_staff_restock_real_skus():
    actions = carry_out(staff_member(Random(1), Shop(SKUS), rounds=20))
    assert {sku for action in actions for sku, _ in getattr(action, "lines", ())} <= set(SKUS)


def test_popularity_is_as_skewed_as_the_real_shop():
    profile = load_profile()
    shop, random = Shop(tuple(str(rank) for rank in range(profile.skus))), Random(1)
    picked = Counter(int(shop.pick_sku(random)) for _ in range(50_000))
    counts = np.array([picked[rank] for rank in range(profile.skus)])
    assert fit_zipf_exponent(counts) == pytest.approx(profile.zipf_exponent, abs=0.02)
    measured = dict(profile.popularity_curve)
    assert counts[:500].sum() / counts.sum() == pytest.approx(measured[500], abs=0.12)


def test_the_profile_is_attributed_and_whole():
    profile = load_profile()
    assert "MIT" in profile.attribution
    assert "simulated" in profile.attribution
    assert (profile.source, profile.sales, profile.line_items) == ("complete-journey", 155_518, 1_460_438)
    assert sum(profile.arrival_share_by_hour) == pytest.approx(1, abs=1e-4)
    assert sum(profile.arrival_share_by_weekday) == pytest.approx(1, abs=1e-4)
    assert len(profile.basket_lines_quantiles) == len(profile.line_quantity_quantiles) == 101
    assert profile.basket_lines(0.5) == profile.basket_lines_quantiles[50]


def test_ranks_cover_the_whole_range():
    weights = zipf_cumulative_weights(10, 1.0)
    assert (rank_at(weights, 0.0), rank_at(weights, 1.0), len(weights), weights[-1]) == (0, 9, 10, 1.0)


def test_a_constant_schedule_is_evenly_spaced():
    schedule = arrivals.constant(100, 2)
    assert (len(schedule), schedule[0], schedule[-1]) == (200, 0.0, pytest.approx(1.99))


def test_poisson_arrivals_have_poisson_gaps_and_are_seeded():
    schedule = arrivals.poisson(1000, 20, seed=1)
    gaps = np.diff(schedule)
    assert gaps.mean() == pytest.approx(1e-3, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.array_equal(schedule, arrivals.poisson(1000, 20, seed=1))
    assert not np.array_equal(schedule[:100], arrivals.poisson(1000, 20, seed=2)[:100])


@pytest.mark.parametrize(("start", "end"), [(0, 100), (100, 10), (50, 50)])
def test_a_ramp_reaches_its_rates(start, end):
    schedule = arrivals.ramp(start, end, 10)
    assert len(schedule) == (start + end) * 5
    assert np.all(np.diff(schedule) > 0)
    assert ((schedule >= 9) & (schedule < 10)).sum() == pytest.approx(
        (start + 9 * end) / 10 + (end - start) / 20, abs=6
    )


def test_a_flash_sale_peaks_when_it_opens_and_thins_out():
    schedule = arrivals.flash_sale(10, 1000, 60, seed=1, opens_at=20, decay_seconds=5)
    per_second, _ = np.histogram(schedule, bins=60, range=(0, 60))
    assert per_second[:20].mean() == pytest.approx(10, abs=4)
    assert per_second[20] > 700
    assert per_second[50:].mean() < 30


def test_daily_arrivals_follow_the_shops_hours():
    profile = load_profile()
    schedule = arrivals.daily(profile, orders_per_day=2000, days=28, seed=1)
    hours = np.bincount((schedule % 86_400 // 3600).astype(int), minlength=24) / len(schedule)
    assert np.abs(hours - np.array(profile.arrival_share_by_hour)).max() < 0.01
    assert len(schedule) == pytest.approx(56_000, rel=0.03)
    days = np.bincount((schedule // 86_400 % 7).astype(int), minlength=7) / len(schedule)
    assert np.abs(days - np.array(profile.arrival_share_by_weekday)).max() < 0.01


def test_explicit_times_are_sorted_shifted_and_sped_up():
    assert arrivals.explicit([70, 10, 40], speed=10).tolist() == [0.0, 3.0, 6.0]


def test_a_schedule_has_a_limit():
    with pytest.raises(ValueError, match="arrivals"):
        arrivals.constant(1e9, 1e9)


@pytest.mark.parametrize(
    ("route", "status", "body", "outcome"),
    [
        ("pay", 200, b"{}", "paid"),
        ("checkout", 201, b"{}", "ok"),
        ("checkout", 409, b'{"code": "insufficient_stock"}', "out_of_stock"),
        ("pay", 402, b'{"code": "payment_declined"}', "declined"),
        ("pay", 409, b'{"code": "reservation_expired"}', "expired"),
        ("checkout", 409, b'{"code": "idempotency_key_reused"}', "refused"),
        ("checkout", 409, b"<html>", "refused"),
        ("checkout", 422, b"[]", "refused"),
        ("checkout", 429, b"", "throttled"),
        ("checkout", 503, b"", "error"),
        ("checkout", 0, b"", "error"),
    ],
)
def test_an_expected_refusal_is_an_outcome_and_not_an_error(route, status, body, outcome):
    assert classify(route, status, body) == outcome
