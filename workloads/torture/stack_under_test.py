"""Owns one `holdfast up` under torture: its start, the pids of its processes, the commands run against it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workloads.client.running_stack import Stack, StackError, holdfast_command

READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 60.0
COMMAND_SECONDS_MAX = 120.0
HOLD_SECONDS = 3
# Short times, so that a round sees holds expire and payments settle; limits out of the way of one address.
SETTINGS = {
    "HOLDFAST_RATE_LIMIT_SCALE": "1000000",
    "HOLDFAST_RESERVATION_TTL_SECONDS": str(HOLD_SECONDS),
    "HOLDFAST_PAYMENT_UNKNOWN_AFTER_SECONDS": "2",
    "HOLDFAST_ACCESS_TOKEN_TTL_SECONDS": "86400",
    "HOLDFAST_BCRYPT_ROUNDS": "4",
}


class TorturedStack:
    """`environment` names outside stores, if the stack is not to bring its own."""

    def __init__(self, data: Path, environment: Mapping[str, str], *, api_processes: int = 2) -> None:
        self.data, self._api_processes = data, api_processes
        self._environment = {**_without_stores(os.environ), **SETTINGS, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it serves. Raises StackError with what it said last."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = holdfast_command("up", "--port", "0", "--workers", str(self._api_processes), "--data", str(self.data))
        with open(self.data / "up.log", "ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + READY_SECONDS_MAX
        while not self._note():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise StackError(f"the stack does not come up: {self.last_words()}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def stack(self) -> Stack:
        note = self._note()
        return Stack(note["url"], note["mongodbUri"], note["redisUrl"], data=str(self.data))

    def processes(self) -> dict[str, int]:
        return dict(self._note().get("processes", {}))

    def thaw(self) -> None:
        """Nothing stays stopped: a stopped child could not be asked to end."""
        for pid in self.processes().values():
            send(pid, signal.SIGCONT)

    def last_words(self) -> str:
        log = self.data / "up.log"
        return log.read_text(errors="replace")[-2_000:] if log.exists() else "nothing"

    def ask(self, *arguments: str) -> tuple[int, Any]:
        """Runs a `holdfast` command on this stack: (exit code, its JSON document)."""
        done = subprocess.run(
            holdfast_command(*arguments, "--data", str(self.data), "--json"),
            env=self._environment | self.stack.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise StackError(f"holdfast {' '.join(arguments)} said: {done.stdout}{done.stderr}"[-2_000:]) from None

    def _note(self) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        except (OSError, ValueError):
            return {}
        return note


def send(pid: int, number: signal.Signals) -> bool:
    """False when there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _without_stores(environment: Mapping[str, str]) -> dict[str, str]:
    named = {"MONGODB_URI", "REDIS_URL", "HOLDFAST_DATA", "HOLDFAST_URL"}
    return {name: value for name, value in environment.items() if name not in named}
