"""Owns finding the running stack: where the service listens, where its stores are. The environment wins over the
`stack.json` that `holdfast up` leaves in its data directory."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA = ".holdfast"
DEFAULT_DATABASE = "holdfast"


class StackError(Exception):
    """No running stack could be found, or it does not answer."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A URI is empty when nobody said it; figures from that store are then marked as unavailable."""

    url: str
    mongodb_uri: str = ""
    redis_url: str = ""
    database: str = DEFAULT_DATABASE
    data: str = ""

    def environment(self) -> dict[str, str]:
        """What a `holdfast` command started from here needs to act on this same stack."""
        named = {
            "HOLDFAST_URL": self.url,
            "MONGODB_URI": self.mongodb_uri,
            "REDIS_URL": self.redis_url,
            "HOLDFAST_DATABASE": self.database,
            "HOLDFAST_DATA": self.data,
        }
        return os.environ | {name: value for name, value in named.items() if value}


def find_stack(data: str | None = None, url: str | None = None) -> Stack:
    """The stack named by `url`, the environment or the data directory's stack.json. Raises StackError."""
    directory = Path(data or os.environ.get("HOLDFAST_DATA") or DEFAULT_DATA)
    written = _read(directory / "stack.json")
    found = url or os.environ.get("HOLDFAST_URL") or written.get("url", "")
    if not found:
        raise StackError(f"no stack is running: {directory}/stack.json is missing and HOLDFAST_URL is not set")
    return Stack(
        url=found.rstrip("/"),
        mongodb_uri=os.environ.get("MONGODB_URI") or written.get("mongodbUri", ""),
        redis_url=os.environ.get("REDIS_URL") or written.get("redisUrl", ""),
        database=os.environ.get("HOLDFAST_DATABASE") or written.get("database", DEFAULT_DATABASE),
        data=str(directory) if written else "",
    )


def holdfast_command(*arguments: str) -> list[str]:
    """The product's own command line beside this interpreter: the workbench asks it, and imports nothing of it."""
    script = Path(sys.executable).with_name("holdfast")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "service.cli", *arguments]


def _read(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read: {error}") from None
    return {key: value for key, value in document.items() if isinstance(value, str)}
