"""The drivers against the real thing: what an engineer types, on a stack that is really running."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workloads.results import reader as results
from workloads.traces.names import COMPLETE_JOURNEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LOAD_SETTINGS = {"HOLDFAST_RATE_LIMIT_SCALE": "1000000", "HOLDFAST_BCRYPT_ROUNDS": "4"}
HOLDFAST = (sys.executable, "-m", "service.cli")
VICTIMS = ("api-1", "worker", "mongod", "redis")
# Two cores shared with the whole stack and other tests: how late the client is, and how far behind the service, says
# nothing here.
PATIENT = ("--max-lateness-ms", "60000")
OF_THE_MACHINE = "the service fell behind"


@dataclass(frozen=True)
class RunningStack:
    data: Path
    runs: Path

    def holdfast(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, JSON document and what was said on stderr."""
        command = [*HOLDFAST, *arguments, "--data", str(self.data), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def drive(self, *arguments: str) -> tuple[int, dict[str, Any], results.Run]:
        code, summary, said = self.holdfast(*arguments, "--runs", str(self.runs))
        assert summary, said
        return code, summary, results.load(summary["folder"])

    def kill(self, process: str) -> None:
        note = json.loads((self.data / "stack.json").read_text())
        os.kill(note["processes"][process], signal.SIGKILL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    data = tmp_path_factory.mktemp("stack")
    command = [*HOLDFAST, "up", "--port", "0", "--data", str(data)]
    environment = {**os.environ, **LOAD_SETTINGS}
    for name in ("MONGODB_URI", "REDIS_URL", "HOLDFAST_URL"):
        environment.pop(name, None)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready "), "the stack did not start"
            yield RunningStack(data, tmp_path_factory.mktemp("runs"))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def what_went_wrong(summary: dict[str, Any]) -> list[str]:
    return [reason for reason in summary["reasons"] if not reason.startswith(OF_THE_MACHINE)]


def dirty_trace(path: Path, invoices: int = 60) -> Path:
    """A trace as shops have them: own column names, a blank date, bad prices, doubled rows, two encodings, no order."""
    chance, rows = random.Random(1), []
    for number in range(invoices):
        when, customer = f"2011-03-{1 + number // 30:02d} 10:{number % 60:02d}", chance.choice(["", "71", "72", "73"])
        for _ in range(chance.randrange(1, 12)):
            item, units, price = chance.randrange(20), chance.randrange(1, 9), chance.choice([2.5, -1, 0])
            rows.append(f"{number};item {item};CAFÉ CUP;{units};{when};{price};{customer}")
    rows += [rows[5], rows[5].replace("2011-03-01 10:00", "")]
    rows += [f"C{invoices + n};item {n};CAFÉ CUP;-1;2011-03-09 10:00;2.5;71" for n in range(10)]
    chance.shuffle(rows)
    lines = [row.encode("cp1252" if n % 2 else "utf-8") for n, row in enumerate(rows)]
    path.write_bytes(b"\n".join([b"order;item;what;units;when;price;customer", *lines]) + b"\n")
    return path


COLUMNS = "InvoiceNo=order,StockCode=item,Description=what,Quantity=units,InvoiceDate=when,UnitPrice=price"


def seed(stack: RunningStack, trace: Path | str, *more: str) -> None:
    code, document, said = stack.holdfast("seed", "--trace", str(trace), *more, "--stock", "10000")
    assert code == 0, said
    assert document["products"] > 0


@pytest.fixture
def plain_trace(tmp_path: Path) -> Path:
    """Invoices 1000 to 1199, each of a few lines."""
    path, chance = tmp_path / "plain.csv", random.Random(2)
    rows = ["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID"]
    for number in range(200):
        when, customer = f"3/{1 + number // 24}/11 {number % 24}:00", chance.randrange(40)
        for _ in range(3):
            rows.append(f"{1000 + number},P{chance.randrange(30)},THING,{chance.randrange(1, 5)},{when},2.5,{customer}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_dirty_trace_with_its_own_column_names_is_replayed_whole(stack: RunningStack, tmp_path: Path) -> None:
    """Slow: it boots the whole stack once for this file."""
    trace = dirty_trace(tmp_path / "dirty.csv")
    plain = tmp_path / "renamed.csv"
    header, _, body = trace.read_bytes().partition(b"\n")
    plain.write_bytes(b"InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID\n" + body)
    assert header.startswith(b"order;")
    seed(stack, plain)
    _, summary, run = stack.drive("replay", str(trace), "--columns", COLUMNS, "--rate", "12", *PATIENT)
    assert what_went_wrong(summary) == []
    assert summary["matching"]["sales"] == summary["matching"]["matched"] == 60
    repairs = summary["invoices"]["repairs"]
    assert {"lines_reencoded", "duplicate_rows_kept", "out_of_order_rows_moved", "blank_dates_filled"} <= repairs.keys()
    assert run.stock["ok"] is True
    assert run.server["writeConflicts"] is not None
    assert run.server["clientRetries"] is not None
    assert run.server["after"]["indexes"]["orders"]
    assert run.manifest["commit"].keys() == {"id", "dirty"}


def test_a_flash_sale_sells_what_there_is_and_nothing_twice(stack: RunningStack, plain_trace: Path) -> None:
    """Slow: the sale lasts some seconds, and locust needs a few more."""
    seed(stack, plain_trace)
    code, document, _ = stack.holdfast("seed", "--products", "1", "--stock", "50")
    assert code == 0, document
    sale = ("--users", "12", "--run-time", "8", "--think", "0.001", "--hot-sku", "HF-000001")
    _, summary, run = stack.drive("load", "flash-sale", *sale)
    assert what_went_wrong(summary) == []
    assert summary["failures"] == 0
    assert summary["outcomes"]["out_of_stock"] > 0, "the crowd wanted more than there was"
    assert summary["auditOk"] is True
    assert len(run.requests) == summary["locust"]["requests"]


def kill_in_turn(stack: RunningStack, victims: list[str], chance: random.Random) -> None:
    """Once the next run has begun, one after the other at random moments of it."""
    runs = len(list(stack.runs.iterdir()))
    deadline = time.monotonic() + 60
    while len(list(stack.runs.iterdir())) == runs:
        assert time.monotonic() < deadline, "no replay began"
        time.sleep(0.05)
    for victim in victims:
        time.sleep(1 + 3 * chance.random())
        stack.kill(victim)


@pytest.mark.timeout(1_800)
def test_a_replay_survives_killed_processes_with_every_invoice_accounted_for(
    stack: RunningStack, plain_trace: Path
) -> None:
    """Slow: each must die and come back in the middle of a replay of some seconds. HOLDFAST_REPLAY_KILLS=10 kills each
    ten times."""
    seed(stack, plain_trace)
    chance = random.Random(1)
    for _ in range(int(os.environ.get("HOLDFAST_REPLAY_KILLS", "1"))):
        victims = chance.sample(VICTIMS, len(VICTIMS))
        with ThreadPoolExecutor(1) as killer:
            killed = killer.submit(kill_in_turn, stack, victims, chance)
            _, summary, run = stack.drive("replay", str(plain_trace), "--rate", "13", "--retry-seconds", "90", *PATIENT)
            killed.result()
        assert what_went_wrong(summary) == [], victims
        assert summary["matching"]["ok"] is True
        assert summary["auditOk"] is True
        # A charge that died with the database on its way never reached the provider, which says so when asked.
        unpaid = run.invoices[run.invoices["outcome"] != "paid"]
        assert set(unpaid["reason"]) <= {"payment_declined"}
        assert len(unpaid) < 20


def test_the_packaged_year_replays_with_its_real_lines(stack: RunningStack) -> None:
    """Slow: reads the year twice, and a hundred baskets take their time."""
    seed(stack, COMPLETE_JOURNEY, "--limit", "120")
    started = time.monotonic()
    _, summary, run = stack.drive("replay", COMPLETE_JOURNEY, "--limit", "120", "--rate", "15", *PATIENT)
    assert what_went_wrong(summary) == []
    assert time.monotonic() - started > 8
    assert summary["matching"]["ok"] is True
    assert summary["invoices"]["lineItems"] == sum(run.invoices["lines"])
    assert summary["matching"]["matched"] == (~run.invoices["is_return"]).sum()
