"""`holdfast bench flood`: one address sends thousands of requests a second while another one shops, at the rate limits
of production. Quiet and flooded turns alternate in one run, so that the shopper is compared with itself.

The shopper reads and checks out from 127.0.0.2 in an open loop, timed from the intended start of each request."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.kit.cpu_time import cpu_seconds_of
from benchmarks.kit.open_loop import drive_open
from benchmarks.kit.outcome import BenchOutcome, RunInvalid, table
from benchmarks.kit.percentiles import percentile
from benchmarks.kit.routes import checkout_of
from benchmarks.kit.served_stack import PYTHON, Served
from benchmarks.kit.shopfront import Shopfront, discover
from benchmarks.kit.wire import request
from service.web.security.rate_limit import CLASSES

Progress = Callable[[str], None]
LIMITS_OF_PRODUCTION = {"HOLDFAST_RATE_LIMIT_SCALE": "1"}
SHOPPER = "127.0.0.2"
SHOPPER_PER_SECOND = 17  # 840 reads and 190 checkouts a minute: within the limits of one address
CHECKOUT_SHARE = 0.18
FLOODED_PATH = "/api/inventory/availability?sku="
FLOODER_MAY = CLASSES["read"].windows[0]
P99_RATIO_MAX = 3
FLOOD_RATE_SHARE_MIN = 0.9
AMPLE_UNITS = 1_000_000


@dataclass(frozen=True, slots=True)
class FloodPlan:
    rate: float = 5_000
    connections: int = 16
    rounds: int = 2
    quiet_seconds: float = 12
    flood_seconds: float = 18
    products: int = 200
    buyers: int = 6
    seed: int = 1

    @property
    def steps(self) -> int:
        return 2 * self.rounds + 2


@dataclass(slots=True)
class Shopped:
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    api_cpu_seconds: float = 0.0

    def report(self) -> dict[str, Any]:
        return {
            "requests": len(self.latencies_ms),
            "p50Ms": round(percentile(self.latencies_ms, 50), 3),
            "p99Ms": round(percentile(self.latencies_ms, 99), 3),
            "refused": self.statuses[429],
            "errors": sum(n for status, n in self.statuses.items() if status not in {200, 201, 429}),
        }


def run(stack: Served, plan: FloodPlan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.products, stock=AMPLE_UNITS)
    step("seeded")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(stack, plan, step))


async def _run(stack: Served, plan: FloodPlan, step: Progress) -> dict[str, Any]:
    shop = await discover(stack.url, plan.buyers)
    shopper, quiet, flooded, floods = Shopper(shop, stack, plan.seed), Shopped(), Shopped(), []
    await shopper.shop(plan.quiet_seconds, quiet)
    step("quiet")
    for _ in range(plan.rounds):
        flooding = asyncio.create_task(_flood(stack.url, FLOODED_PATH + shop.skus[0], plan))
        await shopper.shop(plan.flood_seconds, flooded)
        floods.append(await flooding)
        step("flood")
        await shopper.shop(plan.quiet_seconds, quiet)
        step("quiet")
    return report(plan, quiet, flooded, floods)


class Shopper:
    def __init__(self, shop: Shopfront, stack: Served, seed: int) -> None:
        self._shop, self._api, self._randomness = shop, stack.processes["api-1"], random.Random(seed)
        self._tokens = itertools.cycle(shop.tokens)

    async def shop(self, seconds: float, into: Shopped) -> None:
        wires = [self._request() for _ in range(max(4, int(seconds * SHOPPER_PER_SECOND)))]
        before = cpu_seconds_of(self._api)
        tally = await drive_open(self._shop.url, wires, SHOPPER_PER_SECOND, 200, self._randomness, SHOPPER)
        into.api_cpu_seconds += cpu_seconds_of(self._api) - before
        into.statuses += tally.statuses
        into.latencies_ms += tally.latencies_ms

    def _request(self) -> bytes:
        choose, shop = self._randomness, self._shop
        if choose.random() < CHECKOUT_SHARE:
            return checkout_of(choose.choice(shop.skus), {"Authorization": f"Bearer {next(self._tokens)}"})
        availability = f"{FLOODED_PATH}{choose.choice(shop.skus)}"
        product = f"/api/products/{choose.choice(shop.slugs)}"
        return request("GET", choose.choice((availability, availability, product, "/api/products?limit=24")))


async def _flood(url: str, path: str, plan: FloodPlan) -> dict[str, float]:
    options = ("--rate", plan.rate, "--connections", plan.connections, "--seconds", plan.flood_seconds)
    argv = ("-m", "benchmarks.flood.flooder", url, path, *map(str, options))
    flooder = await asyncio.create_subprocess_exec(PYTHON, *argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await flooder.communicate()
    if flooder.returncode:
        raise RunInvalid(f"the flooder ended with {flooder.returncode}")
    done: dict[str, float] = json.loads(out)
    if done["sent"] < FLOOD_RATE_SHARE_MIN * plan.rate * done["seconds"]:
        raise RunInvalid(f"the flood was {done['sent'] / done['seconds']:,.0f} a second, not {plan.rate:,.0f}")
    return done


def report(plan: FloodPlan, quiet: Shopped, flooded: Shopped, floods: list[dict[str, float]]) -> dict[str, Any]:
    sent, seconds = sum(each["sent"] for each in floods), sum(each["seconds"] for each in floods)
    shopping, disturbed = quiet.report(), flooded.report()
    return {
        "quiet": shopping,
        "flooded": disturbed,
        "p99Ratio": round(disturbed["p99Ms"] / shopping["p99Ms"], 2),
        "flood": {
            "perSecond": round(sent / seconds),
            "sent": sent,
            "refused": sum(each["refused"] for each in floods),
            "served": sum(each["served"] for each in floods),
            "apiCpuShare": round(flooded.api_cpu_seconds / seconds, 3),
            "quota": f"{FLOODER_MAY.quota:,} in {FLOODER_MAY.window_seconds} s",
        },
    }


def judge(result: dict[str, Any]) -> BenchOutcome:
    quiet, flooded, flood = result["quiet"], result["flooded"], result["flood"]
    broken = []
    if result["p99Ratio"] >= P99_RATIO_MAX:
        broken.append(f"the shopper's p99 is {result['p99Ratio']} times its quiet value, {P99_RATIO_MAX} is too much")
    if flooded["refused"] or quiet["refused"]:
        broken.append(f"the shopper was refused {flooded['refused'] + quiet['refused']} times")
    if flooded["errors"] or quiet["errors"]:
        broken.append(f"{flooded['errors'] + quiet['errors']} of the shopper's requests failed")
    if flood["refused"] + flood["served"] != flood["sent"]:
        broken.append(f"{flood['sent']:,} were sent, {flood['refused']:,} refused and {flood['served']:,} served")
    if flood["refused"] < flood["sent"] * 0.9:
        broken.append(f"only {flood['refused']:,} of {flood['sent']:,} were answered with 429")
    keys = ("requests", "p50Ms", "p99Ms", "refused", "errors")
    rows = [(name, *(result[name][key] for key in keys)) for name in ("quiet", "flooded")]
    shopper = table(f"the shopper at {SHOPPER}", ("", "requests", "p50 ms", "p99 ms", "429", "errors"), rows)
    return BenchOutcome(result, (shopper, table("the flood", ("", ""), list(flood.items()))), tuple(broken))
