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
from workloads.client.exchange import Exchange
from workloads.client.recorder import Recorder, RunClock
from workloads.client.running_stack import Stack
from workloads.drivers.ending import Ended, Ending
from workloads.drivers.flushing import flushed_often
from workloads.drivers.open_loop import IN_FLIGHT_MAX, Arrival, LoopReport, OpenLoop
from workloads.drivers.preflight import check_ready, check_sold
from workloads.drivers.replay.invoices import Fate, InvoiceReplay, People, work_of
from workloads.drivers.replay.reconcile import newest_order_ids, orders_since, reconcile
from workloads.model import arrivals
from workloads.progress import progress_bar, say
from workloads.results.run_folder import About, RunInProgress, begin_run
from workloads.results.verdict import LATENESS_P99_MAX_MS, Findings
from workloads.traces.retail import Invoice, Trace, TraceError

GUESTS = 16
PLANNED_SECONDS_MAX = 6 * 3_600.0
RATE_MAX = 10_000.0
SETTLE_SECONDS_AFTER_END = 5.0


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


def replay(
    trace: Trace,
    stack: Stack,
    path: Path,
    options: ReplayOptions,
    about: About = About(),
) -> dict[str, Any]:
    """Replays the trace and writes the result folder. Returns its summary. Raises StackError or TraceError when it
    cannot start."""
    return run_async(_replay(trace, stack, path, options, about))


def intended_times(invoices: list[Invoice], options: ReplayOptions) -> arrivals.Schedule:
    """When each invoice is to be sent, in seconds of the run."""
    if options.rate_per_second is not None:
        return arrivals.constant(options.rate_per_second, len(invoices) / options.rate_per_second)[: len(invoices)]
    seconds = pd.Series([invoice.at_seconds for invoice in invoices])
    if options.spread:
        alike = seconds.groupby(seconds)
        seconds = seconds + 60.0 * alike.cumcount() / alike.transform("size")
    return arrivals.explicit(seconds, options.speed)


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


async def _replay(
    trace: Trace,
    stack: Stack,
    path: Path,
    options: ReplayOptions,
    about: About = About(),
) -> dict[str, Any]:
    ending, invoices = Ending(), trace.invoices()
    facts: dict[str, Any] = {"driver": "open_loop", "scenario": "replay", "seed": options.seed}
    facts |= {"options": asdict(options), "trace": trace.provenance, "about": about}
    _check_duration(float(intended_times(invoices, options)[-1]), options)
    with ending.on_signals():
        async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as aside:
            await check_ready(aside)
            await check_sold(aside, invoices, _file_of(trace))
            with await asyncio.to_thread(begin_run, path, stack, **facts) as run:
                return await _Replaying(run, aside, trace, invoices, options, ending).run()


def _file_of(trace: Trace) -> str:
    return str(next((file["path"] for file in trace.provenance.get("files", ())), "TRACE"))


class _Replaying:
    """One replay from the sign-ins to its summary."""

    def __init__(
        self,
        run: RunInProgress,
        aside: Exchange,
        trace: Trace,
        invoices: list[Invoice],
        options: ReplayOptions,
        ending: Ending,
    ) -> None:
        self._run, self._aside, self._trace, self._invoices = run, aside, trace, invoices
        self._options, self._ending = options, ending
        self._times = intended_times(invoices, options)

    async def run(self) -> dict[str, Any]:
        try:
            people = await self._ending.unless_ended(
                _people(self._aside, self._run.stack, self._invoices, self._options)
            )
        except Ended:
            return await self._finish(Findings(), _summary(self._trace, self._invoices, self._times, None), work=[])
        known = await newest_order_ids(self._aside, people.staff)
        seconds, url = self._times[-1], self._run.stack.url
        say(f"replaying {len(self._invoices):,} invoices in {seconds:,.0f} s against {url}")
        await asyncio.to_thread(self._run.start_clock)
        replayed = InvoiceReplay(uuid4().hex, people, retry_seconds=self._options.retry_seconds)
        report = await self._drive(replayed)
        return await self._matched(replayed, people, known, report)

    async def _drive(self, replayed: InvoiceReplay) -> LoopReport:
        def plan() -> Iterator[Arrival]:
            for at, invoice in zip(self._times.tolist(), self._invoices, strict=True):
                yield at, replayed.flow(invoice)

        run, options = self._run, self._options
        recorder = Recorder(run.writer())
        timeout = options.timeout_seconds
        with progress_bar("replaying", len(self._invoices)) as step:
            async with (
                Exchange(run.stack.url, run.clock, recorder, timeout_seconds=timeout) as exchange,
                flushed_often(recorder, run.writer(), self._ending, run.watch()),
            ):
                loop = OpenLoop(exchange, recorder, in_flight_max=options.in_flight_max, ending=self._ending)
                return await loop.run(plan(), step)

    async def _matched(
        self, replayed: InvoiceReplay, people: People, known: set[str], report: LoopReport
    ) -> dict[str, Any]:
        patience = SETTLE_SECONDS_AFTER_END if self._ending else self._options.settle_seconds
        settled = await replayed.settle(self._aside, patience)
        orders = await orders_since(self._aside, people.staff, known)
        matching = reconcile(self._invoices, replayed.fates, orders, people.user_ids)
        _write_fates(self._run.path, replayed.fates)
        summary = _summary(self._trace, self._invoices, self._times, matching | {"settledAfterwards": settled})
        return await self._finish(_findings(matching), summary, work=[work_of(replayed.fates)], client=report)

    async def _finish(self, findings: Findings, more: dict[str, Any], **evidence: Any) -> dict[str, Any]:
        self._ending.add_to(findings)
        late_max = self._options.lateness_p99_max_ms
        return await asyncio.to_thread(self._run.finish, findings, more, lateness_p99_max_ms=late_max, **evidence)


async def _people(exchange: Exchange, stack: Stack, invoices: list[Invoice], options: ReplayOptions) -> People:
    """A user per customer and a few for guests, signed in before the clock starts; and one member of staff. Their names
    are this run's own, so that replays at the same time do not take each other's orders for theirs; only customers
    whose tokens were prepared are shared."""
    mark = uuid4().hex[:8]
    ready = load_tokens(Path(options.tokens)) if options.tokens else {}
    customers = {c: f"customer-{c}" for c in dict.fromkeys(invoice.customer for invoice in invoices) if c}
    prepared = {c: ready[email_of(name)] for c, name in customers.items() if email_of(name) in ready}
    missing = {c: f"{name}-{mark}" for c, name in customers.items() if c not in prepared}
    guests = [f"guest-{mark}-{number}" for number in range(GUESTS)]
    names = [*missing.values(), *guests]
    with progress_bar("signing in", len(names)) as step:
        accounts = await open_accounts(exchange, names, step)
    opened: dict[str, Account] = {c: accounts[name] for c, name in missing.items()}
    return People(prepared | opened, [accounts[name] for name in guests], await open_staff(exchange, stack))


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
    matching: dict[str, Any] | None,
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
        **({"matching": matching} if matching else {}),
        "attribution": trace.attribution,
    }


def _write_fates(path: Path, fates: list[Fate]) -> None:
    pd.DataFrame([fate.as_dict() for fate in fates]).to_parquet(path / "invoices.parquet", index=False)
