"""Owns the commands that read result folders: compare, report, runs and history. Pandas is loaded when one is
called."""

import json
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from workloads.progress import progress_bar
from workloads.results.guarding import FAILED, INVALID, guarded

RUNS = "runs"


class GroupsCommand(click.Command):
    """Takes `A1 A2 … --against B1 B2 …`: everything after --against, up to the next option, is the other side."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if "--against" in args:
            at = args.index("--against")
            others = next((n for n, text in enumerate(args[at + 1 :], at + 1) if text.startswith("--")), len(args))
            sides = [word for run in args[at + 1 : others] for word in ("--against", run)]
            args = [*args[:at], *sides, *args[others:]]
        return super().parse_args(context, args)


@click.command(cls=GroupsCommand)
@click.argument("runs", type=click.Path(file_okay=False, path_type=Path), nargs=-1)
@click.option(
    "--against", multiple=True, type=click.Path(file_okay=False, path_type=Path), help="The other side's runs: B1 B2 …"
)
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--fail-if-worse", is_flag=True, help="Exit 1 when a figure of the whole is worse; needs five a side.")
@click.option(
    "--self-test", "self_tested", is_flag=True, help="How often identical code is accused, and what is found."
)
@click.option("--pairs", default=400, show_default=True, type=click.IntRange(10, 10_000), help="Of the self-test.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def compare(
    runs: tuple[Path, ...],
    against: tuple[Path, ...],
    seed: int,
    fail_if_worse: bool,
    self_tested: bool,
    pairs: int,
    as_json: bool,
) -> int:
    """Compare runs: two are described side by side, five and more a side (--against) are judged."""
    if self_tested:
        return _self_test(pairs, seed, as_json)
    if not against and len(runs) == 2:
        runs, against = runs[:1], runs[1:]
    if not runs or not against:
        raise click.UsageError("give two runs, or A1 A2 … --against B1 B2 …")

    def run() -> int:
        from workloads.results import reader
        from workloads.results.compare import compare as compare_runs
        from workloads.results.figures import ALL_ROUTES

        a, b = ([reader.load_measured(path) for path in side] for side in (runs, against))
        found = compare_runs(a, b, seed)
        if fail_if_worse and not found["judged"]:
            raise click.UsageError(f"--fail-if-worse cannot be asked of so few: {found['verdict']}")
        click.echo(json.dumps(found, allow_nan=False)) if as_json else _show_comparison(found)
        if any(side["verdict"] not in ("ok", "failed") for side in (found["a"], found["b"])):
            return INVALID
        worse = any(m["verdict"] == "worse" for m in found["metrics"] if m["route"] == ALL_ROUTES)
        return FAILED if worse and fail_if_worse else 0

    return guarded(run)


def _self_test(pairs: int, seed: int, as_json: bool) -> int:
    from workloads.results.self_test import NOISES, self_test

    with progress_bar("comparing identical code", len(NOISES)) as step:
        found = self_test(pairs, seed=seed, on_step=step)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for row in found["noises"]:
            power = ", ".join(f"{effect} {share:.0%}" for effect, share in row["power"].items())
            click.echo(f"{row['noise']:12}  accused falsely {row['accused']:6.2%}   found: {power}")
    return 0 if found["ok"] else FAILED


def _show_comparison(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("route", "metric", found["a"]["name"], found["b"]["name"], "change", "95 % interval", "verdict")
    for m in found["metrics"]:
        if m["route"] != "all" and m["verdict"] in ("same", "unsure"):
            continue
        interval = f"{m['low'] * 100:+.1f} … {m['high'] * 100:+.1f} %" if None not in (m["low"], m["high"]) else "–"
        change = "–" if m["change"] is None else f"{m['change'] * 100:+.1f} %"
        table.add_row(m["route"], m["metric"], str(m["a"]), str(m["b"]), change, interval, m["verdict"])
    console.print(table)
    for warning in found["warnings"]:
        console.print(f"[yellow]careful:[/] {escape(warning)}")
    console.print(escape(found["verdict"]))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RUNS)
@click.option("--tag", "tags", multiple=True, help="Only runs with this tag; given several times, with all of them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def runs(folder: Path, tags: tuple[str, ...], as_json: bool) -> int:
    """List the result folders: name, tags, verdict and key figures."""
    from workloads.results.listing import list_runs

    found = list_runs(folder, tags)
    click.echo(json.dumps(found, allow_nan=False)) if as_json else _show_runs(found)
    return 0


def _show_runs(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("run", "started", "scenario", "verdict", "requests", "/s", "p50 ms", "p99 ms", "tags")
    for run in found["runs"]:
        figures = (run[name] for name in ("requests", "requestsPerSecond", "p50Ms", "p99Ms"))
        shown = ("–" if value is None else f"{value:,}" for value in figures)
        words = (run["name"], run["startedAt"][:19], str(run["scenario"]), run["verdict"])
        table.add_row(*map(escape, words), *shown, escape(" ".join(run["tags"])))
    console.print(table)
    for each in found["unreadable"]:
        console.print(f"[yellow]unreadable:[/] {escape(each['reason'])}", soft_wrap=True)


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="By default report.html in the folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def report(run: Path, to: Path | None, as_json: bool) -> int:
    """Write one self-contained HTML page about a run."""

    def write() -> int:
        from workloads.results import reader as results
        from workloads.results.report import write_report

        path = write_report(results.load_measured(run), to)
        click.echo(json.dumps({"report": str(path), "bytes": path.stat().st_size}) if as_json else str(path))
        return 0

    return guarded(write)


@click.command()
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RUNS)
@click.option(
    "--metric", default="p99Ms", show_default=True, type=click.Choice(["p50Ms", "p95Ms", "p99Ms", "requestsPerSecond"])
)
@click.option("--scenario", help="Only runs of this scenario.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def history(runs: Path, metric: str, scenario: str | None, as_json: bool) -> int:
    """Follow one figure over all runs in a folder, and say where its level changed."""

    def run() -> int:
        from workloads.results import reader as results
        from workloads.results.history import history as follow

        found = follow(results.load_all(runs), metric, scenario)
        click.echo(json.dumps(found, allow_nan=False)) if as_json else _show_history(found)
        return 0

    return guarded(run)


def _show_history(found: dict[str, Any]) -> None:
    for series in found["series"]:
        click.echo(f"{series['scenario']}  {json.dumps(series['options'])}")
        for run in series["runs"]:
            click.echo(f"  {run['startedAt']}  {run['value']:12,.2f}  {(run['commit'] or '')[:10]:10}  {run['name']}")
        for change in series["changes"]:
            click.echo(
                f"  from {change['run']} on: {change['before']:,.2f} -> {change['after']:,.2f} {found['metric']}"
            )
        told = "" if series["changes"] else f"no change of level in {len(series['runs'])} runs; "
        click.echo(f"  {told}{series['power']['told']}")
    if not found["series"]:
        click.echo("no run to follow")
