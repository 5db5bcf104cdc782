"""Installs and starts the peer of `benchmarks/side_by_side/peer`: Express, compression, helmet, mongoose, on node."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.kit.outcome import RunInvalid
from service.stack.processes import ChildProcess, Command

PEER = Path(__file__).resolve().with_name("peer")
INSTALL = ("npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
INSTALL_SECONDS_MAX = 300
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 5
POLL_SECONDS = 0.02


@contextmanager
def peer(mongodb_uri: str, database: str, folder: Path) -> Iterator[str]:
    """The URL of a running peer on `database`. Raises RunInvalid when node or its packages are not to be had."""
    _install()
    log = folder / "peer.log"
    environment = {"MONGODB_URI": mongodb_uri, "DATABASE": database, "NODE_ENV": "production"}
    process = ChildProcess(Command("peer", ("node", str(PEER / "server.js")), log, environment))
    try:
        yield _wait_for_url(process, log)
    finally:
        process.stop(STOP_SECONDS_MAX)


def _install() -> None:
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        raise RunInvalid(f"the peer needs {' and '.join(missing)} on the PATH")
    installed = PEER / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (PEER / "package-lock.json").stat().st_mtime:
        return
    done = subprocess.run(INSTALL, cwd=PEER, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    if done.returncode:
        raise RunInvalid(f"the peer's packages could not be installed: {done.stderr[-1_000:]}")


def _wait_for_url(process: ChildProcess, log: Path) -> str:
    give_up = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up:
        for line in log.read_text().splitlines():
            if line.startswith("ready "):
                return line.removeprefix("ready ")
        if process.exit_code is not None:
            break
        time.sleep(POLL_SECONDS)
    raise RunInvalid(f"the peer did not start: {process.tail()}")
