"""`holdfast bench index-cost`: starts its own mongod, runs the plan, shows the bill."""

from typing import Any

from benchmarks.index_cost.run import IndexCostPlan, run
from benchmarks.kit.outcome import BenchOutcome, progress, table
from benchmarks.kit.own_stores import own_stores

COLUMNS = ("index", "keys placed", "keys paid", "keys expired", "bytes an order", "CPU µs an order", "serves")


def measure(plan: IndexCostPlan) -> BenchOutcome:
    with (
        own_stores() as stores,
        progress("index cost", plan.steps) as step,
    ):
        return shown(run(stores.mongodb_uri, plan, step))


def shown(result: dict[str, Any]) -> BenchOutcome:
    keys = ("keysPlaced", "keysPaid", "keysExpired", "bytesPerOrder")
    rows = [
        (
            f"{row['collection']}.{row['index']}",
            *(row[key] for key in keys),
            "-" if row["cpuMicros"] is None else row["cpuMicros"],
            row["serves"],
        )
        for row in result["indexes"]
    ]
    cpu, extra = result["mongodCpuMicrosPerOrder"], result["secondaryIndexesMicrosPerOrder"]
    total = table(
        "CPU of mongod per order placed and paid, µs",
        ("with", "µs"),
        [
            ("every index", cpu["everyIndex"]),
            ("unique indexes only", cpu["onlyUniqueIndexes"]),
            ("the difference, in turns", f"{extra['median']} ({extra['low']} to {extra['high']})"),
        ],
    )
    return BenchOutcome(result, (table("what an order writes into each index", COLUMNS, rows), total))
