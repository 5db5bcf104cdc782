"""`holdfast bench layers`: CPU time of the API process per request, of processes asked in turns within one run.

For every read route: the bare framework (a constant answer of the same size), the bare route (the same handler, use
case and stores, without our layers) and the route behind all layers; then a profile of the last says where the
difference goes. And the products list with the cache and without. CPU time is what the process itself used, user and
system: neighbours on the machine, the stores and the client are not in it. What the layers add is the median over the
rounds of one turn beside the other, with its 95 % interval."""

import asyncio
import itertools
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.kit.closed_loop import Tally, drive
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.percentiles import median_interval
from benchmarks.kit.served_stack import Served
from benchmarks.kit.shopfront import discover
from benchmarks.kit.wire import Wire
from benchmarks.layers.cases import AVAILABILITY, PRODUCTS, Case, cases
from benchmarks.layers.parts import is_layer
from benchmarks.layers.processes import Api, api

Progress = Callable[[str], None]
READ_CASES = 6
JUDGED_TIMES = 4  # as many rounds where a limit is judged: neighbours on the machine move a single turn by a third
KINDS = ("framework", "bare", "layers")
AMPLE_UNITS = 1_000_000


@dataclass(frozen=True, slots=True)
class LayersPlan:
    connections: int = 32
    rounds: int = 9
    seconds: float = 0.4  # of a turn
    profile_seconds: float = 3.0
    products: int = 1_000
    buyers: int = 8
    seed: int = 1

    @property
    def steps(self) -> int:
        return READ_CASES + 2


def run(stack: Served, plan: LayersPlan, step: Progress) -> dict[str, Any]:
    stack.seed(products=plan.products, stock=AMPLE_UNITS)
    step("seeded")
    return measure(stack, plan, step)


def measure(stack: Served, plan: LayersPlan, step: Progress) -> dict[str, Any]:
    """On a stack that is seeded."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as open_apis:
        shop = runner.run(discover(stack.url, plan.buyers))
        compared = runner.run(cases(shop, random.Random(plan.seed)))
        sizes = sorted({case.size for case in compared})
        apis = {kind: open_apis.enter_context(api(kind, stack, sizes)) for kind in (*KINDS, "uncached")}
        rows = []
        for case in compared:
            rows.append(runner.run(_compared(case, apis, plan)))
            step(f"{case.route}, {case.caller}")
        cache = runner.run(_cached(next(case for case in compared if case.route == PRODUCTS), apis, plan))
        step("cache")
    return {"connections": plan.connections, "unit": "microseconds of CPU per request", "routes": rows, "cache": cache}


async def _compared(case: Case, apis: Mapping[str, Api], plan: LayersPlan) -> dict[str, Any]:
    asked = {"framework": case.of_framework(), "bare": case.requests, "layers": case.requests}
    rounds = plan.rounds * (JUDGED_TIMES if case.route == AVAILABILITY else 1)
    turns = await _in_turns([(apis[kind], asked[kind]) for kind in KINDS], rounds, plan)
    framework, bare, layers = (statistics.median(turn[place] for turn in turns) for place in range(len(KINDS)))
    shares = [behind_layers / alone - 1 for _, alone, behind_layers in turns]
    parts = await _profiled(apis["layers"], case, plan, layers)
    return {
        "route": case.route,
        "caller": case.caller,
        "bodyBytes": case.size,
        "bareFramework": round(framework, 1),
        "bareRoute": round(bare, 1),
        "allLayers": round(layers, 1),
        "aboveFramework": round(layers - framework, 1),
        "layersShare": round(statistics.median(shares), 3),
        "layersShareInterval": [round(share, 3) for share in median_interval(shares)],
        "perSecondPerCore": round(1e6 / layers),
        "perLayer": [{"layer": part, "us": us} for part, us in parts if is_layer(part)],
        "elsewhere": [{"part": part, "us": us} for part, us in parts if not is_layer(part)],
    }


async def _cached(case: Case, apis: Mapping[str, Api], plan: LayersPlan) -> dict[str, Any]:
    turns = await _in_turns([(apis[kind], case.requests) for kind in ("layers", "uncached")], plan.rounds, plan)
    cached, uncached = (statistics.median(turn[place] for turn in turns) for place in range(2))
    return {
        "route": case.route,
        "cached": round(cached, 1),
        "uncached": round(uncached, 1),
        "ratio": round(uncached / cached, 2),
        "cachedPerSecondPerCore": round(1e6 / cached),
    }


async def _in_turns(asked: Sequence[tuple[Api, Sequence[bytes]]], rounds: int, plan: LayersPlan) -> list[list[float]]:
    """For each round, microseconds of CPU per request of each process. The first round warms up and is left out."""
    turns = []
    for _ in range(rounds + 1):
        turns.append([await _turn(each, requests, plan.connections, plan.seconds) for each, requests in asked])
    return turns[1:]


async def _turn(asked: Api, requests: Sequence[bytes], connections: int, seconds: float) -> float:
    tally, pool = Tally(), itertools.cycle(requests)
    async with Wire(asked.url, connections) as crowd:
        before = asked.cpu_seconds()
        await drive(crowd, pool.__next__, tally, seconds=seconds)
        used = asked.cpu_seconds() - before
    if tally.share(200) < 1:
        raise RunInvalid(f"the {asked.kind} process answered {dict(tally.statuses)}")
    return used / tally.requests * 1e6


async def _profiled(asked: Api, case: Case, plan: LayersPlan, us: float) -> list[tuple[str, float]]:
    """`us`, what a request costs, split by the shares of a profile; the largest part first."""
    asked.toggle_profile()
    await _turn(asked, case.requests, plan.connections, plan.profile_seconds)
    asked.toggle_profile()
    seconds = asked.read_profile()
    total = sum(seconds.values())
    parts = sorted(((part, used / total * us) for part, used in seconds.items()), key=lambda each: -each[1])
    return [(part, round(cost, 1)) for part, cost in parts]
