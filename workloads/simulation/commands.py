"""`holdfast simulate`: one seed with its verdict, or many with their sum."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from workloads.simulation.faults import FAULTS, NO_FAULTS, FaultPlan
from workloads.simulation.runs import Scenarios, Totals, outcomes, prepare, run_seed
from workloads.simulation.scenarios import FlashSale, Steady, Trace
from workloads.simulation.shop import Setting

TRACE = Path(__file__).parents[3] / "shared" / "data" / "online_retail.parquet"


@click.command()
@click.argument("scenario", type=click.Choice(["steady", "flash-sale", "trace"]))
@click.option("--seed", type=int, default=1, show_default=True, help="The run, or the first of many.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many seeds, one run each.")
@click.option(
    "--days", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Virtual days (steady, trace)."
)
@click.option("--faults", is_flag=True, help="Crashes, lost replies, conflicts, late webhooks, skewed clocks …")
@click.option("--trace", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A retail trace.")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Cores to use for many seeds."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
def simulate(
    scenario: str, seed: int, seeds: int, days: float, faults: bool, trace: Path | None, processes: int, as_json: bool
) -> None:
    """Run the real use cases in virtual time, from a seed, and audit every step.

    The same seed gives the same digest on any machine. A seed that finds a violation is the bug report: run it again
    and it happens again.
    """
    prepare()
    chosen = _scenario(scenario, days, trace)
    plan = FAULTS if faults else NO_FAULTS
    started = time.perf_counter()
    if seeds == 1:
        document = run_seed(chosen, Setting(), plan, seed).document()
    else:
        document = _many(chosen, range(seed, seed + seeds), plan, processes).document(time.perf_counter() - started)
    document = {"scenario": scenario, **document}
    click.echo(json.dumps(document, indent=2) if as_json else _text(document))
    if document["violations"]:
        found = sorted({violation.get("seed", seed) for violation in document["violations"]})
        again = f"holdfast simulate {scenario} --seed {found[0]}" + (" --faults" if faults else "")
        click.echo(f"violations found; to see them again: {again}", err=True)
        sys.exit(1)


def _scenario(name: str, days: float, trace: Path | None) -> Scenarios:
    if name == "flash-sale":
        return FlashSale()
    if name == "steady":
        return Steady(days=days)
    path = trace or Path(os.environ.get("HOLDFAST_TRACE", TRACE))
    if not path.exists():
        raise click.UsageError(f"no retail trace at {path}: give one with --trace or HOLDFAST_TRACE")
    return Trace(path, days=days)


def _many(scenario: Scenarios, seeds: range, plan: FaultPlan, processes: int) -> Totals:
    totals = Totals(seeds[0])
    bar = click.progressbar(length=len(seeds), label="seeds", file=sys.stderr, hidden=not sys.stderr.isatty())
    with bar, outcomes(scenario, seeds, plan=plan, processes=processes) as found:
        for outcome in found:
            totals.add(outcome)
            bar.update(1)
    return totals


def _text(document: dict[str, Any]) -> str:
    plain = {name: value for name, value in document.items() if name not in {"violations", "faults"}}
    lines = [
        f"{name:24} {value:,}" if isinstance(value, int) else f"{name:24} {value}" for name, value in plain.items()
    ]
    lines += [f"  fault {name:18} {count:,}" for name, count in document["faults"].items()]
    lines += [f"violation {found}" for found in document["violations"]]
    return "\n".join([*lines, f"{'violations':24} {len(document['violations'])}"])
