"""`holdfast simulate`: one seed with its verdict, or many with their sum. The simulation is loaded when it runs."""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workloads.progress import terminal_is_watching
from workloads.simulation.run_log import OtherRun, RunLog
from workloads.traces.command_options import TRACE_HELP, guarded, read_options, trace_options
from workloads.traces.names import default_trace

if TYPE_CHECKING:
    from workloads.simulation.runs import Scenarios
    from workloads.simulation.world.faults import FaultPlan


@click.command()
@click.argument("scenario", type=click.Choice(["steady", "flash-sale", "hoarders", "trace"]))
@click.option("--seed", type=int, default=1, show_default=True, help="The run, or the first of many.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many seeds, one run each.")
@click.option(
    "--days", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Virtual days (steady, trace)."
)
@click.option("--faults", is_flag=True, help="Crashes, lost replies, conflicts, late webhooks, skewed clocks …")
@click.option("--trace", default=default_trace, help=TRACE_HELP)
@trace_options
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Cores to use for many seeds."
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With many seeds: a line of JSON a seed, as it ends. An unfinished log is gone on with.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
def simulate(
    scenario: str,
    seed: int,
    seeds: int,
    days: float,
    faults: bool,
    trace: str,
    said: dict[str, Any],
    processes: int,
    log: Path | None,
    as_json: bool,
) -> None:
    """Run the real use cases in virtual time, from a seed, and audit every step.

    The same seed gives the same digest on any machine. A seed that finds a violation is the bug report: run it again
    and it happens again.
    """
    from workloads.simulation.runs import prepare, run_seed
    from workloads.simulation.world.faults import FAULTS, NO_FAULTS
    from workloads.simulation.world.shop import Setting

    if log is not None and seeds == 1:
        raise click.UsageError("--log is for many seeds: say how many with --seeds")
    prepare()
    chosen = guarded(lambda: _scenario(scenario, days, trace, said))
    plan = FAULTS if faults else NO_FAULTS
    if seeds == 1:
        document = run_seed(chosen, Setting(), plan, seed).document()
    else:
        asked = {"scenario": scenario, "faults": faults, "days": days, "seed": seed, "seeds": seeds}
        document = _many(chosen, range(seed, seed + seeds), plan, processes, RunLog(log, asked) if log else None)
    document = {"scenario": scenario, **document}
    click.echo(json.dumps(document, indent=2) if as_json else _text(document))
    if document["violations"]:
        found = sorted({violation.get("seed", seed) for violation in document["violations"]})
        again = f"holdfast simulate {scenario} --seed {found[0]}" + (" --faults" if faults else "")
        click.echo(f"violations found; to see them again: {again}", err=True)
        sys.exit(1)


def _scenario(name: str, days: float, trace: str, said: dict[str, Any]) -> "Scenarios":
    from workloads.simulation.scenarios import HOARDED_SALE, FlashSale, Steady, Trace

    if name == "flash-sale":
        return FlashSale()
    if name == "hoarders":
        return HOARDED_SALE
    if name == "steady":
        return Steady(days=days)
    return Trace(trace, options=read_options(said), days=days).read()


def _many(scenario: "Scenarios", seeds: range, plan: "FaultPlan", processes: int, log: RunLog | None) -> dict[str, Any]:
    from workloads.simulation.runs import Totals, outcomes, record

    totals, began = Totals(seeds[0]), time.perf_counter()
    bar = click.progressbar(length=len(seeds), label="seeds", file=sys.stderr, hidden=not terminal_is_watching())
    with ExitStack() as stack:
        known = _known(stack, log)
        for done in known:
            totals.add(done)
        stack.enter_context(bar)
        bar.update(len(known))
        left = seeds[len(known) :]
        for outcome in stack.enter_context(outcomes(scenario, left, plan=plan, processes=processes)):
            totals.add(done := record(outcome))
            if log is not None:
                log.add(done)
            bar.update(1)
    return totals.document(time.perf_counter() - began + sum(done["wallSeconds"] for done in known))


def _known(stack: ExitStack, log: RunLog | None) -> list[dict[str, Any]]:
    """Opens the log; the runs that an earlier call finished."""
    if log is None:
        return []
    try:
        return stack.enter_context(log).known
    except OtherRun as error:
        raise click.UsageError(str(error)) from error


def _text(document: dict[str, Any]) -> str:
    plain = {name: value for name, value in document.items() if name not in {"violations", "faults"}}
    lines = [
        f"{name:24} {value:,}" if isinstance(value, int) else f"{name:24} {value}" for name, value in plain.items()
    ]
    lines += [f"  fault {name:18} {count:,}" for name, count in document["faults"].items()]
    lines += [f"violation {found}" for found in document["violations"]]
    return "\n".join([*lines, f"{'violations':24} {len(document['violations'])}"])
