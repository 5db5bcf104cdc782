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

import pandas as pd

from workloads.client import api
from workloads.client.accounts import Account, open_accounts, open_staff
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import KeepingRecorder, Recorder, RunClock
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.ending import Ended, Ending
from workloads.drivers.flushing import flushed_often
from workloads.drivers.locust.setup import read_catalogue
from workloads.drivers.open_loop import Flow, OpenLoop, one_request, plan_of
from workloads.drivers.preflight import check_ready
from workloads.model import arrivals, outcomes
from workloads.model.demand import load_profile, rank_at, zipf_cumulative_weights
from workloads.progress import progress_bar, say
from workloads.results import reader as results
from workloads.results.run_folder import About, RunInProgress, begin_run
from workloads.results.verdict import Findings, Work

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
    """One rate that was tried. `failures` are requests that were not done: nobody answered, or the answer was no."""

    rate_per_second: float
    latency_ms: float | None
    failures: int
    dropped: int
    lateness_p99_ms: float
    holds: bool
    client_saturated: bool
    requests: int = 0
    refused: int = 0


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


def capacity(stack: Stack, path: Path, options: CapacityOptions, about: About = About()) -> dict[str, Any]:
    """Searches, and writes a result folder with the rows of every trial. Returns its summary. Raises StackError."""
    ending, trials, best, scenario = Ending(), list[Trial](), 0.0, f"capacity-{options.kind}"
    facts: dict[str, Any] = {"driver": "open_loop", "scenario": scenario, "seed": options.seed, "about": about}
    with ending.on_signals():
        run_async(_ready(stack))
        with begin_run(path, stack, options=asdict(options), **facts) as run:
            try:
                flows = run_async(ending.unless_ended(_prepare(stack, options)))
                run.start_clock()
                best = search_capacity(_tried(run, flows, options, ending, trials), options)[0]
            except Ended:
                best = max((trial.rate_per_second for trial in trials if trial.holds), default=0.0)
            found: dict[str, Any] = {"highestRatePerSecond": round(best, 1), "targetMs": options.target_ms}
            found |= {"percentile": options.percentile, "trials": [asdict(trial) for trial in trials]}
            findings = _findings(trials, ended=bool(ending))
            ending.add_to(findings)
            return run.finish(findings, {"capacity": found}, work=_work(trials))


def _tried(
    run: RunInProgress, flows: Iterator[Flow], options: CapacityOptions, ending: Ending, trials: list[Trial]
) -> Callable[[float], Trial]:
    """Tries a rate, says so, and adds it to `trials`. Raises Ended when the run is over."""
    seeds = count(options.seed)

    def try_rate(rate: float) -> Trial:
        trial = run_async(_trial(run, flows, rate, next(seeds), options, ending))
        if ending:
            raise Ended
        trials.append(trial)
        mark = "holds" if trial.holds else "fails"
        say(f"{rate:9,.1f}/s {mark}: p{options.percentile:g} {trial.latency_ms} ms, {trial.failures} failures")
        return trial

    return try_rate


async def _ready(stack: Stack) -> None:
    async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as exchange:
        await check_ready(exchange)


def _findings(trials: list[Trial], *, ended: bool = False) -> Findings:
    if not trials:
        return Findings()
    failed = [trial for trial in trials if not trial.holds]
    if not failed:
        return Findings(invalid=[] if ended else ["the highest rate allowed still held: raise --max-rate"])
    limit = min(failed, key=lambda trial: trial.rate_per_second)
    if limit.client_saturated:
        return Findings(invalid=["the client was the limit, not the service: it started arrivals late"])
    held = any(trial.holds for trial in trials)
    told = f"no rate held: at {limit.rate_per_second:g}/s the latency was {limit.latency_ms} ms"
    return Findings(failed=[] if held or ended else [told])


def _work(trials: list[Trial]) -> list[Work]:
    """The work of the best rate that held; of the easiest one, where none did. Beyond it a service may fail: to find
    that out is what the search is for."""
    held = [trial for trial in trials if trial.holds]
    told = max(held, key=_rate) if held else min(trials, key=_rate, default=None)
    if told is None:
        return []
    done, lost = told.requests - told.failures, told.failures - told.refused
    refused = {outcomes.REFUSED: told.refused} if told.refused else {}
    return [Work("requests", told.requests, done, lost, refused)]


def _rate(trial: Trial) -> float:
    return trial.rate_per_second


async def _trial(
    run: RunInProgress, flows: Iterator[Flow], rate: float, seed: int, options: CapacityOptions, ending: Ending
) -> Trial:
    recorder = KeepingRecorder(run.writer())
    start = run.clock.now() + PAUSE_SECONDS
    schedule = arrivals.poisson(rate, options.trial_seconds, seed) + start
    async with (
        Exchange(run.stack.url, run.clock, recorder) as exchange,
        flushed_often(recorder, run.writer(), ending, run.watch()),
    ):
        loop = OpenLoop(exchange, recorder, in_flight_max=options.in_flight_max, ending=ending)
        report = await loop.run(plan_of(schedule, flows))
    requests = results.frame_of(recorder.kept())
    return judge_trial(requests, rate, report.lateness_ms(99), options)


def judge_trial(requests: pd.DataFrame, rate: float, late_ms: float, options: CapacityOptions) -> Trial:
    """Whether the rate held: enough of the requests were done, and quickly enough from their intended start."""
    refused = int((requests["outcome"] == outcomes.REFUSED).sum())
    failures, total = int((~requests["outcome"].isin(outcomes.DONE)).sum()), len(requests)
    latency = results.finite(results.exact_percentile(results.counted_ms(requests), options.percentile))
    fits = latency is not None and latency <= options.target_ms and failures <= FAILURE_SHARE_MAX * total
    # So late a client missed the target itself, whether it was slow or starved by its neighbours.
    saturated = not fits and late_ms > options.target_ms / 2
    dropped = int((requests["outcome"] == outcomes.DROPPED).sum())
    return Trial(rate, latency, failures, dropped, round(late_ms, 3), fits, saturated, total, refused)


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
        with progress_bar("signing in", BUYERS) as step:
            buyers = list((await open_accounts(exchange, [f"buyer-{n}" for n in range(BUYERS)], step)).values())
        await _stock_up(exchange, stack, skus[:1] if options.kind == "checkout-hot" else skus)
    chosen: Callable[[], str] = (lambda: skus[0]) if options.kind == "checkout-hot" else pick
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
