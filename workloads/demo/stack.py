"""Owns a whole stack for as long as a block lasts: started on free ports, stopped whatever happens."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from workloads.client.running_stack import holdfast_command
from workloads.drivers.parent_death_signal import end_with_parent
from workloads.progress import say, spinner

READY_SECONDS_MAX, STOP_SECONDS_MAX = 90, 30
# Load from one address, and hundreds of accounts: limits and password hashes work as ever, at another size.
LOAD_SETTINGS = {"HOLDFAST_RATE_LIMIT_SCALE": "100000", "HOLDFAST_BCRYPT_ROUNDS": "4"}


class StepFailed(click.ClickException):
    """A step did not do what it is there for. Ends with the exit code of the command that could not."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads the exception's, and declares the class's


@contextmanager
def running_stack(data: Path) -> Iterator[dict[str, str]]:
    """Gives the environment that leads commands to the stack. Raises StepFailed when it does not start."""
    log = data.with_suffix(".log")
    with log.open("w") as output:
        stack = subprocess.Popen(
            holdfast_command("up", "--data", str(data), "--port", "0"),
            env={**os.environ, **LOAD_SETTINGS},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one call, no lock
        )
    try:
        with spinner("starting MongoDB, Redis, API, worker and scheduler"):
            url = _ready(stack, log)
        say(f"   [green]everything runs[/] at {url}")
        yield {"HOLDFAST_DATA": str(data), "HOLDFAST_URL": url, **LOAD_SETTINGS}
    finally:
        _stop(stack)


def _ready(stack: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and stack.poll() is None:
        ready = [line for line in log.read_text().splitlines() if line.startswith("ready ")]
        if ready:
            return ready[0].removeprefix("ready ")
        time.sleep(0.1)
    raise StepFailed(f"the stack did not start: {log.read_text()[-2_000:].strip()}", stack.poll() or 2)


def _stop(stack: subprocess.Popen[bytes]) -> None:
    if stack.poll() is None:
        stack.send_signal(signal.SIGTERM)
        try:
            stack.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            stack.kill()
            stack.wait()
