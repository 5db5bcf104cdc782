"""`holdfast demo`: the main job, end to end, in one command and a few minutes.

It boots everything embedded, seeds a shop from a retail trace, lets a flash sale and a replay of real checkouts loose
on it, audits the books, measures what is documented, and leaves runs/demo/results.json and report.html. Everything
goes through the same command line a person uses."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from workloads.demo import trace as demo_trace
from workloads.demo.ending import documented_versus_measured, how_to_go_on, is_ok, show
from workloads.demo.report import write_report
from workloads.demo.room import room
from workloads.demo.stack import running_stack
from workloads.demo.steps import Step, in_the_shop, measuring, run
from workloads.progress import say
from workloads.results.provenance import commit, machine, versions
from workloads.results.run_folder import write_json
from workloads.traces import names as trace_names
from workloads.traces.command_options import TRACE_HELP, as_words, guarded, read_options, trace_options

MINUTES = "two and a half minutes"
START_SECONDS = 8


def sell_and_measure(folder: Path, trace: str, said: Mapping[str, Any], baskets: int) -> dict[str, Any]:
    """Does everything and returns the results, which are also in `folder`/results.json."""
    started = time.monotonic()
    results: dict[str, Any] = {
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "trace": Path(trace).name,
    }
    shop = in_the_shop(folder, [trace, *as_words({**said, "limit": baskets})], baskets)
    bench = measuring()
    of = 1 + len(shop) + len(bench)
    say(f"[bold]1/{of} Start everything[/] (about {START_SECONDS} s)\n   MongoDB, Redis, API, worker and scheduler.")
    with running_stack(folder / "stack") as environment:
        results |= _run_all(shop, 2, of, environment)
    # The benchmarks name their products from the baskets as well: the whole year takes each nine seconds of CPU.
    named = {trace_names.SETTING: str(folder / demo_trace.STANDARD)}
    results |= _run_all(bench, 2 + len(shop), of, named)
    results["documentedVersusMeasured"] = documented_versus_measured(results)
    results["ok"] = is_ok(results)
    results["wallSeconds"] = round(time.monotonic() - started, 1)
    write_json(folder / "results.json", results)
    write_report(folder, results)
    return results


def _run_all(steps: list[Step], first: int, of: int, environment: Mapping[str, str]) -> dict[str, Any]:
    return {step.key: run(step, number, of, environment) for number, step in enumerate(steps, first)}


def trace_or_made_up(folder: Path, trace: str | None, baskets: int) -> str:
    """The trace to sell: the one asked for, else the default, else one that is made up, which is said."""
    if trace is not None or trace_names.default_is_there():
        return trace or trace_names.default_trace()
    say("[yellow]made up:[/] baskets and names, since the data package is not installed (holdfast\\[data])")
    return str(demo_trace.made_up(folder / "trace.csv", baskets))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True)
@click.option("--trace", help=TRACE_HELP)
@trace_options
@click.option(
    "--invoices", default=400, show_default=True, type=click.IntRange(10, 100_000), help="How many to replay."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def demo(out: Path, trace: str | None, invoices: int, as_json: bool, said: dict[str, Any]) -> int:
    """Boot, seed, sell, audit, measure: the whole product in a few minutes."""
    with room(out):
        chosen = trace_or_made_up(out, trace, invoices)
        guarded(lambda: demo_trace.write_baskets(out, chosen, read_options(said), invoices))
        say(
            f"A shop sells, and is measured: about {MINUTES}. All of it runs on this machine and is stopped at the end."
        )
        results = sell_and_measure(out, chosen, said, invoices)
    if as_json:
        click.echo(json.dumps(results))
    else:
        show(results)
        click.echo(f"report: {out / 'report.html'}  ({results['wallSeconds']:.0f} s)")
        click.echo(how_to_go_on(out / "stack"))
    return 0 if results["ok"] else 1
