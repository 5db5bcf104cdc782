"""When to start a crashed child again: at once the first time, then ever later, and at some point no more."""

from collections import deque

CRASHES_MAX = 10
WINDOW_SECONDS = 60
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 2


class Restarts:
    def __init__(self) -> None:
        self._crashes: deque[float] = deque()

    def after_crash(self, now: float) -> float | None:
        """Counts one crash at `now` (monotonic) and says how many seconds to wait. None means: give up."""
        while self._crashes and now - self._crashes[0] > WINDOW_SECONDS:
            self._crashes.popleft()
        self._crashes.append(now)
        count = len(self._crashes)
        if count > CRASHES_MAX:
            return None
        return min(PAUSE_SECONDS * 2 ** (count - 2), PAUSE_SECONDS_MAX) if count > 1 else 0.0
