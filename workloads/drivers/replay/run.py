"""Owns `holdfast replay`: the invoices of a real shop sent again, open loop, at the times they happened or at a given
rate, and afterwards matched one to one with the orders that are really there."""

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from workloads.client.accounts import Account, email_of, load_tokens, open_accounts, open_staff
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, json_request
from workloads.client.recorder import Recorder, RunClock
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.open_loop import IN_FLIGHT_MAX, LATENESS_P99_MAX_MS, Arrival, LoopReport, OpenLoop
from workloads.drivers.replay.invoices import Fate, InvoiceReplay, customer_name, guest_name
from workloads.drivers.replay.reconcile import newest_order_ids, orders_since, reconcile
from workloads.model import arrivals
from workloads.progress import progress_bar, say
from workloads.results.run_folder import Findings, RunInProgress, begin_run
from workloads.traces.retail import Invoice, Trace, TraceError

GUESTS = 16
PLANNED_SECONDS_MAX = 6 * 3_600.0
RATE_MAX = 10_000.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`rate_per_second` sends the invoices evenly and ignores their times; else time runs `speed` times as fast.
    `spread` says that a timestamp of whole minutes means somewhere in that minute."""

    speed: float = 3_600.0
    rate_per_second: float | None = None
    spread: bool = False
    seed: int = 1
    in_flight_max: int = IN_FLIGHT_MAX
    timeout_seconds: float = 30.0
    retry_seconds: float = 30.0
    settle_seconds: float = 120.0
    lateness_p99_max_ms: float = LATENESS_P99_MAX_MS
    tokens: str | None = None


def replay(trace: Trace, stack: Stack, path: Path, options: ReplayOptions) -> dict[str, Any]:
    """Replays the trace and writes the result folder. Returns its summary. Raises StackError when it cannot start."""
    return run_async(_replay(trace, stack, path, options))


def intended_times(invoices: list[Invoice], options: ReplayOptions) -> arrivals.Schedule:
    """When each invoice is to be sent, in seconds of the run."""
    if options.rate_per_second is not None:
        return arrivals.constant(options.rate_per_second, len(invoices) / options.rate_per_second)[: len(invoices)]
    seconds = pd.Series([invoice.at_seconds for invoice in invoices])
    if options.spread:
        alike = seconds.groupby(seconds)
        seconds = seconds + 60.0 * alike.cumcount() / alike.transform("size")
    return arrivals.explicit(seconds, options.speed)


async def _replay(trace: Trace, stack: Stack, path: Path, options: ReplayOptions) -> dict[str, Any]:
    invoices = trace.invoices()
    times = intended_times(invoices, options)
    _check_duration(float(times[-1]), options)
    async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as aside:
        await _check_ready(aside)
        accounts, staff = await _people(aside, stack, invoices, options)
        known = await newest_order_ids(aside, staff)
        say(f"replaying {len(invoices):,} invoices in {times[-1]:,.0f} s against {stack.url}")
        run = await asyncio.to_thread(
            begin_run, path, stack, driver="open_loop", scenario="replay", seed=options.seed, options=asdict(options)
        )
        run.manifest["trace"] = trace.provenance
        replayed = InvoiceReplay(uuid4().hex, accounts, staff, retry_seconds=options.retry_seconds, guests=GUESTS)
        report = await _drive(run, replayed, invoices, times, options)
        settled = await replayed.settle(aside, options.settle_seconds)
        orders = await orders_since(aside, staff, known)
    matching = reconcile(invoices, replayed.fates, orders, {account.user_id for account in accounts.values()})
    _write_fates(path, replayed.fates)
    findings, more = _findings(matching), _summary(trace, invoices, times, matching | {"settledAfterwards": settled})
    late_max = options.lateness_p99_max_ms
    return await asyncio.to_thread(run.finish, findings, more, client=report, lateness_p99_max_ms=late_max)


def _check_duration(seconds: float, options: ReplayOptions) -> None:
    """Raises TraceError: a gap of years in a trace is not waited for."""
    if seconds <= PLANNED_SECONDS_MAX:
        return
    hours = PLANNED_SECONDS_MAX / 3_600
    way = "a higher --rate"
    if options.rate_per_second is None:
        way = f"--speed {math.ceil(options.speed * seconds / PLANNED_SECONDS_MAX)} or more"
    raise TraceError(
        f"the replay would take {seconds / 3_600:,.1f} hours, and at most {hours:g} are allowed: say {way}, or replay "
        "less with --limit or --month"
    )


async def _drive(
    run: RunInProgress,
    replayed: InvoiceReplay,
    invoices: list[Invoice],
    times: arrivals.Schedule,
    options: ReplayOptions,
) -> LoopReport:
    def plan() -> Iterator[Arrival]:
        for at, invoice in zip(times.tolist(), invoices, strict=True):
            yield at, replayed.flow(invoice)

    recorder = Recorder(run.writer())
    with progress_bar("replaying", len(invoices)) as step:
        async with Exchange(run.stack.url, run.clock, recorder, timeout_seconds=options.timeout_seconds) as exchange:
            loop = OpenLoop(exchange, recorder, in_flight_max=options.in_flight_max)
            report = await loop.run(plan(), step)
    recorder.flush()
    return report


async def _check_ready(exchange: Exchange) -> None:
    answer = await exchange.send(json_request("GET", "/health/ready", "ready"))
    if answer.status != 200:
        raise StackError(f"the service is not ready: {answer.status or answer.outcome}")


async def _people(
    exchange: Exchange, stack: Stack, invoices: list[Invoice], options: ReplayOptions
) -> tuple[dict[str, Account], Account]:
    """A user per customer and a few for guests, signed in before the clock starts; and one member of staff."""
    names = [customer_name(invoice.customer) for invoice in invoices if invoice.customer]
    names = list(dict.fromkeys([*names, *(guest_name(number) for number in range(GUESTS))]))
    ready = load_tokens(Path(options.tokens)) if options.tokens else {}
    accounts = {name: ready[email_of(name)] for name in names if email_of(name) in ready}
    missing = [name for name in names if name not in accounts]
    with progress_bar("signing in", len(missing)) as step:
        accounts |= await open_accounts(exchange, missing, step)
    return accounts, await open_staff(exchange, stack)


def _findings(matching: dict[str, Any]) -> Findings:
    findings = Findings()
    if matching["wrong"]:
        findings.failed.append(f"{matching['wrong']} invoices do not match an order: {matching['wrongExamples'][0]}")
    if matching["orphanOrders"]:
        findings.failed.append(f"{matching['orphanOrders']} orders have no invoice")
    return findings


def _summary(
    trace: Trace,
    invoices: list[Invoice],
    times: arrivals.Schedule,
    matching: dict[str, Any],
) -> dict[str, Any]:
    return {
        "invoices": {
            "total": len(invoices),
            "lineItems": sum(len(invoice.lines) for invoice in invoices),
            "longest": max(len(invoice.lines) for invoice in invoices),
            "plannedSeconds": round(float(times[-1]), 3),
            "traceBeginsAt": trace.begins_at.isoformat(),
            "repairs": trace.repairs.as_dict(),
        },
        "matching": matching,
        "attribution": trace.attribution,
    }


def _write_fates(path: Path, fates: list[Fate]) -> None:
    pd.DataFrame([fate.as_dict() for fate in fates]).to_parquet(path / "invoices.parquet", index=False)
