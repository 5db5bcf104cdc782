"""CPU time of a short piece of work. The least of many: other processes can only make it look dearer."""

from collections.abc import Callable
from time import thread_time_ns

REPEATS = 50


def cpu_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    return min(_once(work) for _ in range(repeats)) / 1e6


def _once(work: Callable[[], object]) -> int:
    started = thread_time_ns()
    work()
    return thread_time_ns() - started
