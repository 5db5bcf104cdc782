"""The commands that measure. Each imports what it needs when it runs, so `holdfast --help` stays quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.kit import outcome
from service.options import as_json

if TYPE_CHECKING:
    from benchmarks.kit.served_stack import Served

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
@click.option("--scarce", default=32, show_default=True, type=click.IntRange(1, 1_024), help="Units that are sold out.")
def contention(as_json: bool, seed: int, quick: bool, scarce: int, **sizes: Any) -> None:
    """Five ways to reserve one hot SKU, and the stock books audited after each."""
    from benchmarks.contention import command
    from benchmarks.contention.run import QUICK, ContentionPlan

    plan = ContentionPlan(scarce_units=scarce, seed=seed, **sizes)
    outcome.show(lambda: command.measure(replace(QUICK, seed=seed) if quick else plan), as_json)


@bench.command()
@as_json
@seeded
@quick
@click.option("--buyers", default=64, show_default=True, type=click.IntRange(4, 1_024), help="Of all ledgers together.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=1.5, show_default=True, type=click.FloatRange(0.1, 60), help="One turn's length.")
def scaling(as_json: bool, seed: int, quick: bool, buyers: int, rounds: int, seconds: float) -> None:
    """One, two and four ledger processes on one store: what `holdfast scale` is calibrated and judged with."""
    from benchmarks.scaling import command
    from benchmarks.scaling.run import QUICK, ScalingPlan

    plan = replace(QUICK, seed=seed) if quick else ScalingPlan(buyers=buyers, rounds=rounds, seconds=seconds, seed=seed)
    outcome.show(lambda: command.measure(plan), as_json)


@bench.command()
@as_json
@seeded
@quick
@click.option("--levels", is_flag=True, help="Compare every codec and level on the same bodies.")
def compression(as_json: bool, seed: int, quick: bool, levels: bool) -> None:
    """Bytes on the wire and CPU of the documented contents."""
    from benchmarks.compression import live

    plan = live.CompressionPlan(products=200 if quick else 1_000, seed=seed, levels=levels)
    _on_a_stack(
        "compression", len(live.CONTENTS) + 1, as_json, lambda stack, step: live.run(stack, plan, step), live.judge
    )


@bench.command()
@as_json
@seeded
@quick
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 512))
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="Per route and loop.")
def http(as_json: bool, seed: int, quick: bool, connections: int, seconds: float) -> None:
    """Every route: what it can do, and how long it takes at half of that, open loop."""
    from benchmarks.over_http import run

    plan = run.HttpPlan(connections, 0.3 if quick else seconds, products=200 if quick else 1_000, seed=seed)
    _on_a_stack("http", plan.steps, as_json, lambda stack, step: run.run(stack, plan, step), run.judge)


@bench.command()
@as_json
@seeded
@quick
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1, 512))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1, 60), help="One turn's length.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 16), help="API processes.")
def checkout(
    as_json: bool, seed: int, quick: bool, connections: int, rounds: int, seconds: float, workers: int
) -> None:
    """Checkouts per second over HTTP, hot and spread, audited."""
    from benchmarks.over_http import checkout

    plan = checkout.CheckoutPlan(connections, rounds, seconds, seed=seed)
    plan = replace(plan, rounds=1, seconds=0.3, skus=50, buyers=2) if quick else plan
    _on_a_stack(
        "checkout", plan.steps, as_json, lambda stack, step: checkout.run(stack, plan, step), checkout.judge, workers
    )


@bench.command()
@as_json
@seeded
@quick
@click.option("--holds", default=50_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option("--skus", default=5_000, show_default=True, type=click.IntRange(10, 100_000))
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1, 512))
def expiry(as_json: bool, seed: int, quick: bool, holds: int, skus: int, connections: int) -> None:
    """A burst of expired holds swept by two workers, and the checkouts that go on meanwhile."""
    from benchmarks.expiry import judge as verdict
    from benchmarks.expiry import run

    plan = replace(run.QUICK, seed=seed) if quick else run.ExpiryPlan(holds, skus, connections, seed=seed)
    timed = plan.holds >= run.ExpiryPlan().holds
    _on_a_stack(
        "expiry",
        plan.steps,
        as_json,
        lambda stack, step: run.run(stack, plan, step),
        lambda result: verdict.judge(result, timed),
    )


@bench.command()
@as_json
@seeded
@quick
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 512))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=0.4, show_default=True, type=click.FloatRange(0.1, 60), help="One turn's length.")
def layers(as_json: bool, seed: int, quick: bool, connections: int, rounds: int, seconds: float) -> None:
    """CPU per request: the bare framework, the bare route, the route behind every layer; and what the cache saves."""
    from benchmarks.layers import judge as verdict
    from benchmarks.layers import run

    plan = run.LayersPlan(connections, rounds, seconds, seed=seed)
    plan = replace(plan, rounds=1, seconds=0.2, profile_seconds=0.5, products=100, buyers=2) if quick else plan
    _on_a_stack("layers", plan.steps, as_json, lambda stack, step: run.run(stack, plan, step), verdict.judge)


@bench.command()
@as_json
@seeded
@quick
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 512))
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.1, 60), help="One turn's length.")
def peer(as_json: bool, seed: int, quick: bool, connections: int, rounds: int, seconds: float) -> None:
    """Side by side with the documented original stack on node."""
    from benchmarks.side_by_side import run

    plan = run.SideBySidePlan(connections, rounds, seconds, seed=seed)
    plan = replace(plan, rounds=1, seconds=0.2, products=100, buyers=2) if quick else plan
    _on_a_stack("peer", plan.steps, as_json, lambda stack, step: run.run(stack, plan, step), run.judge)


@bench.command()
@as_json
@seeded
@quick
@click.option("--rate", default=5_000, show_default=True, type=click.IntRange(100, 100_000), help="Requests a second.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 100))
def flood(as_json: bool, seed: int, quick: bool, rate: int, rounds: int) -> None:
    """One address floods, another one shops: its p99 beside its quiet p99."""
    from benchmarks.flood import run

    plan = run.FloodPlan(rate, rounds=rounds, seed=seed)
    plan = replace(plan, rounds=1, quiet_seconds=2, flood_seconds=3, products=50, buyers=2) if quick else plan
    limits = run.LIMITS_OF_PRODUCTION
    _on_a_stack("flood", plan.steps, as_json, lambda stack, step: run.run(stack, plan, step), run.judge, 1, limits)


@bench.command()
@as_json
@seeded
@quick
@click.option("--scale", default=1.0, show_default=True, type=click.FloatRange(0.001, 10), help="Of 100,000 products.")
@click.option("--samples", default=600, show_default=True, type=click.IntRange(40, 100_000), help="Per operation.")
@click.option("--clients", default=32, show_default=True, type=click.IntRange(2, 512))
def lookups(as_json: bool, seed: int, quick: bool, scale: float, samples: int, clients: int) -> None:
    """The four documented operations, with and without their index."""
    from benchmarks.lookups import command
    from benchmarks.lookups.run import QUICK, LookupsPlan

    plan = LookupsPlan(scale=scale, samples=samples, clients=clients, seed=seed)
    outcome.show(lambda: command.measure(replace(QUICK, seed=seed) if quick else plan), as_json)


@bench.command()
@as_json
@seeded
@quick
@click.option(
    "--large", default=1_000_000, show_default=True, type=click.IntRange(2_000, 10_000_000), help="SKUs, orders."
)
@click.option("--buyers", default=64, show_default=True, type=click.IntRange(2, 1_024))
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(6, 1_000))
@click.option("--waves", default=20, show_default=True, type=click.IntRange(3, 1_000), help="Of each kind, in a round.")
@click.option("--audit", "audit_all", is_flag=True, help="Audit the large shops too: minutes more.")
def growth(
    as_json: bool, seed: int, quick: bool, large: int, buyers: int, rounds: int, waves: int, audit_all: bool
) -> None:
    """What a checkout costs with a million SKUs, and with a million past orders."""
    from benchmarks.growth import command
    from benchmarks.growth.run import QUICK, GrowthPlan

    plan = GrowthPlan(large=large, buyers=buyers, rounds=rounds, waves=waves, audit_all=audit_all, seed=seed)
    outcome.show(lambda: command.measure(replace(QUICK, seed=seed) if quick else plan), as_json)


@bench.command("index-cost")
@as_json
@seeded
@quick
@click.option("--orders", default=2_000, show_default=True, type=click.IntRange(64, 1_000_000), help="In each turn.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1, 1_000))
def index_cost(as_json: bool, seed: int, quick: bool, orders: int, rounds: int) -> None:
    """What each index costs an order: keys, bytes, and CPU of the server."""
    from benchmarks.index_cost import command
    from benchmarks.index_cost.run import QUICK, IndexCostPlan

    plan = replace(QUICK, seed=seed) if quick else IndexCostPlan(orders=orders, rounds=rounds, seed=seed)
    outcome.show(lambda: command.measure(plan), as_json)


@bench.command()
@as_json
@seeded
@quick
@click.option("--products", default=100_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option("--queries", default=250, show_default=True, type=click.IntRange(10, 2_000))
def relevance(as_json: bool, seed: int, quick: bool, products: int, queries: int) -> None:
    """Judged searches: the shop's own against MongoDB's text score."""
    from benchmarks.search import relevance
    from benchmarks.search.relevance import RelevancePlan

    plan = RelevancePlan(products=5_000 if quick else products, queries=queries, seed=seed)
    outcome.show(lambda: relevance.measure(plan), as_json)


@click.command()
@as_json
@click.option("--ci", is_flag=True, help="Plain lines, and the summary as Markdown in runs/budgets.md.")
@click.option("--self-test", is_flag=True, help="Break the service on purpose; every budget must go red.")
@click.option("--only", multiple=True, metavar="NAME", help="These budgets alone; may be repeated.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the summary here.")
def budgets(as_json: bool, ci: bool, self_test: bool, only: tuple[str, ...], markdown: Path | None) -> None:
    """Judge what benchmarks/budgets.toml declares. Ends with 1 if a hard budget is broken."""
    from benchmarks.budgets import command

    summary = markdown or (command.CI_SUMMARY if ci else None)
    if self_test:
        command.show_self_test(only, as_json, summary)
    else:
        command.show_check(only, as_json, summary)


def _on_a_stack(
    title: str,
    steps: int,
    as_json: bool,
    run: Callable[[Served, Callable[[str], None]], dict[str, Any]],
    judge: Callable[[dict[str, Any]], outcome.BenchOutcome],
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Measures on a served stack of its own and judges what came out."""
    from benchmarks.kit.served_stack import served

    def measure() -> outcome.BenchOutcome:
        with outcome.progress(title, steps) as step, served(environment, workers=workers) as stack:
            return judge(run(stack, step))

    outcome.show(measure, as_json)
