"""CPU time: of other processes, and of a short piece of work: the least of many, as others only make it look dearer."""

import time
from collections.abc import Callable, Iterable
from time import thread_time_ns

REPEATS = 50
CPUCLOCK_SCHED = 2  # linux/posix-timers.h


def cpu_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    return min(_once(work) for _ in range(repeats)) / 1e6


def _once(work: Callable[[], object]) -> int:
    started = thread_time_ns()
    work()
    return thread_time_ns() - started


def cpu_seconds_of(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond; /proc counts in hundredths of a second. Linux only:
    the clock is what clock_getcpuclockid(3) gives. Raises OSError when there is no such process."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def used_seconds(process_ids: Iterable[int]) -> float:
    """CPU seconds, user and system, that these processes have used since they began."""
    return sum(map(cpu_seconds_of, process_ids))
