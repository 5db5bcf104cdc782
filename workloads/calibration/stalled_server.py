"""Owns the demonstration of coordinated omission: one server that stalls for two seconds, called a hundred times a
second by locust and by the open loop. Both report what they measured; only one of them sent what was intended."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from workloads.calibration.trivial_server import trivial_server
from workloads.client.event_loop import run_async
from workloads.client.exchange import Exchange, Request
from workloads.client.recorder import Recorder, RowWriter, RunClock
from workloads.client.running_stack import StackError
from workloads.drivers.locust.setup import SETUP_VARIABLE, LoadSetup
from workloads.drivers.open_loop import LoopReport, OpenLoop, one_request, plan_of
from workloads.model import arrivals
from workloads.results import reader as results
from workloads.results.verdict import LATENESS_P99_MAX_MS, why_client_too_slow

LOCUSTFILE = Path(__file__).with_name("stalled_locustfile.py")
CALLS_PER_USER = 10
LEAD_SECONDS = 0.5
LOCUST_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Stalled:
    """Each side calls for `seconds` at `rate_per_second`; the server stalls once, `stall_begins_seconds` in."""

    rate_per_second: int = 100
    seconds: float = 10.0
    stall_begins_seconds: float = 4.0
    stall_seconds: float = 2.0


def demonstrate(options: Stalled, rows_to: Path | None = None) -> dict[str, Any]:
    """Both sides' figures and what the closed loop left out. Writes both sides' rows to `rows_to` when given."""
    with tempfile.TemporaryDirectory(prefix="holdfast-stalled-") as private:
        folder = rows_to or Path(private)
        folder.mkdir(parents=True, exist_ok=True)
        locust = _closed(options, folder / "locust.parquet", Path(private))
        report, open_loop = _open(options, folder / "open_loop.parquet")
    intended = round(options.rate_per_second * options.seconds)
    hidden = open_loop["sentDuringStall"] - locust["sentDuringStall"]
    return {
        "ok": open_loop["requests"] == intended and hidden > 0,
        "ratePerSecond": options.rate_per_second,
        "seconds": options.seconds,
        "stallSeconds": options.stall_seconds,
        "intendedRequests": intended,
        "locust": locust,
        "openLoop": open_loop | {"client": report.as_dict()},
        "hiddenRequests": hidden,
        "invalid": why_client_too_slow(report.kept(), open_loop["p99Ms"] or 0.0, LATENESS_P99_MAX_MS),
        "explanation": (
            f"The server stood still for {options.stall_seconds:g} s. Locust's users stood still with it and left out "
            f"{hidden} requests; each of its {locust['users']} users saw one slow answer: p95 {locust['p95Ms']} ms. "
            f"Sent as intended, {open_loop['slowerThan100Ms']} requests waited: p95 {open_loop['p95Ms']} ms."
        ),
    }


def _open(options: Stalled, path: Path) -> tuple[LoopReport, dict[str, Any]]:
    async def drive(url: str) -> LoopReport:
        with RowWriter(path) as writer:
            recorder = Recorder(writer)
            async with Exchange(url, RunClock(time.time() + LEAD_SECONDS), recorder) as exchange:
                schedule = arrivals.constant(options.rate_per_second, options.seconds)
                flows = itertools.repeat(one_request(Request("GET", "/", "root")))
                report = await OpenLoop(exchange, recorder).run(plan_of(schedule, flows))
            recorder.flush()
        return report

    with _server(options) as url:
        report = run_async(drive(url))
    return report, _figures(path, options)


def _closed(options: Stalled, path: Path, private: Path) -> dict[str, Any]:
    users = options.rate_per_second // CALLS_PER_USER
    setup = LoadSetup(rows_path=str(path), check_path=str(private / "check.json"), started_at=time.time())
    setup.write(private / "setup.json")
    with _server(options) as url:
        _run_locust(url, users, options.seconds, private / "setup.json")
    check = json.loads((private / "check.json").read_text())
    return _figures(path, options) | {"users": users, "reportedByLocustP95Ms": check["p95Ms"]}


def _run_locust(url: str, users: int, seconds: float, setup_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url, "--headless"]
    command += ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds:g}s", "--stop-timeout", "5"]
    command += ["--exit-code-on-error", "0", "--loglevel", "ERROR", "--only-summary"]
    environment = os.environ | {SETUP_VARIABLE: str(setup_path), "HOLDFAST_CALLS_PER_USER": str(CALLS_PER_USER)}
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LOCUST_SECONDS_MAX, check=True)
    except subprocess.SubprocessError as error:
        raise StackError(f"locust did not run: {getattr(error, 'stderr', None) or error}") from None


def _server(options: Stalled) -> Any:
    return trivial_server(stall_begins_seconds=options.stall_begins_seconds, stall_lasts_seconds=options.stall_seconds)


def _figures(path: Path, options: Stalled) -> dict[str, Any]:
    requests: pd.DataFrame = results.load_requests(path)
    since_stall = requests["sent"] - requests["sent"].min() - options.stall_begins_seconds
    return {
        "requests": len(requests),
        "sentDuringStall": int(since_stall.between(0, options.stall_seconds, inclusive="left").sum()),
        "slowerThan100Ms": int((requests["latency_ms"] > 100).sum()),
        **results.percentiles_ms(results.counted_ms(requests)),
    }


SMALL = replace(Stalled(), seconds=5.0, stall_begins_seconds=2.0, stall_seconds=1.0)
