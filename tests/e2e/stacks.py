"""Whole stacks for black-box tests: `holdfast up` in a process of its own, with a staff member in it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

from api import PASSWORD, Api, Document

HOLDFAST = Path(sys.executable).with_name("holdfast")
READY_SECONDS_MAX = 90
STOP_SECONDS_MAX = 30
ROOMY = {"HOLDFAST_RATE_LIMIT_SCALE": "10000", "HOLDFAST_BCRYPT_ROUNDS": "4"}


@dataclass(frozen=True)
class Stack:
    url: str
    data: Path
    environment: Mapping[str, str]
    processes: Mapping[str, int]
    nobody: Api
    admin: Api

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `holdfast` command against this stack."""
        return subprocess.run(
            [HOLDFAST, *arguments, "--data", self.data],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def staff(self) -> Api:
        member = self.nobody.newcomer("staff")
        promoted = self.admin.patch(f"/api/auth/users/{member.user['id']}", {"role": "staff"})
        assert promoted.status == 200, promoted.body
        login = self.nobody.post("/api/auth/login", {"email": member.user["email"], "password": PASSWORD})
        member.token = login.json["accessToken"]
        return member

    def audit(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("audit", "--json").stdout)
        return found


@contextmanager
def running(data: Path, settings: Mapping[str, str]) -> Iterator[Stack]:
    environment = {**os.environ, **ROOMY, **settings}
    with subprocess.Popen(
        [HOLDFAST, "up", "--port", "0", "--data", data],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield _prepared(_ready(process), data, environment)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _ready(process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + READY_SECONDS_MAX
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready "):
            return line.removeprefix("ready ").strip()
        assert time.monotonic() < deadline, "the stack was not ready in time"
    raise AssertionError(f"holdfast up ended with {process.wait()}")


def _prepared(url: str, data: Path, environment: Mapping[str, str]) -> Stack:
    with urlopen(f"{url}/openapi.json", timeout=10) as response:
        nobody = Api(url, Document(json.load(response)))
    processes = json.loads((data / "stack.json").read_text())["processes"]
    stack = Stack(url, data, environment, processes, nobody, Api(url, nobody.document))
    email = f"admin-{uuid4().hex[:8]}@example.org"
    made = stack.run("admin", "create", email, "--password", PASSWORD)
    assert made.returncode == 0, made.stderr
    stack.admin.token = nobody.post("/api/auth/login", {"email": email, "password": PASSWORD}).json["accessToken"]
    return stack
