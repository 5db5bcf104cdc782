"""Owns the capacity search: the highest rate at which the service still meets a latency target, open loop. Rates double
until one fails, then the gap is halved until it is narrow."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

from workloads.client import api
from workloads.client.accounts import Account, open_accounts, open_staff
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import Recorder, RunClock
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.locust.setup import read_catalogue
from workloads.drivers.open_loop import Flow, OpenLoop, one_request, plan_of
from workloads.model import arrivals, outcomes
from workloads.model.demand import load_profile, rank_at, zipf_cumulative_weights
from workloads.progress import say
from workloads.results import reader as results
from workloads.results.run_folder import Findings, RunInProgress, begin_run

KINDS = ("get", "availability", "products", "checkout-hot", "checkout-spread")
TRIALS_MAX = 24
BUYERS = 64
PAUSE_SECONDS = 0.5
FAILURE_SHARE_MAX = 0.001
RESTOCK_UNITS = 1_000_000


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """A rate holds when `percentile` of its latencies, from the intended start, is within `target_ms`."""

    kind: str = "availability"
    path: str = "/health/live"
    target_ms: float = 50.0
    percentile: float = 99.0
    first_rate: float = 100.0
    rate_max: float = 10_000.0
    trial_seconds: float = 5.0
    precision: float = 0.05
    in_flight_max: int = 1_000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Trial:
    rate_per_second: float
    latency_ms: float | None
    failures: int
    dropped: int
    lateness_p99_ms: float
    holds: bool
    client_saturated: bool


def search_capacity(try_rate: Callable[[float], Trial], options: CapacityOptions) -> tuple[float, list[Trial]]:
    """The highest rate found to hold (0 when not even the first does) and every trial made on the way."""
    trials: list[Trial] = []
    good, bad, rate = 0.0, float("inf"), options.first_rate
    while len(trials) < TRIALS_MAX and bad > good * (1 + options.precision) and rate <= options.rate_max:
        trial = try_rate(rate)
        trials.append(trial)
        good, bad = (rate, bad) if trial.holds else (good, rate)
        if bad == float("inf"):
            rate = min(rate * 2, options.rate_max) if rate < options.rate_max else float("inf")
        else:
            rate = (good + bad) / 2
        if bad < options.first_rate / 64:
            break
    return good, trials


def capacity(stack: Stack, path: Path, options: CapacityOptions) -> dict[str, Any]:
    """Searches, and writes a result folder with the rows of every trial. Returns its summary. Raises StackError."""
    flows = run_async(_prepare(stack, options))
    run = begin_run(
        path, stack, driver="open_loop", scenario=f"capacity-{options.kind}", seed=options.seed, options=asdict(options)
    )
    seeds = count(options.seed)

    def try_rate(rate: float) -> Trial:
        trial = run_async(_trial(run, flows, rate, next(seeds), options))
        mark = "holds" if trial.holds else "fails"
        say(f"{rate:9,.1f}/s {mark}: p{options.percentile:g} {trial.latency_ms} ms, {trial.failures} failures")
        return trial

    best, trials = search_capacity(try_rate, options)
    findings = Findings(invalid=_why_invalid(trials))
    found = {"highestRatePerSecond": round(best, 1), "targetMs": options.target_ms, "percentile": options.percentile}
    return run.finish(findings, {"capacity": found | {"trials": [asdict(trial) for trial in trials]}})


def _why_invalid(trials: list[Trial]) -> list[str]:
    failed = [trial for trial in trials if not trial.holds]
    if not failed:
        return ["the highest rate allowed still held: raise --max-rate"]
    limit = min(failed, key=lambda trial: trial.rate_per_second)
    return ["the client was the limit, not the service: it started arrivals late"] if limit.client_saturated else []


async def _trial(run: RunInProgress, flows: Iterator[Flow], rate: float, seed: int, options: CapacityOptions) -> Trial:
    recorder = Recorder()
    start = run.clock.now() + PAUSE_SECONDS
    schedule = arrivals.poisson(rate, options.trial_seconds, seed) + start
    async with Exchange(run.stack.url, run.clock, recorder) as exchange:
        loop = OpenLoop(exchange, recorder, in_flight_max=options.in_flight_max)
        report = await loop.run(plan_of(schedule, flows))
    chunk = recorder.take()
    run.writer().write(chunk)
    requests = results.frame_of(chunk)
    failures = int(requests["outcome"].isin(outcomes.FAILURES | {outcomes.THROTTLED}).sum())
    latency = results.finite(results.exact_percentile(requests["latency_ms"], options.percentile))
    late = report.lateness_ms(99)
    fits = latency is not None and latency <= options.target_ms and failures <= FAILURE_SHARE_MAX * len(requests)
    # So late a client missed the target itself, whether it was slow or starved by its neighbours.
    saturated = not fits and late > options.target_ms / 2
    return Trial(rate, latency, failures, report.dropped, round(late, 3), fits, saturated)


async def _prepare(stack: Stack, options: CapacityOptions) -> Iterator[Flow]:
    """An endless supply of arrivals of the chosen kind."""
    if options.kind == "get":
        return cycle([one_request(Request("GET", options.path, options.path))])
    if options.kind == "products":
        return cycle([one_request(api.products(sort=sort)) for sort in ("relevance", "newest", "popular")])
    skus, _ = read_catalogue(stack.url)
    if not skus:
        raise StackError("the shop sells nothing yet: run `holdfast seed` first")
    pick = _popular(skus, options.seed)
    if options.kind == "availability":
        return (one_request(api.availability([pick()])) for _ in count())
    async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as exchange:
        buyers = list((await open_accounts(exchange, [f"buyer-{n}" for n in range(BUYERS)])).values())
        await _stock_up(exchange, stack, skus[:1] if options.kind == "checkout-hot" else skus)
    chosen = (lambda: skus[0]) if options.kind == "checkout-hot" else pick
    return (_checkout(buyer, chosen()) for buyer in cycle(buyers))


def _checkout(buyer: Account, sku: str) -> Flow:
    return one_request(api.checkout(buyer.access_token, [(sku, 1)], uuid4().hex))


def _popular(skus: tuple[str, ...], seed: int) -> Callable[[], str]:
    weights, chance = zipf_cumulative_weights(len(skus), load_profile().zipf_exponent), random.Random(seed)
    return lambda: skus[rank_at(weights, chance.random())]


async def _stock_up(exchange: Exchange, stack: Stack, skus: tuple[str, ...]) -> None:
    staff = await open_staff(exchange, stack)
    for start in range(0, len(skus), 500):
        lines = [(sku, RESTOCK_UNITS) for sku in skus[start : start + 500]]
        answer = await exchange.send(api.receive(await staff.token(exchange), lines, uuid4().hex))
        if answer.outcome != outcomes.OK:
            raise StackError(f"stock could not be received: {answer.status} {answer.code}")
