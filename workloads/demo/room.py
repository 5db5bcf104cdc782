"""Owns the folder that the demo works in: that it can be written to and has room, told before anything starts."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workloads.demo.stack import StepFailed

MIB_NEEDED = 1_024
INVALID, WRONG_USAGE = 2, 3
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room(folder: Path) -> Iterator[Path]:
    """The folder, made where it is missing. Raises StepFailed where it cannot be written to or the disk is full, also
    when it fills up on the way."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _check_space(folder)
        yield folder


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free >> 20
    if free < MIB_NEEDED:
        raise StepFailed(_full(folder, f"{free:,} MiB are free"), INVALID)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StepFailed(_full(folder, "nothing is left"), INVALID) from None
        if error.filename is None or not str(error.filename).startswith(str(folder)):
            raise
        reason = os.strerror(error.errno or 0)
        raise StepFailed(f"{folder} cannot be written to ({reason}): give another --out", WRONG_USAGE) from None


def _full(folder: Path, found: str) -> str:
    return f"the disk of {folder} is full: {found} and {MIB_NEEDED:,} are needed; make room or give another --out"
