"""Owns the workbench's part of the command line: thin commands that load what they need only when called, since pandas
and the drivers must not slow down every other command. Locust is never imported in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workloads.model.profile_command import profile
from workloads.progress import say
from workloads.results.guarding import FAILED, INVALID, guarded
from workloads.traces.command_options import trace_options
from workloads.traces.commands import trace as trace_group
from workloads.traces.names import default_trace

trace_group.add_command(profile)

if TYPE_CHECKING:
    from workloads.results.run_folder import About

RUNS = "runs"
SPEED_DEFAULT = 3_600.0
F = TypeVar("F", bound=Callable[..., Any])


def _run_options(function: F) -> F:
    """What every command that drives a running stack and leaves a result folder has in common."""
    for option in reversed(
        [
            click.option(
                "--data", envvar="HOLDFAST_DATA", default=".holdfast", show_default=True, help="The stack's data."
            ),
            click.option("--url", envvar="HOLDFAST_URL", help="The service, where it is not the one in --data."),
            click.option("--runs", default=RUNS, show_default=True, help="Where result folders go."),
            click.option("--name", help="The result folder's name; by default scenario and time."),
            click.option("--seed", default=1, show_default=True, type=int),
            click.option("--tag", "tags", multiple=True, help="To find the run again by; may be given several times."),
            click.option("--note", default="", help="A sentence about the run, kept in its manifest."),
            click.option("--fail-if", multiple=True, help="Like 'checkout.p99 > 200ms': ends the run and fails it."),
            click.option("--no-audit", is_flag=True, help="The books cannot be reached from here: do not judge them."),
            click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."),
        ]
    ):
        function = option(function)
    return function


def _about(options: dict[str, Any]) -> "About":
    """Takes what a user says of a run out of its options. Raises click.UsageError for a threshold nobody can ask."""
    from workloads.results.run_folder import About
    from workloads.results.thresholds import ThresholdError, parse

    tags, note, fail_if, no_audit = (options.pop(name) for name in ("tags", "note", "fail_if", "no_audit"))
    try:
        for text in fail_if:
            parse(text)
    except ThresholdError as error:
        raise click.UsageError(str(error)) from None
    return About(tags, note, fail_if, audit_wanted=not no_audit)


def _finish(summary: dict[str, Any], path: Path, as_json: bool) -> int:
    from workloads.results.verdict import EXIT_CODES

    if as_json:
        click.echo(json.dumps(summary | {"folder": str(path)}, allow_nan=False, default=str))
    else:
        _show_summary(summary, path)
    return EXIT_CODES[summary["verdict"]]


def _show_summary(summary: dict[str, Any], path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("route", "requests", "/s", "p50 ms", "p95 ms", "p99 ms", "outcomes")
    for name, route in summary["routes"].items():
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in route["outcomes"].items())
        levels = (str(route[level]) for level in ("p50Ms", "p95Ms", "p99Ms"))
        table.add_row(name, f"{route['requests']:,}", f"{route['requestsPerSecond']:,}", *levels, outcomes)
    console.print(table)
    for part in ("capacity", "matching"):
        if part in summary:
            console.print_json(json.dumps({part: summary[part]}))
    console.print(f"{summary['verdict']} {'; '.join(summary['reasons'])}  →  {path}")


@click.command()
@click.argument("trace", default=default_trace)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Times faster than it happened [3600].")
@click.option("--rate", type=click.FloatRange(0, 10_000, min_open=True), help="Invoices per second, evenly, instead.")
@trace_options
@click.option("--max-in-flight", default=2_000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--retry-seconds", default=30.0, show_default=True, help="How long to ask again for an invoice's fate.")
@click.option("--max-lateness-ms", default=50.0, show_default=True, help="p99 above this makes the run invalid.")
@click.option("--tokens", type=click.Path(exists=True, dir_okay=False), help="JSON lines of prepared sessions.")
@_run_options
def replay(trace: str, speed: float | None, rate: float | None, said: dict[str, Any], **options: Any) -> int:
    """Replay the invoices of TRACE, a name (complete-journey) or a file, open loop, and match them with the orders."""
    if speed and rate:
        raise click.UsageError("--speed follows the trace's times and --rate ignores them: give one")
    about = _about(options)

    def run() -> int:
        from workloads.client.running_stack import find_stack
        from workloads.drivers.replay.run import ReplayOptions
        from workloads.drivers.replay.run import replay as replay_trace
        from workloads.results.run_folder import run_path
        from workloads.traces.command_options import read_options
        from workloads.traces.retail import read_with

        path = run_path(options["runs"], options["name"], "replay")
        stack = find_stack(options["data"], options["url"])
        shop = read_with([trace], read_options(said))
        chosen = ReplayOptions(
            speed=speed or SPEED_DEFAULT,
            rate_per_second=rate,
            spread=bool(said["spread"]),
            seed=options["seed"],
            in_flight_max=options["max_in_flight"],
            retry_seconds=options["retry_seconds"],
            lateness_p99_max_ms=options["max_lateness_ms"],
            tokens=options["tokens"],
        )
        return _finish(replay_trace(shop, stack, path, chosen, about), path, options["as_json"])

    return guarded(run)


@click.command()
@click.argument("scenario", type=click.Choice(["steady", "ramp", "flash-sale", "double-wave", "soak"]))
@click.option("--users", default=50, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--run-time", type=click.FloatRange(min=1), help="Seconds; by default the scenario's own.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Locust processes here.")
@click.option("--expect-workers", default=0, type=click.IntRange(0, 1_000), help="Locust workers started elsewhere.")
@click.option("--master-port", default=0, type=click.IntRange(0, 65_535), help="Where those workers connect to.")
@click.option("--web", is_flag=True, help="Locust's web UI instead of a fixed run.")
@click.option(
    "--think", "think_scale", default=0.1, show_default=True, type=click.FloatRange(0, 100), help="1 is real."
)
@click.option("--stock", type=click.IntRange(1, 1_000_000), help="Units of the hot SKU to receive before the start.")
@click.option("--hot-sku", help="What the flash sale is after; by default the most popular SKU.")
@_run_options
def load(scenario: str, data: str, url: str | None, runs: str, name: str | None, as_json: bool, **options: Any) -> int:
    """Let shoppers loose on the shop with locust: steady, ramp, flash-sale, double-wave or soak."""
    about = _about(options)

    def run() -> int:
        from workloads.client.running_stack import find_stack
        from workloads.drivers.locust.run import LoadOptions
        from workloads.drivers.locust.run import load as run_load
        from workloads.results.run_folder import run_path

        path = run_path(runs, name, scenario)
        chosen = LoadOptions(run_seconds=options.pop("run_time"), **options)
        return _finish(run_load(scenario, find_stack(data, url), path, chosen, about), path, as_json)

    return guarded(run)


@click.command()
@click.argument("kind", type=click.Choice(["get", "availability", "products", "checkout-hot", "checkout-spread"]))
@click.option("--path", default="/health/live", show_default=True, help="What `get` gets.")
@click.option("--target-ms", default=50.0, show_default=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--percentile", default=99.0, show_default=True, type=click.FloatRange(1, 100))
@click.option("--first-rate", default=100.0, show_default=True, type=click.FloatRange(min=1))
@click.option("--max-rate", "rate_max", default=10_000.0, show_default=True, type=click.FloatRange(min=1))
@click.option("--trial-seconds", default=5.0, show_default=True, type=click.FloatRange(1, 600))
@_run_options
def capacity(data: str, url: str | None, runs: str, name: str | None, as_json: bool, **options: Any) -> int:
    """Search for the highest rate that still meets a latency target, open loop."""
    about = _about(options)

    def run() -> int:
        from workloads.client.running_stack import find_stack
        from workloads.drivers.capacity import CapacityOptions
        from workloads.drivers.capacity import capacity as find_capacity
        from workloads.results.run_folder import run_path

        path = run_path(runs, name, f"capacity-{options['kind']}")
        chosen = CapacityOptions(**options)
        return _finish(find_capacity(find_stack(data, url), path, chosen, about), path, as_json)

    return guarded(run)


@click.command()
@click.option("--rate", "rate_per_second", default=100, show_default=True, type=click.IntRange(10, 1_000))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(2, 120))
@click.option("--stall-begins", "stall_begins_seconds", default=4.0, show_default=True, type=click.FloatRange(0, 60))
@click.option("--stall", "stall_seconds", default=2.0, show_default=True, type=click.FloatRange(0.1, 30))
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Keep both sides' rows in this folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def stalled(to: Path | None, as_json: bool, **options: Any) -> int:
    """Measure one stalled server with locust and with the open loop, side by side."""

    def run() -> int:
        from workloads.calibration.stalled_server import Stalled, demonstrate

        found = demonstrate(Stalled(**options), to)
        click.echo(json.dumps(found) if as_json else found["explanation"])
        return INVALID if found["invalid"] else 0 if found["ok"] else FAILED

    return guarded(run)


@click.command("client-bench")
@click.option("--rate", default=3_000.0, show_default=True, type=click.FloatRange(10, 20_000))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1, 60))
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def client_bench(rate: float, seconds: float, seed: int, as_json: bool) -> int:
    """How punctual the generator is on one core, and what recording every request costs it."""
    from workloads.calibration.client_bench import bench_client
    from workloads.progress import progress_bar

    with progress_bar("measuring the client", 41) as step:
        found = bench_client(rate, seconds, seed, on_step=step)
    click.echo(json.dumps(found, indent=None if as_json else 1))
    if not found["ok"] and not found["machineCanTell"]:
        say("[red]invalid:[/] the machine is too busy: even a schedule without requests could not be kept")
        return INVALID
    return 0 if found["ok"] else FAILED
