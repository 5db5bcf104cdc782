"""`holdfast bench lookups`: starts its own mongod, fills it, measures, and judges against the documented table."""

from collections.abc import Iterator
from typing import Any

from benchmarks.kit.outcome import BenchOutcome, progress, table
from benchmarks.kit.own_stores import own_stores
from benchmarks.lookups.run import LookupsPlan, run

GROWTH_MAX = 2.0
COLUMNS = {
    "operation": "operation",
    "documented": "documentedRatio",
    "p95 before ms": "p95BeforeMs",
    "p95 after ms": "p95AfterMs",
    "times": "p95Ratio",
    "required": "requiredP95Ratio",
    "documents before": "docsExaminedBefore",
    "documents after": "docsExaminedAfter",
    "p95 at 10x data": "growth",
}
CROWD = {"p95 before ms": "p95BeforeMs", "p95 after ms": "p95AfterMs", "times": "p95Ratio"}


def measure(plan: LookupsPlan) -> BenchOutcome:
    with (
        own_stores() as stores,
        progress("lookups", plan.steps) as step,
    ):
        return judge(run(stores.mongodb_uri, plan, step), plan)


def judge(result: dict[str, Any], plan: LookupsPlan) -> BenchOutcome:
    rows = result["rows"]
    alone = table("one client", COLUMNS, [[row[key] for key in COLUMNS.values()] for row in rows])
    crowded = [[row["operation"], *(row["crowd"][key] for key in CROWD.values())] for row in rows]
    ways = [[name, taken["p50Ms"], taken["p95Ms"]] for name, taken in result["otherWaysToSearch"].items()]
    tables = (
        alone,
        table(f"{plan.clients} clients", ("operation", *CROWD), crowded),
        table("the same searches, in other ways", ("way", "p50 ms", "p95 ms"), ways),
    )
    return BenchOutcome(result, tables, tuple(broken(result)) if plan.scale >= 1 else ())


def broken(result: dict[str, Any]) -> Iterator[str]:
    """What the documented table asks for and the run did not show. Means something at the documented size only."""
    for row in result["rows"]:
        name = row["operation"]
        if row["p95Ratio"] < row["requiredP95Ratio"]:
            yield f"{name} is {row['p95Ratio']} times faster at p95, not {row['requiredP95Ratio']:g}"
        if row["p95AfterMs"] > row["requiredP95AfterMs"]:
            yield f"{name} takes {row['p95AfterMs']} ms at p95, more than {row['requiredP95AfterMs']:g}"
        if row["growth"] > GROWTH_MAX:
            yield f"{name} takes {row['growth']} times as long at ten times the data"
    ways = result["otherWaysToSearch"]
    for other in ("regexScan", "textIndex"):
        if ways["termIndex"]["p95Ms"] > ways[other]["p95Ms"]:
            yield f"search by the term index is slower than by {other}"
