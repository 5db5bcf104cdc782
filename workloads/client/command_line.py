"""Asking the product's own command line and reading its JSON: how the demo and the notebooks measure. Nothing is
imported from the service, and locust never enters a kernel.

`HOLDFAST_ANSWERS=DIR` keeps every measured answer in a folder and gives it again when the same is asked: notebooks that
are executed after the benchmarks read what those measured, instead of measuring again."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workloads.client.running_stack import holdfast_command

SECONDS_MAX = 600


class CommandFailed(Exception):
    """A command that gave no document; says what it printed instead, and what it exited with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def ask(*arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs `holdfast ARGUMENTS --json`. Returns its document with "exitCode" beside it. Raises CommandFailed.

    A command on a stack of the caller's (`environment`) is always run: its answer is about that stack."""
    folder = os.environ.get("HOLDFAST_ANSWERS")
    if folder is None or environment is not None:
        return _run(arguments, environment or {})
    kept = Path(folder) / f"{hashlib.sha256(json.dumps(arguments).encode()).hexdigest()}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_run(arguments, {})))
    answer: dict[str, Any] = json.loads(kept.read_text())
    return answer


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        holdfast_command(*arguments, "--json"),
        env={**os.environ, **environment},
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
