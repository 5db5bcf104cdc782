"""What the tests ask about processes that are not their own children."""

import time
from collections.abc import Iterable

import psutil


def all_end(pids: Iterable[int], within_seconds: float = 10) -> bool:
    """A zombie counts as ended: in a container nobody may reap what a killed parent leaves."""
    deadline = time.monotonic() + within_seconds
    while running := [pid for pid in pids if runs(pid)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
        pids = running
    return True


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
