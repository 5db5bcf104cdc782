"""What the what-if studies say, checked against what must be so and against two independent models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from service.config import Config
from workloads.simulation import studies
from workloads.simulation.checks.conservation import Violation
from workloads.simulation.queueing import Leavers, SimpyDrop, against_erlang, against_simpy, erlang_loss
from workloads.simulation.runs import outcomes
from workloads.simulation.scenarios import Drop
from workloads.simulation.simulate import SimulationOutcome
from workloads.simulation.studies import PARAMETERS, interval, study
from workloads.simulation.world.shop import Setting

SMALL = Drop(buyers=30, hours=1.0, skus=2, units=6)


def means(frame: pd.DataFrame, metric: str) -> dict[object, float]:
    rows = frame[frame["metric"] == metric]
    return dict(zip(rows["value"], rows["mean"], strict=True))


@pytest.mark.slow
def test_a_longer_hold_that_comes_to_nothing_keeps_goods_off_the_shelf_longer() -> None:
    """Slow: eight drops."""
    frame = study("hold_length", [120, 1800], seeds=4, drop=SMALL)
    phantom = frame[(frame["metric"] == "phantom_minutes") & (frame["value"] == 1800)].iloc[0]
    assert phantom["difference_low"] > 0
    assert means(frame, "hold_use")[120] > means(frame, "hold_use")[1800]


def test_more_stock_loses_no_sale_when_there_is_enough_for_everybody() -> None:
    frame = study("stock_depth", [3, 40], seeds=3, drop=SMALL)
    assert means(frame, "lost_sales")[3] >= means(frame, "lost_sales")[40] == 0
    assert means(frame, "refused")[40] == 0


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_really_changes_what_is_run(parameter: str) -> None:
    vary, values = PARAMETERS[parameter]
    varied = [vary(SMALL, Setting(), value) for value in values]
    assert len({repr(each) for each in varied}) == len(values)


def test_a_study_is_a_frame_with_one_row_for_each_value_and_metric() -> None:
    frame = study("arrival_shape", ["even", "rush"], seeds=2, drop=SMALL)
    assert set(frame.columns) >= {"parameter", "value", "metric", "mean", "low", "high", "difference", "seeds"}
    assert len(frame) == 2 * frame["metric"].nunique()
    assert (frame["low"] <= frame["mean"]).all()


def test_a_run_that_breaks_the_law_ends_the_study() -> None:
    outcome = next(iter(_runs_of(SMALL)))
    broken = replace(outcome, violations=(Violation("conservation", 1.0, "something"),))
    with pytest.raises(RuntimeError, match="something"):
        list(studies._sound([broken]))


def _runs_of(drop: Drop) -> list[SimulationOutcome]:
    with outcomes(drop, range(1)) as found:
        return list(found)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    samples = random.normal(5.0, 2.0, size=(2000, 12))
    covered = np.mean([low <= 5.0 <= high for _, low, high in map(interval, samples)])
    assert 0.93 < covered < 0.97


def test_erlangs_formula_gives_the_values_of_its_tables() -> None:
    assert erlang_loss(10, 10) == pytest.approx(0.2146, abs=1e-4)
    assert erlang_loss(1, 1) == 0.5
    assert erlang_loss(5, 0.0) == 0


@pytest.mark.slow
def test_the_share_of_buyers_refused_is_what_erlangs_formula_says() -> None:
    """A hold of a minute, so that an hour holds enough of them. Slow: eight simulated hours of a queue."""
    setting = Setting(
        config=Config(reservation_ttl_seconds=60), sweep_interval_seconds=6, reconcile_interval_seconds=3600
    )
    agreement = against_erlang(Leavers(units=4, rate_per_second=0.06, hours=2.0), setting, range(4))
    assert agreement.relative_error < 0.12, agreement


@pytest.mark.slow
def test_the_paid_and_refused_orders_of_a_drop_are_what_an_independent_model_gives() -> None:
    """Slow: ten drops in two models."""
    for agreement in against_simpy(Drop(buyers=40, units=15), seeds=range(10)):
        assert agreement.low <= agreement.predicted <= agreement.high or agreement.relative_error < 0.05, agreement


def test_the_independent_model_would_notice_another_hold_length() -> None:
    drop, long = replace(Drop(buyers=60, units=15), skus=1), Setting(config=Config(reservation_ttl_seconds=7200))
    refused = [np.mean([SimpyDrop(drop, each, seed).run()[1] for seed in range(100)]) for each in (Setting(), long)]
    assert refused[1] > refused[0] + 1
