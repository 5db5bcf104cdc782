"""The commands that measure. Each imports what it needs when it runs, so `holdfast --help` stays quick."""

from dataclasses import replace

import click

from benchmarks import outcome

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
seeded = click.option("--seed", default=1, show_default=True, help="Makes the choices of a run repeatable.")
quick = click.option("--quick", is_flag=True, help="A small run that shows it works; its figures are noise.")


@click.group()
def bench() -> None:
    """Measure: each benchmark starts and stops the servers it needs."""


@bench.command()
@as_json
@seeded
@quick
@click.option("--buyers", default=64, show_default=True, type=click.IntRange(2, 1_024))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.1, 60), help="One turn's length.")
@click.option("--orders", type=click.IntRange(1, 1_000_000), help="Checkouts in a turn, instead of its length.")
@click.option("--skus", default=1_000, show_default=True, type=click.IntRange(2, 100_000), help="For the spread run.")
def contention(
    as_json: bool, seed: int, quick: bool, buyers: int, rounds: int, seconds: float, orders: int | None, skus: int
) -> None:
    """Five ways to reserve one hot SKU, and the stock books audited after each."""
    from benchmarks.contention import command
    from benchmarks.contention.run import QUICK, Plan

    plan = Plan(buyers=buyers, rounds=rounds, seconds=seconds, orders=orders, skus=skus, seed=seed)
    outcome.show(lambda: command.measure(replace(QUICK, seed=seed) if quick else plan), as_json)
