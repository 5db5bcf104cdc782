"""Owns the command line of torture: how many rounds on which setup, and the sum of what was found."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click

from workloads.client.running_stack import StackError
from workloads.torture.rounds import Round, run_rounds
from workloads.torture.setups import SETUPS

FAILED, INVALID = 1, 2
SHARES = {"embedded": 0.4, "proxied": 0.35, "replicated": 0.25}
FAILOVERS = {"kill primary", "freeze primary", "step down"}


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses faults, victims, durations and buyers.")
@click.option(
    "--setup", type=click.Choice(["all", *SETUPS]), default="all", show_default=True, help="Where stores are."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep data and logs in this directory.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
def torture(rounds: int, seed: int, setup: str, keep: Path | None, as_json: bool) -> None:
    """Break the real stack under load, round after round, and audit what is left.

    Processes are killed and frozen, connections cut, slowed and left half open, the primary of a replica set lost,
    disk and memory run out. Nothing may be oversold, lost, leaked or charged wrongly.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="holdfast-torture-"))
    try:
        document = asyncio.run(_torture(_plan(setup, rounds), seed, folder))
    except StackError as error:
        click.echo(f"run invalid: {error}", err=True)
        sys.exit(INVALID)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(json.dumps(document, indent=2) if as_json else _text(document))
    if not document["ok"]:
        sys.exit(FAILED)


def _plan(setup: str, rounds: int) -> dict[str, int]:
    """How many rounds on each setup."""
    if setup != "all":
        return {setup: rounds}
    plan = {name: int(rounds * share) for name, share in SHARES.items()}
    plan["embedded"] += rounds - sum(plan.values())
    return {name: count for name, count in plan.items() if count}


async def _torture(plan: dict[str, int], seed: int, folder: Path) -> dict[str, Any]:
    done: list[Round] = []
    late: list[str] = []
    first = 1
    for name, count in plan.items():
        async with SETUPS[name](folder / name) as setup:
            rounds, complaints = await run_rounds(setup, range(first, first + count), seed, _tell)
        done, late, first = done + rounds, late + complaints, first + count
    return _document(done, late, seed)


def _tell(finished: Round) -> None:
    mark = "ok" if not finished.complaints else "FAILED"
    recovery = "never" if finished.recovery_seconds is None else f"{finished.recovery_seconds:.2f} s"
    click.echo(
        f"round {finished.number:4} {finished.setup:10} {finished.fault:22} {mark}: {finished.orders} orders, "
        f"{finished.unknown_then_known} unknown then known, recovered in {recovery}",
        err=True,
    )
    for complaint in finished.complaints:
        click.echo(f"    {complaint}", err=True)


def _document(rounds: list[Round], late: list[str], seed: int) -> dict[str, Any]:
    failures = [
        {"round": each.number, "setup": each.setup, "fault": each.fault, "what": what}
        for each in rounds
        for what in each.complaints
    ]
    failures += [{"round": 0, "setup": "", "fault": "", "what": what} for what in late]
    return {
        "ok": not failures,
        "seed": seed,
        "rounds": len(rounds),
        "orders": sum(each.orders for each in rounds),
        "paid": sum(each.paid for each in rounds),
        "refused": sum(each.refused for each in rounds),
        "unknownThenKnown": sum(each.unknown_then_known for each in rounds),
        "stillUnknown": sum(each.still_unknown for each in rounds),
        "recoverySeconds": _spread(_recoveries(rounds, failover=False)),
        "failoverSeconds": _spread(_recoveries(rounds, failover=True)),
        "faults": dict(sorted(Counter(f"{each.setup}: {each.fault}" for each in rounds).items())),
        "failures": failures,
    }


def _recoveries(rounds: list[Round], *, failover: bool) -> Iterator[float]:
    for each in rounds:
        if (each.fault in FAILOVERS) is failover and each.recovery_seconds is not None:
            yield each.recovery_seconds


def _spread(seconds: Iterator[float]) -> dict[str, float] | None:
    found = sorted(seconds)
    return {"p50": median(found), "max": found[-1]} if found else None


def _text(document: dict[str, Any]) -> str:
    plain = {name: value for name, value in document.items() if name not in {"faults", "failures"}}
    lines = [f"{name:18} {value}" for name, value in plain.items()]
    lines += [f"  {count:4} × {fault}" for fault, count in document["faults"].items()]
    lines += [f"round {found['round']} ({found['fault']}): {found['what']}" for found in document["failures"]]
    return "\n".join(lines)
