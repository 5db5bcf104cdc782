"""What a running stack leaves in its data directory for others: `stack.json`, its secret, its logs.

`stack.json` is there while the stack serves: {"url", "mongodbUri", "redisUrl", "currency", "pid",
"processes": {name: pid}}."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG_BYTES_MAX = 16 * 2**20


class StackFolder:
    def __init__(self, data: Path) -> None:
        self.path = data.resolve()
        self._note = self.path / "stack.json"

    def log(self, name: str) -> Path:
        return self.path / "log" / f"{name}.log"

    def secret(self) -> str:
        """Made once and kept, so that a restart does not end every session."""
        file = self.path / "secret"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(48))
        return file.read_text()

    def write(self, note: Mapping[str, Any]) -> None:
        write_private(self._note, json.dumps(note, indent=2) + "\n")

    def read(self) -> dict[str, Any] | None:
        """The note of the stack that runs here, or None. A note whose writer was killed counts as none."""
        try:
            note: dict[str, Any] = json.loads(self._note.read_text())
        except FileNotFoundError:
            return None
        return note if _runs(note["pid"]) else None

    def forget(self) -> None:
        self._note.unlink(missing_ok=True)

    def bound_logs(self) -> None:
        """Keeps each log and one older part of it below the limit. Its writer appends, so it may be cut."""
        for log in (self.path / "log").glob("*.log"):
            if log.stat().st_size > LOG_BYTES_MAX:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def write_private(file: Path, text: str) -> None:
    """For the owner's eyes only, and never half written."""
    half = file.with_name(f".{file.name}.new")
    half.unlink(missing_ok=True)
    with open(half, "x", opener=lambda path, flags: os.open(path, flags, mode=0o600)) as handle:
        handle.write(text)
    half.rename(file)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
