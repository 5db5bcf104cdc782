"""The model of more machines: what it must do by itself, and beside what was measured."""

import json
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest
import simpy
from click.testing import CliRunner

from workloads.scale_model.command import scale
from workloads.scale_model.fit import calibrate, compare, load_measured, mean_error
from workloads.scale_model.grid import QUICK, ceiling_of_one_sku, frame, smallest
from workloads.scale_model.model import Cores, Costs, Flow, Line, Model, Plant

REPOSITORY = Path(__file__).parents[2]
ERROR_MAX = 0.25
COSTS = Costs(
    commit=Line(8.0, 0.2),
    read=Line(1.0, 0.01),
    process_cpu=Line(3.0, 0.05),
    store_cpu=Line(3.0, 0.1),
    around=Line(0.1, 0.04),
)


def flow(costs: Costs = COSTS, seed: int = 1, **plant: float) -> Flow:
    return Model(costs, Plant(**plant), seed).run(2.0)  # type: ignore[arg-type]


def finished_at(cores: float, *works: float) -> list[float]:
    env = simpy.Environment()
    shared, ends = Cores(env, cores), list[float]()
    for work in works:
        shared.work(work).callbacks.append(lambda _: ends.append(round(env.now, 9)))
    env.run()
    return ends


@pytest.mark.parametrize(
    ("cores", "ends"), [(inf, [1.0, 1.0, 2.0]), (3, [1.0, 1.0, 2.0]), (1, [3.0, 3.0, 4.0]), (1.5, [2.0, 2.0, 3.0])]
)
def test_cores_are_shared_evenly_and_nobody_uses_more_than_one(cores: float, ends: list[float]) -> None:
    assert finished_at(cores, 1.0, 1.0, 2.0) == ends


def test_a_lone_buyer_waits_for_one_commit_of_one() -> None:
    lone = flow(buyers=1)
    assert lone.batch_items == pytest.approx(1.0)
    assert lone.conflicts == 0
    # around + commit, whose waiting varies about its mean of 2.05 ms
    assert 1_000 / lone.checkouts_per_second == pytest.approx(8.2 + 0.14, rel=0.1)


def test_what_waits_is_committed_together() -> None:
    crowd = flow(buyers=64)
    assert crowd.batch_items == pytest.approx(64, rel=0.05)
    assert crowd.checkouts_per_second > 20 * flow(buyers=1).checkouts_per_second


def test_two_processes_on_one_sku_conflict_and_on_their_own_skus_do_not() -> None:
    assert flow(processes=2, hot_share=1.0).conflicts > 0.2
    assert flow(processes=2, hot_share=1.0, by_sku=True).conflicts == 0
    assert flow(processes=2, hot_share=0.0, by_sku=True).conflicts == 0


def test_shards_thin_the_conflicts_of_many_skus_out_and_leave_one_sku_as_it_was() -> None:
    spread = [flow(processes=4, shards=shards, buyers=256).conflicts for shards in (1, 8)]
    assert spread[1] < spread[0] / 2
    hot = [flow(processes=4, shards=shards, buyers=256, hot_share=1.0) for shards in (1, 8)]
    assert hot[0].checkouts_per_second == hot[1].checkouts_per_second


def test_fewer_cores_make_it_slower_and_the_same_seed_the_same() -> None:
    assert flow(processes=4, cores=1.0).checkouts_per_second < 0.8 * flow(processes=4, cores=4.0).checkouts_per_second
    assert flow(processes=4, hot_share=0.5) == flow(processes=4, hot_share=0.5)
    assert flow(processes=4, hot_share=0.5) != flow(processes=4, hot_share=0.5, seed=2)


def test_what_one_ledger_costs_is_found_again_in_what_it_did() -> None:
    measured = {
        "skus": 100,
        "turns": [
            {
                **{"processes": 1, "buyers": items, "hotShare": share, "batchItems": items},
                **{"batchMs": 8 + 0.2 * items, "readMs": 1 + 0.01 * items, "cycleMs": 8.1 + 0.24 * items},
                **{"processCpuMs": 3.1 + 0.09 * items, "storeCpuMs": 3 + 0.1 * items},
            }
            for items in (1, 8, 64)
            for share in (0.0, 1.0)
        ],
    }
    found = calibrate(measured, 0.3)
    for name in ("commit", "read", "process_cpu", "store_cpu", "around"):
        line, true = getattr(found, name), getattr(COSTS, name)
        assert (line.of_a_batch, line.of_an_item) == pytest.approx((true.of_a_batch, true.of_an_item))


def test_two_and_four_ledgers_are_predicted_from_one() -> None:
    """Beside the committed measurement, so this judges the model and not the machine of today."""
    compared = compare(load_measured(), seconds=3.0)
    predicted = [row for row in compared if not row.calibrated]
    assert {row.processes for row in predicted} == {2, 4}
    assert mean_error(compared) < ERROR_MAX
    for hot_share in (0.0, 1.0):
        of_two, of_four = (row for row in predicted if row.hot_share == hot_share)
        assert of_two.predicted.checkouts_per_second > of_four.predicted.checkouts_per_second
        assert of_two.measured_per_second > of_four.measured_per_second


def test_a_frame_has_a_row_for_every_plant_and_one_sku_has_a_ceiling() -> None:
    measured = load_measured()
    rows = frame(measured, QUICK)
    assert len(rows) == len(list(QUICK.plants())) == 16
    assert (rows["checkouts_per_second"] > 0).all()
    assert smallest(rows, per_second=1.0)["processes"].eq(1).all()
    one_sku = rows[(rows["hot_share"] == 1.0) & (rows["hot_skus"] == 1)]["checkouts_per_second"]
    assert one_sku.max() < 1.1 * ceiling_of_one_sku(measured)


def test_the_command_prints_one_document() -> None:
    result = CliRunner().invoke(scale, ["--quick", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= {"compared", "meanError", "grid", "millionAMinute", "oneSkuPerSecond"}
    assert {row["processes"] for row in document["compared"]} == {1, 2, 4}


def test_what_is_no_measurement_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text("{}")
    command = [sys.executable, "-m", "service.cli", "scale", "--measured", str(file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bench scaling" in done.stderr
