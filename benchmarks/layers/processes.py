"""API processes beside a stack's own, on its stores: started, asked what CPU they used, profiled."""

import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from benchmarks.kit.cpu_time import cpu_seconds_of
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.served_stack import HOST, PYTHON, Served
from service.stack.folder import StackFolder
from service.stack.processes import ChildProcess, Command

STOP_SECONDS_MAX = 15
PROFILE_SECONDS_MAX = 10
POLL_SECONDS = 0.02
BACKLOG = 4_096
REDIS_DATABASES = {"bare": 1, "uncached": 2}  # what one keeps in the cache, another must not find there


@dataclass(frozen=True, slots=True)
class Api:
    kind: str
    url: str
    process: ChildProcess
    profile: Path

    def cpu_seconds(self) -> float:
        if self.process.exit_code is not None:
            raise RunInvalid(f"the {self.kind} process ended with {self.process.exit_code}:\n{self.process.tail()}")
        return cpu_seconds_of(self.process.pid)

    def toggle_profile(self) -> None:
        self.process.send(signal.SIGUSR1)

    def read_profile(self) -> Mapping[str, float]:
        """CPU seconds by part, once a profile has been ended."""
        give_up = time.monotonic() + PROFILE_SECONDS_MAX
        while not self.profile.exists():
            if time.monotonic() > give_up:
                raise RunInvalid(f"the {self.kind} process left no profile:\n{self.process.tail()}")
            time.sleep(POLL_SECONDS)
        seconds = msgspec.json.decode(self.profile.read_bytes(), type=dict[str, float])
        self.profile.unlink()
        return seconds


@contextmanager
def api(kind: str, stack: Served, sizes: Sequence[int] = ()) -> Iterator[Api]:
    """Connections wait in its socket until it serves."""
    folder = stack.data / "compared"
    profile = folder / f"{kind}.profile.json"
    with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        options = ("--fd", str(fd), "--profile", str(profile), "--sizes", *map(str, sizes))
        argv = (PYTHON, "-m", "benchmarks.layers.api", kind, *options)
        process = ChildProcess(Command(kind, argv, folder / f"{kind}.log", _environment(kind, stack), (fd,)))
    try:
        yield Api(kind, f"http://{HOST}:{port}", process, profile)
    finally:
        process.stop(STOP_SECONDS_MAX)


def _environment(kind: str, stack: Served) -> Mapping[str, str]:
    return {
        **stack.environment,
        "MONGODB_URI": stack.mongodb_uri,
        "REDIS_URL": urlsplit(stack.redis_url)._replace(path=f"/{REDIS_DATABASES.get(kind, 0)}").geturl(),
        "HOLDFAST_SECRET": StackFolder(stack.data).secret(),
        "HOLDFAST_APP_NAME": f"bench-{kind}",
    }
