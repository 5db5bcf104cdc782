"""A whole served stack in a temporary directory, for one measurement: `holdfast up`, started and stopped.

Every layer of the request path is on. Rate limits are scaled up, since all load comes from one address."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.kit.outcome import RunInvalid
from service.stack.folder import StackFolder
from service.stack.processes import ChildProcess, Command

START_SECONDS_MAX = 90
STOP_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 300
POLL_SECONDS = 0.02
RATE_LIMIT_SCALE = "1000000"
HOST, PYTHON = "127.0.0.1", sys.executable
HOLDFAST = (PYTHON, "-m", "service.cli")


@dataclass(frozen=True, slots=True)
class Served:
    """A stack that answers. `processes` are the operating system's ids by name."""

    url: str
    mongodb_uri: str
    redis_url: str
    database: str
    data: Path
    processes: Mapping[str, int]
    environment: Mapping[str, str]

    def holdfast(self, *arguments: str) -> str:
        """Runs a command on this stack and returns its stdout. Raises RunInvalid when it cannot."""
        done = subprocess.run(
            [*HOLDFAST, *arguments],
            env={**os.environ, **self.environment, "HOLDFAST_DATA": str(self.data)},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode > 1:
            raise RunInvalid(f"holdfast {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2_000:]}")
        return done.stdout

    def seed(self, products: int, stock: int) -> None:
        """A catalogue with `stock` units of every SKU, and nobody to buy it yet."""
        wanted = {"--products": products, "--users": 0, "--orders": 0, "--stock": stock}
        self.holdfast("seed", *(str(word) for option in wanted.items() for word in option))

    def audit(self) -> dict[str, Any]:
        audited: dict[str, Any] = json.loads(self.holdfast("audit", "--json"))
        return audited


@contextmanager
def served(
    environment: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    program: Sequence[str] = (*HOLDFAST, "up"),
) -> Iterator[Served]:
    """`program` is given `--data`, `--port` and `--workers`, and serves like `holdfast up`."""
    settings = {
        "HOLDFAST_RATE_LIMIT_SCALE": RATE_LIMIT_SCALE,
        "HOLDFAST_DATABASE": f"bench_{uuid4().hex[:12]}",
        **(environment or {}),
    }
    with tempfile.TemporaryDirectory(prefix="holdfast-stack-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        argv = (*program, "--data", str(data), "--port", "0", "--workers", str(workers))
        process = ChildProcess(Command("stack", tuple(argv), Path(folder) / "up.log", settings))
        try:
            note = _wait_until_ready(process, data)
            yield Served(
                url=note["url"],
                mongodb_uri=note["mongodbUri"],
                redis_url=note["redisUrl"],
                database=settings["HOLDFAST_DATABASE"],
                data=data,
                processes=note.get("processes", {}),
                environment=settings,
            )
        finally:
            process.stop(STOP_SECONDS_MAX)


def _wait_until_ready(process: ChildProcess, data: Path) -> dict[str, Any]:
    give_up = time.monotonic() + START_SECONDS_MAX
    while True:
        if note := StackFolder(data).read():
            return note
        if process.exit_code is not None:
            raise RunInvalid(f"the stack ended with {process.exit_code} while starting:\n{process.tail()}")
        if time.monotonic() > give_up:
            raise RunInvalid(f"the stack was not ready within {START_SECONDS_MAX} s:\n{process.tail()}")
        time.sleep(POLL_SECONDS)
