"""`holdfast bench contention`: starts its own mongod, runs the plan, judges the result."""

from typing import Any

from benchmarks.contention.run import ContentionPlan, run
from benchmarks.kit.outcome import BenchOutcome, RunInvalid, progress, table
from benchmarks.kit.own_stores import own_stores
from service.infra import garbage

COLUMNS = {
    "strategy": "name",
    "checkouts/s": "checkoutsPerSecond",
    "p50 ms": "p50Ms",
    "p99 ms": "p99Ms",
    "oversold": "oversold",
    "client retries": "clientRetries",
    "write conflicts": "serverWriteConflicts",
}


def measure(plan: ContentionPlan) -> BenchOutcome:
    """The process looks for garbage as the service's does, for all strategies alike."""
    garbage.freeze_gc()
    with (
        own_stores() as stores,
        progress("contention", plan.turns) as step,
    ):
        result = run(stores.mongodb_uri, plan, step)
    return judge(result, plan)


def judge(result: dict[str, Any], plan: ContentionPlan) -> BenchOutcome:
    oversold = {row["name"]: row["oversold"] for row in [*result["strategies"], result["spread"]]}
    if not oversold["read_then_write"]:
        raise RunInvalid("the naive strategy sold nothing twice, so this run could not have seen an oversell")
    broken = [f"group commit oversold {oversold[name]} units" for name in oversold if _wrong(name, oversold[name])]
    rows = [[row[key] for key in COLUMNS.values()] for row in result["strategies"]]
    hot = table(f"{plan.buyers} buyers of one SKU", COLUMNS, rows)
    ratios = {
        "group commit over a transaction per request": result["groupCommitOverTransaction"],
        "group commit over one conditional update": result["groupCommitOverConditional"],
        f"hot SKU over {plan.skus:,} SKUs": result["hotOverSpread"],
    }
    return BenchOutcome(result, (hot, table("in the same run", ("ratio", "times"), ratios.items())), tuple(broken))


def _wrong(name: str, oversold: int) -> bool:
    return oversold > 0 and name.startswith("group_commit")
