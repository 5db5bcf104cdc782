"""Owns `holdfast load`: prepares accounts and stock, runs locust in a process of its own, and makes a result folder of
what it recorded. Locust is never imported here: importing it would patch the caller's whole interpreter."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from workloads.client import api
from workloads.client.accounts import Account, open_accounts, open_staff
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange
from workloads.client.recorder import FLUSH_SECONDS, Recorder, RunClock
from workloads.client.running_stack import Stack, StackError
from workloads.drivers.ending import FAILED, Ended, Ending
from workloads.drivers.locust.setup import SETUP_VARIABLE, LoadSetup, read_catalogue
from workloads.drivers.locust.shapes import SCENARIOS, Scenario
from workloads.drivers.parent_death_signal import end_with_parent
from workloads.drivers.preflight import check_ready
from workloads.progress import progress_bar, say
from workloads.results.run_folder import About, RunInProgress, begin_run
from workloads.results.verdict import Findings

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
USERS_MAX = 20_000
# Locust stops by itself at the end of its shape; this is how long it may take to say goodbye.
GOODBYE_SECONDS = 60.0
POLL_SECONDS = 0.1
# A run that lost its workers halfway measured another scenario than the one that was asked for.
RAN_SHARE_MIN = 0.7


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`processes` are locust's worker processes here, `expect_workers` those started elsewhere by hand."""

    users: int = 50
    run_seconds: float | None = None
    processes: int = 1
    web: bool = False
    expect_workers: int = 0
    master_port: int = 0
    think_scale: float = 0.1
    stock: int | None = None
    hot_sku: str | None = None
    seed: int = 1


def load(scenario_name: str, stack: Stack, path: Path, options: LoadOptions, about: About = About()) -> dict[str, Any]:
    """Runs the scenario and writes the result folder. Returns its summary. Raises StackError when it cannot start."""
    scenario = SCENARIOS[scenario_name]
    options = replace(options, run_seconds=options.run_seconds or scenario.run_seconds)
    ending, facts = Ending(), {"name": scenario.name, "about": scenario.about}
    with ending.on_signals():
        skus, slugs = run_async(_catalogue(stack))
        with begin_run(
            path,
            stack,
            driver="locust",
            scenario=scenario.name,
            seed=options.seed,
            options=asdict(options),
            about=about,
        ) as run:
            try:
                setup = run_async(ending.unless_ended(_prepare(scenario, stack, options, skus, slugs)))
            except Ended:
                return _finish(run, Findings(), {"scenario": facts}, ending)
            run.start_clock()
            findings, check = _drive(scenario, run, options, setup, ending)
            return _finish(run, findings, {"locust": check, "scenario": facts}, ending)


def _drive(
    scenario: Scenario, run: RunInProgress, options: LoadOptions, setup: LoadSetup, ending: Ending
) -> tuple[Findings, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="holdfast-load-") as private:
        check_path = Path(private) / "check.json"
        setup = replace(
            setup,
            rows_path=str(run.rows_path),
            check_path=str(check_path),
            started_at=run.clock.started_at_epoch_seconds,
        )
        setup.write(Path(private) / "setup.json")
        exit_code = _run_locust(scenario, run, options, Path(private) / "setup.json", ending)
        check = json.loads(check_path.read_text()) if check_path.exists() else {}
    return _findings(exit_code, check, 0.0 if ending else setup.run_seconds), check


def _finish(run: RunInProgress, findings: Findings, more: dict[str, Any], ending: Ending) -> dict[str, Any]:
    ending.add_to(findings)
    return run.finish(findings, more)


async def _catalogue(stack: Stack) -> tuple[tuple[str, ...], dict[str, str]]:
    async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as exchange:
        await check_ready(exchange)
    skus, slugs = await asyncio.to_thread(read_catalogue, stack.url)
    if not skus:
        raise StackError("the shop sells nothing yet: run `holdfast seed` first")
    return skus, slugs


async def _prepare(
    scenario: Scenario, stack: Stack, options: LoadOptions, skus: tuple[str, ...], slugs: dict[str, str]
) -> LoadSetup:
    """Accounts signed in and the hot SKU stocked before the clock starts."""
    async with Exchange(stack.url, RunClock(time.time()), Recorder(), timeout_seconds=60.0) as exchange:
        with progress_bar("signing in", options.users) as step:
            accounts = await open_accounts(exchange, [f"shopper{n + 1}" for n in range(options.users)], step)
        staff = await open_staff(exchange, stack)
        hot_sku = options.hot_sku or skus[0]
        if options.stock:
            await _stock(exchange, staff, hot_sku, options.stock)
    return LoadSetup(
        scenario=scenario.name,
        users=options.users,
        run_seconds=0.0 if options.web else float(options.run_seconds or 0.0),
        seed=options.seed,
        think_scale=options.think_scale,
        hot_sku=hot_sku,
        skus=skus,
        slugs=slugs,
        sessions=tuple(_session(account) for account in accounts.values()),
        staff=_session(staff),
    )


async def _stock(exchange: Exchange, staff: Account, sku: str, units: int) -> None:
    answer = await exchange.send(api.receive(await staff.token(exchange), [(sku, units)], uuid4().hex))
    if answer.outcome != "ok":
        raise StackError(f"{units} units of {sku} could not be received: {answer.status} {answer.code}")


def _session(account: Account) -> dict[str, str]:
    return {"email": account.email, "accessToken": account.access_token, "refreshToken": account.refresh_token}


def _run_locust(scenario: Scenario, run: RunInProgress, options: LoadOptions, setup_path: Path, ending: Ending) -> int:
    """Locust's exit code. Its own output goes to stderr, so that stdout stays ours. In a process group of its own:
    Ctrl-C reaches only this process, which ends locust and waits for its rows."""
    seconds = float(options.run_seconds or 0.0)
    command = _locust_command(scenario, run.stack.url, options)
    say(f"{scenario.name}: {scenario.about}; {options.users} users" + ("" if options.web else f" for {seconds:,.0f} s"))
    environment = os.environ | {SETUP_VARIABLE: str(setup_path)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=sys.stderr,
        stderr=sys.stderr,
        process_group=0,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - one call, no lock
    )
    try:
        unlimited = options.web or options.expect_workers
        _wait(process, None if unlimited else seconds + GOODBYE_SECONDS, run, ending)
        return _ended(process)
    finally:
        _kill_group(process)


def _wait(process: "subprocess.Popen[bytes]", seconds: float | None, run: RunInProgress, ending: Ending) -> None:
    """Until locust is done, the run is ended, or its time is over."""
    watch, began, looked = run.watch(), time.monotonic(), time.monotonic()
    while process.poll() is None and not ending and (seconds is None or time.monotonic() - began < seconds):
        time.sleep(POLL_SECONDS)
        if time.monotonic() - looked >= FLUSH_SECONDS:
            looked = time.monotonic()
            if reason := watch.look():
                ending.end(FAILED, reason)


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Locust's exit code; asked to end where it has not by itself, and given time to write its rows."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(GOODBYE_SECONDS)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of locust stays behind, its worker processes included."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _locust_command(scenario: Scenario, url: str, options: LoadOptions) -> list[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url, *scenario.user_classes]
    command += ["--exit-code-on-error", "0", "--loglevel", "WARNING", "--only-summary"]
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    elif options.expect_workers:
        port = options.master_port or _free_port()
        say(f"waiting for {options.expect_workers} workers on port {port}")
        command += ["--master", "--expect-workers", str(options.expect_workers), "--master-bind-port", str(port)]
    if options.web:
        port = _free_port()
        say(f"locust's web UI: http://127.0.0.1:{port}; Ctrl-C ends the run")
        return [*command, "--web-host", "127.0.0.1", "--web-port", str(port)]
    return [*command, "--headless"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _findings(exit_code: int, check: dict[str, Any], run_seconds: float) -> Findings:
    findings = Findings()
    if exit_code != 0 or not check:
        findings.invalid.append(f"locust ended with exit code {exit_code}")
    if check.get("unwritten"):
        findings.invalid.append(f"rows are missing, locust could not write them: {check['unwritten']}")
    if check.get("clientSaturated"):
        findings.invalid.append("the client is saturated: a locust process used more than 90 % of a core")
    if check and check["ranSeconds"] < RAN_SHARE_MIN * run_seconds:
        findings.invalid.append(f"locust stopped after {check['ranSeconds']:.0f} of {run_seconds:.0f} s")
    return findings
