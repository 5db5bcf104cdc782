"""A child process with a parent death signal: it cannot outlive us, writes to its own log file, and is stopped with
its children."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STARTER = Path(__file__).with_name("parent_death_signal.py")
TAIL_BYTES = 8_192
TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    argv: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)  # added to our own
    pass_fds: tuple[int, ...] = ()


class ChildProcess:
    """Started by its constructor, in a session of its own so that a terminal's Ctrl-C reaches only us."""

    def __init__(self, command: Command) -> None:
        assert threading.current_thread() is threading.main_thread(), "it dies with the thread that starts it"
        self.command = command
        self.started_at = time.monotonic()
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(STARTER), str(os.getpid()), *command.argv],
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=command.pass_fds,
                start_new_session=True,
            )

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative when a signal ended it."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL for whatever of its group is left after the grace."""
        self.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """Ends the child and every process it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def tail(self) -> str:
        """The last lines it has written since it was started."""
        with self.command.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._log_start, end), end - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])
