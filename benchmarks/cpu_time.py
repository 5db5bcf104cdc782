"""CPU time: of other processes, and of a short piece of work: the least of many, as others only make it look dearer."""

from collections.abc import Callable, Iterable
from time import thread_time_ns

import psutil

REPEATS = 50


def cpu_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    return min(_once(work) for _ in range(repeats)) / 1e6


def _once(work: Callable[[], object]) -> int:
    started = thread_time_ns()
    work()
    return thread_time_ns() - started


def used_seconds(process_ids: Iterable[int]) -> float:
    """CPU seconds, user and system, that these processes have used since they began."""
    times = [psutil.Process(process_id).cpu_times() for process_id in process_ids]
    return float(sum(time.user + time.system for time in times))
