"""A sampler inside the process that is sampled: where its CPU time goes, without slowing any one function.

A timer of CPU time interrupts the process; what its main thread used since the last time is charged to the function
it is in. A tracing profiler would charge the layers, many small functions, with its own cost of every call."""

import dis
import signal
import time
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

import msgspec

from benchmarks.layers.parts import LOOP, THREADS, part_of

EVERY_SECONDS = 0.001  # as often as the kernel's own tick allows
ROOTS = {"asyncio.runners", "uvloop", "service.app", "benchmarks.layers.api", "__main__"}  # above what the loop calls


class Sampler:
    """SIGUSR1 starts it; the next one stops it and leaves {part: CPU seconds} in `file`."""

    def __init__(self, file: Path) -> None:
        self._file, self._seconds = file, defaultdict[str, float](float)
        self._running, self._thread, self._process = False, 0.0, 0.0

    def install(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._toggle)

    def _toggle(self, number: int, frame: FrameType | None) -> None:
        if not self._running:
            self._seconds.clear()
            self._thread, self._process = time.thread_time(), time.process_time()
            signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            all_threads = time.process_time() - self._process
            self._seconds[THREADS] = max(0.0, all_threads - sum(self._seconds.values()))
            unfinished = self._file.with_suffix(".new")
            unfinished.write_bytes(msgspec.json.encode(self._seconds))
            unfinished.rename(self._file)
        self._running = not self._running

    def _sample(self, number: int, frame: FrameType | None) -> None:
        used = time.thread_time()
        part = LOOP if frame is None or _just_called(frame) else part_of(frame)
        self._seconds[part] += used - self._thread
        self._thread = used


def _just_called(frame: FrameType) -> bool:
    """Whether the loop has only just entered Python: what came before was the loop's, and the kernel's reading."""
    caller = frame.f_back
    return (caller is None or caller.f_globals.get("__name__") in ROOTS) and frame.f_lasti <= _entrance(frame.f_code)


@lru_cache
def _entrance(code: CodeType) -> int:
    return next((each.offset for each in dis.get_instructions(code) if each.opname == "RESUME"), 0)
