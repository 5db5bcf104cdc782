"""Asking the product's own command line and reading its JSON: how the demo and the notebooks measure. Nothing is
imported from the service, and locust never enters a kernel."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from workloads.client.running_stack import holdfast_command

SECONDS_MAX = 1_800  # the look-ups of the documented size, on a slow machine


class CommandFailed(Exception):
    """A command that gave no document; says what it printed instead, and what it exited with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def ask(*arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs `holdfast ARGUMENTS --json`. Returns its document with "exitCode" beside it. Raises CommandFailed."""
    done = subprocess.run(
        holdfast_command(*arguments, "--json"),
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        said = done.stderr[-2_000:] or done.stdout[-2_000:]
        ended = f"`holdfast {' '.join(arguments)}` exited {done.returncode}:\n{said}"
        raise CommandFailed(ended, done.returncode) from None
    return document | {"exitCode": done.returncode}
