"""The real use cases in virtual time: what a seed gives, and that nothing goes wrong whatever happens to it."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from workloads.simulation import commands
from workloads.simulation.runs import Totals, outcomes, record
from workloads.simulation.scenarios import HOARDED_SALE, FlashSale, Steady, Trace
from workloads.simulation.simulate import Outcome, simulate
from workloads.simulation.world.faults import FAULTS, FaultPlan
from workloads.simulation.world.shop import Setting

REPOSITORY = Path(__file__).parents[2]
CONTRACT = {
    *("digest", "seed", "simulatedSeconds", "wallSeconds", "orders", "paid", "expired"),
    *("lostSales", "oversold", "violations"),
}


def flash_sale(seed: int, plan: FaultPlan = FAULTS) -> Outcome:
    return simulate(FlashSale().scenario, seed, plan=plan)


@pytest.mark.slow
def test_nothing_goes_wrong_in_flash_sales_in_which_everything_else_does() -> None:
    """Slow: two dozen sales, so that every kind of fault is met."""
    totals = Totals(0)
    with outcomes(FlashSale(), range(24), plan=FAULTS) as found:
        for outcome in found:
            assert not outcome.violations, f"seed {outcome.seed}: {outcome.violations[0]}"
            totals.add(record(outcome))
    never_met = {fault for fault in FAULTS.rates() if not totals.faults[fault]}
    assert never_met == set()
    assert totals.counts["paid"] > 300
    assert totals.counts["expired"] > 40


def test_whoever_hoards_holds_no_more_than_anybody_may_whatever_goes_wrong() -> None:
    hoarding = [simulate(HOARDED_SALE.scenario, seed, plan=FAULTS) for seed in range(4)]
    assert [outcome.violations for outcome in hoarding] == [()] * 4
    assert min(outcome.refused for outcome in hoarding) >= 2 * (40 - 30)


def test_a_flash_sale_without_faults_sells_what_there_is_and_never_more() -> None:
    outcome = simulate(replace(FlashSale(), late_share=0.0).scenario, 3)
    assert outcome.violations == ()
    assert 30 <= outcome.units_sold <= 46
    assert outcome.refused > 0


def test_the_same_seed_gives_the_same_digest_and_another_seed_another() -> None:
    assert flash_sale(7).digest == flash_sale(7).digest
    assert flash_sale(7).digest != flash_sale(8).digest


@pytest.mark.slow
def test_the_digest_does_not_depend_on_the_process_or_its_hash_seed() -> None:
    """Slow: two processes of their own import everything anew."""

    def digest(hash_seed: str) -> str:
        program = "from service.cli import main; main(['simulate','flash-sale','--seed','5','--faults','--json'])"
        command = [sys.executable, "-c", program]
        run = subprocess.run(
            command, env={"PYTHONHASHSEED": hash_seed}, cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        return str(json.loads(run.stdout)["digest"])

    assert digest("0") == digest("4711") == flash_sale(5).digest


@pytest.mark.slow
def test_two_processes_at_work_give_what_one_gives() -> None:
    """Slow: twelve sales, and two processes that import everything anew."""

    def digest(processes: int) -> str:
        totals = Totals(0)
        with outcomes(FlashSale(buyers=10), range(6), processes=processes) as found:
            for outcome in found:
                totals.add(record(outcome))
        return str(totals.document(1.0)["digest"])

    assert digest(1) == digest(2)


def test_a_steady_day_is_audited_from_midnight_to_midnight() -> None:
    outcome = simulate(Steady(visits_per_day=40, skus=50).scenario, 1)
    assert outcome.violations == ()
    assert outcome.simulated_seconds >= 86_400
    assert outcome.paid > 5


def test_a_steady_day_passes_ten_thousand_times_faster_than_real_ones() -> None:
    """One whole day of the default size: a smaller one would say nothing about the claim. Timed in seconds of this
    process's own work, since other tests share the machine."""
    started = time.process_time()
    outcome = simulate(Steady().scenario, 2)
    worked_seconds = time.process_time() - started
    assert outcome.violations == ()
    assert outcome.simulated_seconds / worked_seconds > 10_000, f"{worked_seconds:.1f} s for a day"


@pytest.mark.slow
def test_the_packaged_year_can_be_the_arrivals() -> None:
    """Slow: the packaged year is read."""
    outcome = simulate(Trace(days=0.45).scenario, 1)
    assert outcome.violations == ()
    assert outcome.checkouts > 20


@pytest.mark.slow
def test_a_shop_with_a_hold_of_one_minute_stays_sound_too() -> None:
    """Slow: six sales with twice the usual faults."""
    setting = Setting()
    setting = replace(setting, config=replace(setting.config, reservation_ttl_seconds=60), sweep_interval_seconds=45)
    for seed in range(6):
        outcome = simulate(FlashSale().scenario, seed, setting, FAULTS.scaled(2))
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"


@pytest.mark.slow
def test_four_processes_with_large_clock_differences_stay_sound() -> None:
    """Slow: six sales of four processes each."""
    plan = replace(FAULTS, skew_seconds_max=90.0)
    for seed in range(6):
        outcome = simulate(FlashSale().scenario, seed, Setting(api_processes=4), plan)
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"


def test_the_command_prints_one_document_with_the_keys_of_the_contract() -> None:
    result = CliRunner().invoke(commands.simulate, ["flash-sale", "--seed", "2", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= CONTRACT
    assert document["seed"] == 2
    assert document["violations"] == []


def test_many_seeds_add_up_and_name_their_speed() -> None:
    result = CliRunner().invoke(commands.simulate, ["flash-sale", "--seeds", "3", "--faults", "--json"])
    document = json.loads(result.stdout)
    assert document.keys() >= CONTRACT | {"seeds", "seedsPerMinute", "failingSeeds"}
    assert document["seeds"] == 3


def test_a_missing_trace_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_TRACE", str(tmp_path / "none.parquet"))
    result = CliRunner().invoke(commands.simulate, ["trace"])
    assert result.exit_code == 3
    assert f"there is no file {tmp_path / 'none.parquet'}" in result.output
