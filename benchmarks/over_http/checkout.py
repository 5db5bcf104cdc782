"""`holdfast bench checkout`: checkouts per second over HTTP, of one hot SKU and spread over the catalogue, in turns,
and how long one takes that is alone, beside a bare write to the same store.

Two checks stand beside the rate: a scarce SKU is sold out by a crowd and must sell exactly its stock, and afterwards
the service's own audit must be ok."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.cpu_time import used_seconds
from benchmarks.kit.outcome import Outcome, table
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import Shopfront, adjust, discover, receive, sign_in
from benchmarks.kit.wire import Wire, request
from benchmarks.over_http.judging import judged
from benchmarks.over_http.yardstick import Bare, bare_writes, write_alone
from workloads.results.verdict import Work

ADMIN, ADMIN_PASSWORD = "admin@example.com", "an administrator's pass phrase 7"
AMPLE_UNITS = 1_000_000
STOCK, SCARCE_UNITS = 1_000, 50
IDLE_REQUESTS = 100  # in each round

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    connections: int = 64
    rounds: int = 3
    seconds: float = 3.0
    skus: int = 1_000
    buyers: int = 8
    warm_up_requests: int = 200
    settle_seconds: float = 2.0  # until what was sold before has been told to everybody: the system is idle then
    seed: int = 1

    @property
    def steps(self) -> int:
        return 3 * self.rounds + 3


def run(stack: Served, plan: Plan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.skus, stock=STOCK)
    step("seeded")
    return measure(stack, plan, step)


def measure(stack: Served, plan: Plan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    stack.holdfast("admin", "create", ADMIN, "--password", ADMIN_PASSWORD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, bare_writes(stack) as bare:
        result = runner.run(_run(stack.url, plan, step, lambda: used_seconds(_api_processes(stack)), bare))
    result["audit"] = stack.audit()
    step("audited")
    return result


def _api_processes(stack: Served) -> list[int]:
    return [process_id for name, process_id in stack.processes.items() if name.startswith("api")]


async def _run(
    url: str, plan: Plan, step: Progress, api_cpu_seconds: Callable[[], float], bare: Bare
) -> dict[str, Any]:
    shop = await discover(url, plan.buyers)
    choose = random.Random(plan.seed)
    hot, scarce, *spread = choose.sample(shop.skus, min(len(shop.skus), plan.skus))
    requests = CheckoutRequests(shop, choose)
    async with Wire(url, plan.connections) as crowd, Wire(url) as single:
        admin = await sign_in(single, ADMIN, ADMIN_PASSWORD)
        await receive(single, admin, [hot, *spread], AMPLE_UNITS)
        await drive(crowd, lambda: requests.of(hot), Tally(), requests=plan.warm_up_requests)
        idle, written, on_hot, on_spread, cpu_seconds = Tally(), Tally(), Tally(), Tally(), 0.0
        for _ in range(plan.rounds):
            await asyncio.sleep(plan.settle_seconds)
            await drive(single, lambda: requests.of(choose.choice(spread)), idle, requests=IDLE_REQUESTS)
            write_alone(bare, written, IDLE_REQUESTS)
            step("idle")
            before = api_cpu_seconds()
            await drive(crowd, lambda: requests.of(hot), on_hot, seconds=plan.seconds)
            cpu_seconds += api_cpu_seconds() - before
            step("hot")
            await drive(crowd, lambda: requests.of(choose.choice(spread)), on_spread, seconds=plan.seconds)
            step("spread")
        sold_out = await _sell_out(crowd, single, requests, scarce, admin)
    step("sold out")
    cpu_ms = 1_000 * cpu_seconds / max(1, on_hot.requests)
    return report(plan, idle, written, on_hot, on_spread, sold_out) | {"apiCpuMsPerCheckout": round(cpu_ms, 3)}


class CheckoutRequests:
    """Checkout requests made for their bytes: the head is shared, the key is new, as a careful client sends it."""

    def __init__(self, shop: Shopfront, randomness: random.Random) -> None:
        self._shop, self._randomness = shop, randomness
        self._number = itertools.count()
        self._run = f"{randomness.getrandbits(64):016x}"

    def of(self, sku: str) -> bytes:
        headers = {**self._shop.bearer(self._randomness), "Idempotency-Key": f"{self._run}-{next(self._number)}"}
        return request("POST", "/api/orders", body={"items": [{"sku": sku, "quantity": 1}]}, headers=headers)


async def _sell_out(crowd: Wire, single: Wire, requests: CheckoutRequests, sku: str, admin: str) -> dict[str, int]:
    """More buyers than units: as many must succeed as there are, and every other one must be refused with 409."""
    units = SCARCE_UNITS
    await adjust(single, admin, sku, units - await _available(single, sku))
    tally = await drive(crowd, lambda: requests.of(sku), Tally(), requests=units + 2 * len(crowd.connections))
    left = await _available(single, sku)
    await adjust(single, admin, sku, STOCK - left)  # whatever is measured next finds something to buy
    return {
        "units": units,
        "sold": tally.statuses[201],
        "refused": tally.statuses[409],
        "errors": tally.requests - tally.statuses[201] - tally.statuses[409],
        "oversold": max(0, tally.statuses[201] - units),
        "left": left,
    }


async def _available(single: Wire, sku: str) -> int:
    answer = await single.send(request("GET", f"/api/inventory/availability?sku={sku}"))
    available: int = answer.json()["items"][0]["available"]
    return available


def report(
    plan: Plan, idle: Tally, written: Tally, hot: Tally, spread: Tally, sold_out: dict[str, int]
) -> dict[str, Any]:
    return {
        "connections": plan.connections,
        "idleP50Ms": round(idle.percentile_ms(50), 3),
        "idleP99Ms": round(idle.percentile_ms(99), 3),
        "bareWriteP50Ms": round(written.percentile_ms(50), 3),
        "idleOverBareWrite": round(idle.percentile_ms(50) / written.percentile_ms(50), 2),
        "hot": _rates(hot),
        "spread": _rates(spread),
        "hotOverSpread": round(hot.per_second / spread.per_second, 3),
        "oversold": sold_out["oversold"],
        "errors": sum(_errors(tally) for tally in (idle, hot, spread)) + sold_out["errors"],
        "soldOut": sold_out,
    }


def _rates(tally: Tally) -> dict[str, Any]:
    return {
        "checkoutsPerSecond": round(tally.statuses[201] / tally.wall_seconds, 1),
        "p50Ms": round(tally.percentile_ms(50), 3),
        "p99Ms": round(tally.percentile_ms(99), 3),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
    }


def _errors(tally: Tally) -> int:
    return tally.requests - tally.statuses[201]


def judge(result: dict[str, Any]) -> Outcome:
    broken = judged([_work(name, result[name]["statuses"]) for name in RATES], result["audit"])
    sold_out = result["soldOut"]
    if result["oversold"]:
        broken.append(f"{result['oversold']} units were sold twice")
    if sold_out["left"] or sold_out["sold"] != sold_out["units"]:
        broken.append(f"{sold_out['units']} units, {sold_out['sold']} sold and {sold_out['left']} left")
    if result["errors"]:
        broken.append(f"{result['errors']} checkouts were not answered as they should")
    rows = [(name, *(result[name][key] for key in ("checkoutsPerSecond", "p50Ms", "p99Ms"))) for name in RATES]
    rates = table(f"checkouts over HTTP, {result['connections']} clients", RATE_COLUMNS, rows)
    checks = table(
        "and",
        ("", ""),
        [
            ("hot over spread", result["hotOverSpread"]),
            ("CPU of the API processes for a checkout of the hot SKU, ms", result["apiCpuMsPerCheckout"]),
            ("one checkout on an idle system, p50 ms", result["idleP50Ms"]),
            ("over one bare majority write, p50, in the same seconds", result["idleOverBareWrite"]),
            (f"sold of {sold_out['units']} scarce units", sold_out["sold"]),
            ("oversold", result["oversold"]),
            ("errors", result["errors"]),
            ("audit", "ok" if result["audit"]["ok"] else "violated"),
        ],
    )
    return Outcome(result, (rates, checks), tuple(broken))


def _work(name: str, statuses: dict[str, int]) -> Work:
    done, total = statuses.get("201", 0), sum(statuses.values())
    others = {f"answered {status}": count for status, count in statuses.items() if status != "201"}
    return Work(f"{name} checkouts", total, done, total - done, others)


RATES = ("hot", "spread")
RATE_COLUMNS = ("SKUs", "checkouts/s", "p50 ms", "p99 ms")
