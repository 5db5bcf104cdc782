"""`holdfast bench growth`: starts its own mongod, fills it, measures, and judges that size costs a checkout nothing."""

from collections.abc import Iterator
from typing import Any

from benchmarks.growth.contestant import KINDS
from benchmarks.growth.run import GrowthPlan, run
from benchmarks.kit.outcome import BenchOutcome, progress, table
from benchmarks.kit.own_stores import own_stores

GROWTH_MAX = 1.10
COUNTERS = ("commands", "keysExamined", "documentsExamined")
JUDGED = ("time", "p50")
GROWTHS = ("time, times", "p50, times", "CPU, times")
RATES = {"checkouts/s": "checkoutsPerSecond", "p50 ms": "p50Ms", "CPU ms": "cpuMs"}


def measure(plan: GrowthPlan) -> BenchOutcome:
    with (
        own_stores() as stores,
        progress("growth", plan.steps) as step,
    ):
        return judge(run(stores, plan, step), timed=plan.large >= GrowthPlan().large)


def judge(result: dict[str, Any], timed: bool = True) -> BenchOutcome:
    """`timed`: there are enough waves for their times to mean something. Counts always do."""
    shops = result["databases"]
    rates = [
        [f"{shop['name']}, {kind}", *(shop[kind][key] for key in RATES.values()), *_shown(shop, kind)]
        for kind in KINDS
        for shop in shops
    ]
    counts = [[shop["name"], shop["skus"], shop["orders"], *map(shop["perCheckout"].get, COUNTERS)] for shop in shops]
    tables = (
        table(f"lone: 1 buyer; spread and hot: {result['buyers']} at once", ("shop", *RATES, *GROWTHS), rates),
        table("one checkout", ("shop", "SKUs", "orders", "commands", "keys examined", "documents examined"), counts),
    )
    return BenchOutcome(result, tables, (*_uneven(shops), *_violated(shops), *(_grown(shops) if timed else ())))


def _shown(shop: dict[str, Any], kind: str) -> list[str]:
    """Each ratio to the small shop, and between what it lies 95 times in 100."""
    if "growth" not in shop:
        return ["1"] * len(GROWTHS)
    return [f"{each['median']:.2f} ({each['low']:.2f} to {each['high']:.2f})" for each in shop["growth"][kind].values()]


def _uneven(shops: list[dict[str, Any]]) -> Iterator[str]:
    small, *large = shops
    for shop in large:
        for name in COUNTERS:
            one, other = small["perCheckout"][name], shop["perCheckout"][name]
            if one != other:
                yield f"{name} of a checkout: {other} in the shop {shop['name']}, {one} in the small one"


def _violated(shops: list[dict[str, Any]]) -> Iterator[str]:
    for shop in shops:
        if shop["auditOk"] is False:
            yield f"the audit found violations in the shop {shop['name']}"


def _grown(shops: list[dict[str, Any]]) -> Iterator[str]:
    """Only what lies beyond the limit with all of its interval."""
    for shop in shops[1:]:
        for kind, growth in shop["growth"].items():
            for name in JUDGED:
                if growth[name]["low"] > GROWTH_MAX:
                    yield f"{kind} checkouts, {name}: {growth[name]['median']} times as much in the shop {shop['name']}"
