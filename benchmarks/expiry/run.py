"""`holdfast bench expiry`: very many holds expire at one moment, and two workers free them while buyers check out.

The workers are the service's own and are asked as staff would ask them: by a POST of the job. The rate of checkouts is
taken up to the moment the holds expire and from then until none is left, on the same connections."""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.expiry.holds import JOB, Holds, Released
from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.percentiles import percentile
from benchmarks.kit.served_stack import STOP_SECONDS_MAX, Served
from benchmarks.kit.shopfront import discover, expect, sign_in
from benchmarks.kit.wire import Wire, request
from benchmarks.over_http.checkout import ADMIN, ADMIN_PASSWORD, CheckoutRequests
from service.stack.folder import StackFolder
from service.stack.processes import ChildProcess, Command

STOCK = 1_000_000
SLICE_SECONDS = 0.25
MADE_DUE_PER_SECOND = 10_000

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExpiryPlan:
    holds: int = 50_000
    skus: int = 5_000
    connections: int = 64
    before_seconds: float = 10.0
    buyers: int = 8
    warm_up_requests: int = 1_000
    seed: int = 1

    @property
    def steps(self) -> int:
        return 5


QUICK = ExpiryPlan(holds=1_000, skus=100, connections=16, before_seconds=1.0, buyers=2, warm_up_requests=64)


def run(stack: Served, plan: ExpiryPlan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.skus, stock=STOCK)
    step("seeded")
    return measure(stack, plan, step)


def measure(stack: Served, plan: ExpiryPlan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    stack.holdfast("admin", "create", ADMIN, "--password", ADMIN_PASSWORD)
    with second_worker(stack), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_run(stack, plan, step))
    result["audit"] = stack.audit()
    step("audited")
    return result


@contextmanager
def second_worker(stack: Served) -> Iterator[None]:
    """Beside the one that the stack has; started as the supervisor starts its own."""
    folder = StackFolder(stack.data)
    environment = {
        **stack.environment,
        "MONGODB_URI": stack.mongodb_uri,
        "REDIS_URL": stack.redis_url,
        "HOLDFAST_SECRET": folder.secret(),
        "HOLDFAST_APP_NAME": "bench/worker-2/1",
    }
    argv = (sys.executable, "-m", "service.worker")
    worker = ChildProcess(Command("worker-2", argv, folder.log("worker-2"), environment))
    try:
        yield
        if worker.exit_code is not None:
            raise RunInvalid(f"the second worker ended with {worker.exit_code}:\n{worker.tail()}")
    finally:
        worker.stop(STOP_SECONDS_MAX)


async def _run(stack: Served, plan: ExpiryPlan, step: Progress) -> dict[str, Any]:
    chance = random.Random(plan.seed)
    shop = await discover(stack.url, plan.buyers, products_max=plan.skus)
    skus, requests = shop.skus[: plan.skus], CheckoutRequests(shop, chance)
    holds = Holds(stack)
    try:
        await holds.place(plan.holds, skus, chance)
        step("held")
        async with Wire(stack.url, plan.connections) as crowd, Wire(stack.url) as single:
            staff = await sign_in(single, ADMIN, ADMIN_PASSWORD)
            buyers = Buyers(crowd, lambda: requests.of(chance.choice(skus)))
            await drive(crowd, buyers.make, Tally(), requests=plan.warm_up_requests)
            before, during, drain_seconds = await _swept(holds, plan, buyers, single, staff, step)
        released = await holds.released()
        return report(plan, before, during, drain_seconds, released, await holds.swept_by())
    finally:
        await holds.close()


@dataclass(frozen=True, slots=True)
class Buyers:
    crowd: Wire
    make: Callable[[], bytes]

    async def buy_while(self, going_on: Callable[[], bool]) -> Tally:
        tally = Tally()
        while going_on():
            await drive(self.crowd, self.make, tally, seconds=SLICE_SECONDS)
        return tally


async def _swept(
    holds: Holds, plan: ExpiryPlan, buyers: Buyers, single: Wire, staff: str, step: Progress
) -> tuple[Tally, Tally, float]:
    """Checkouts before, checkouts during the drain, and its seconds from the moment the holds expire."""
    due = holds.in_seconds(plan.holds / MADE_DUE_PER_SECOND + plan.before_seconds)
    await holds.make_due(due)
    if (left_seconds := holds.seconds_until(due)) < plan.before_seconds / 2:
        raise RunInvalid(f"{left_seconds:.1f} s are too few to know the rate before, of {plan.before_seconds:g}")
    before = await buyers.buy_while(lambda: holds.seconds_until(due) > 0)
    step("before")
    expect(await single.send(_trigger(staff)), 202)
    draining = asyncio.create_task(_drained(holds, due))
    during = await buyers.buy_while(lambda: not draining.done())
    drain_seconds = await draining - (time.monotonic() + holds.seconds_until(due))
    step("drained")
    return before, during, drain_seconds


async def _drained(holds: Holds, due: Any) -> float:
    await holds.drained(due)
    return time.monotonic()


def _trigger(staff: str) -> bytes:
    return request("POST", f"/api/inventory/jobs/{JOB}", headers={"Authorization": f"Bearer {staff}"})


def report(
    plan: ExpiryPlan, before: Tally, during: Tally, drain_seconds: float, released: Released, swept_by: dict[str, int]
) -> dict[str, Any]:
    if not released.lags_ms or not before.statuses[201]:
        raise RunInvalid(f"{len(released.lags_ms)} holds were freed, checkouts were answered {dict(before.statuses)}")
    rates = [tally.statuses[201] / tally.wall_seconds for tally in (before, during)]
    return {
        "holds": plan.holds,
        "skus": plan.skus,
        "connections": plan.connections,
        "drainSeconds": round(drain_seconds, 2),
        "expiryLagMs": {"p50": round(percentile(released.lags_ms, 50)), "max": round(max(released.lags_ms))},
        "checkoutsPerSecond": {"before": round(rates[0], 1), "during": round(rates[1], 1)},
        "p99Ms": {"before": round(before.percentile_ms(99), 1), "during": round(during.percentile_ms(99), 1)},
        "ratio": round(rates[1] / rates[0], 3),
        "errors": sum(tally.requests - tally.statuses[201] for tally in (before, during)),
        "released": len(released.lags_ms),
        "stillHeld": released.still_held,
        "releasedTwice": released.released_twice,
        "sweptBy": swept_by,
    }
