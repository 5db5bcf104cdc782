"""`holdfast bench scaling`: starts its own mongod and ledgers, runs the plan, shows what came of it."""

from benchmarks.kit.outcome import BenchOutcome, progress, table
from benchmarks.kit.own_stores import own_stores
from benchmarks.scaling.run import ScalingPlan, run

COLUMNS = {
    "ledgers": "processes",
    "buyers": "buyers",
    "hot share": "hotShare",
    "checkouts/s": "checkoutsPerSecond",
    "in a batch": "batchItems",
    "retries a batch": "retriesPerBatch",
    "p50 ms": "p50Ms",
    "p99 ms": "p99Ms",
    "process CPU ms a batch": "processCpuMs",
    "store CPU ms a batch": "storeCpuMs",
    "cores used": "coresUsed",
}


def measure(plan: ScalingPlan) -> BenchOutcome:
    with (
        own_stores() as stores,
        progress("scaling", plan.rounds * len(plan.settings)) as step,
    ):
        result = run(stores.mongodb_uri, plan, step)
    rows = [[turn[key] for key in COLUMNS.values()] for turn in result["turns"]]
    return BenchOutcome(result, (table(f"ledgers on one store, {result['cores']} cores", COLUMNS, rows),))
