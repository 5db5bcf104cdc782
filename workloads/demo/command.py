"""`holdfast demo`: the main job, end to end, in one command and a few minutes.

It boots everything embedded, seeds a shop from a retail trace, lets a flash sale and a replay of real checkouts loose
on it, audits the books, measures what is documented, and leaves runs/demo/results.json and report.html. Everything
goes through the same command line a person uses.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from workloads.client.command_line import CommandFailed, ask
from workloads.client.running_stack import holdfast_command
from workloads.demo import trace as demo_trace
from workloads.demo.report import counted, write_report
from workloads.drivers.parent_death_signal import end_with_parent
from workloads.progress import say, spinner
from workloads.results.provenance import commit, machine, versions
from workloads.results.run_folder import write_json
from workloads.traces import names as trace_names
from workloads.traces.command_options import TRACE_HELP, as_words, guarded, read_options, trace_options

READY_SECONDS_MAX, STOP_SECONDS_MAX = 90, 30
# Load from one address, and hundreds of accounts: limits and password hashes work as ever, at another size.
LOAD_SETTINGS = {"HOLDFAST_RATE_LIMIT_SCALE": "100000", "HOLDFAST_BCRYPT_ROUNDS": "4"}
STOCK_OF_A_SKU = 20_000
FLASH_SALE_SKU, FLASH_SALE_STOCK = "HF-000001", 40


class StepFailed(click.ClickException):
    """A step of the demo did not do what it is there for."""


def run(folder: Path, trace: str, said: Mapping[str, Any], invoices: int) -> dict[str, Any]:
    """Does everything and returns the results, which are also in `folder`/results.json."""
    started = time.monotonic()
    results = {"commit": commit(), "machine": machine(), "versions": versions(), "trace": Path(trace).name}
    named = [trace, *as_words({**said, "limit": invoices})]
    with running_stack(folder / "stack") as environment:
        results |= _sell(folder, named, invoices, environment)
    results |= _measure()
    results["documentedVersusMeasured"] = documented_versus_measured(results)
    results["ok"] = _is_ok(results)
    results["wallSeconds"] = round(time.monotonic() - started, 1)
    write_json(folder / "results.json", results)
    write_report(folder, results)
    return results


def trace_or_made_up(folder: Path, trace: str | None, invoices: int) -> str:
    """The trace to sell: the one asked for, else the default, else one that is made up, which is said."""
    folder.mkdir(parents=True, exist_ok=True)
    if trace is not None or trace_names.default_is_there():
        return trace or trace_names.default_trace()
    say("[yellow]made up:[/] baskets and names, since the data package is not installed (holdfast\\[data])")
    return str(demo_trace.made_up(folder / "trace.csv", invoices))


def _sell(folder: Path, trace: Sequence[str], invoices: int, environment: Mapping[str, str]) -> dict[str, Any]:
    runs = ["--runs", str(folder / "runs")]
    stock = ["--stock", str(STOCK_OF_A_SKU)]
    hot = ["--hot-sku", FLASH_SALE_SKU, "--stock", str(FLASH_SALE_STOCK)]
    sale = ["--users", "64", "--run-time", "15", *hot, "--name", "flash-sale"]
    replayed = ["--rate", str(max(5, invoices // 30)), "--name", "replay"]
    return {
        "seeded": step("seeding a shop from the trace", ["seed", "--trace", *trace, *stock], environment),
        "hotSku": step("one product for the flash sale", ["seed", "--products", "1", "--stock", "0"], environment),
        "flashSale": step("a flash sale, 64 shoppers", ["load", "flash-sale", *sale, *runs], environment),
        "replay": step(f"replaying {invoices} baskets", ["replay", *trace, *replayed, *runs], environment),
        "audit": step("auditing the books", ["audit"], environment),
    }


def _measure() -> dict[str, Any]:
    return {
        "contention": step("measuring five ways to reserve one hot SKU", ["bench", "contention"]),
        "lookups": step("measuring look-ups with and without their index", ["bench", "lookups", "--scale", "0.1"]),
        "compression": step("measuring compression on live responses", ["bench", "compression"]),
    }


def step(title: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs one `holdfast` command and returns its JSON document. Raises StepFailed with what it said."""
    started = time.monotonic()
    try:
        with spinner(title):
            document = ask(*arguments, environment=environment)
    except CommandFailed as failure:
        raise StepFailed(str(failure)) from None
    say(f"[{'red' if document['exitCode'] else 'green'}]{title}[/] {time.monotonic() - started:.0f} s")
    return document


@contextmanager
def running_stack(data: Path) -> Iterator[dict[str, str]]:
    """The whole stack on free ports; gives the environment that leads commands to it. Stopped whatever happens."""
    log = data.with_suffix(".log")
    with log.open("w") as output:
        stack = subprocess.Popen(
            holdfast_command("up", "--data", str(data), "--port", "0"),
            env={**os.environ, **LOAD_SETTINGS},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one call, no lock
        )
    try:
        with spinner("starting MongoDB, Redis, API, worker and scheduler"):
            url = _ready(stack, log)
        say(f"[green]everything runs[/] at {url}")
        yield {"HOLDFAST_DATA": str(data), "HOLDFAST_URL": url, **LOAD_SETTINGS}
    finally:
        _stop(stack)


def _ready(stack: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and stack.poll() is None:
        ready = [line for line in log.read_text().splitlines() if line.startswith("ready ")]
        if ready:
            return ready[0].removeprefix("ready ")
        time.sleep(0.1)
    raise StepFailed(f"the stack did not start:\n{log.read_text()[-2_000:]}")


def _stop(stack: subprocess.Popen[bytes]) -> None:
    if stack.poll() is None:
        stack.send_signal(signal.SIGTERM)
        try:
            stack.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            stack.kill()
            stack.wait()


def documented_versus_measured(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a documented figure: what it says, and what this run measured for the same thing."""
    rows = [
        {
            "what": row["operation"].replace("_", " "),
            "documented": f"{row['documentedBeforeMs']} → {row['documentedAfterMs']} ms, {row['documentedRatio']}×",
            "measured": f"{row['beforeMs']:.3g} → {row['afterMs']:.3g} ms, {row['ratio']:,.0f}×",
            "kept": row["ratio"] >= row["documentedRatio"],
        }
        for row in results["lookups"]["rows"]
    ]
    return rows + [
        {
            "what": f"gzip, {row['content']}",
            "documented": f"{row['documentedReduction']:.0f} % smaller",
            "measured": f"{row['reduction']:.0f} % smaller ({row['bytes']:,} → {row['gzipBytes']:,} bytes)",
            "kept": row["reduction"] >= row["documentedReduction"],
        }
        for row in results["compression"]["rows"]
    ]


def contention_ratio(results: Mapping[str, Any], slower: str) -> float:
    rates = {row["name"]: row["checkoutsPerSecond"] for row in results["contention"]["strategies"]}
    return float(rates["group_commit"] / rates[slower])


def _is_ok(results: Mapping[str, Any]) -> bool:
    oversold = {row["name"]: row["oversold"] for row in results["contention"]["strategies"]}
    matched = results["replay"].get("matching", {}).get("ok", False)
    return bool(results["audit"]["ok"] and matched and not oversold["group_commit"] and results["flashSale"]["auditOk"])


def show(results: Mapping[str, Any]) -> None:
    table = Table("", "documented", "measured here", "", title="Documented and measured")
    for row in results["documentedVersusMeasured"]:
        table.add_row(
            row["what"], row["documented"], row["measured"], "[green]kept[/]" if row["kept"] else "[red]below[/]"
        )
    strategies = Table("reserving one hot SKU, 64 buyers", "checkouts/s", "p99 ms", "oversold", "client retries")
    for row in results["contention"]["strategies"]:
        strategies.add_row(
            row["name"].replace("_", " "),
            f"{row['checkoutsPerSecond']:,.0f}",
            f"{row['p99Ms']:,.1f}",
            str(row["oversold"]),
            f"{row['clientRetries']:,}",
        )
    sale, replay = results["flashSale"], results["replay"]
    click.echo(f"flash sale: {counted(sale['outcomes'])}; books {'balance' if sale['auditOk'] else 'DO NOT balance'}")
    click.echo(
        f"replay: {replay['invoices']['total']} invoices, {replay['matching']['matched']} sales matched one to one"
    )
    Console().print(strategies, table)


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
    from workloads.traces.retail import read_with

    chosen = trace_or_made_up(out, trace, invoices)
    guarded(lambda: read_with([chosen], read_options(said)))
    results = run(out, chosen, said, invoices)
    if as_json:
        click.echo(json.dumps(results))
    else:
        show(results)
        click.echo(f"report: {out / 'report.html'}  ({results['wallSeconds']:.0f} s)")
    return 0 if results["ok"] else 1


if __name__ == "__main__":
    sys.exit(demo(standalone_mode=False))
