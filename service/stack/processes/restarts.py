"""When to start a crashed child again: at once, or ever later while it does not get going, and at last no more."""

from collections import deque

YOUNG_SECONDS = 5
EARLY_CRASHES_MAX = 10
WINDOW_SECONDS = 60
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 2


class Restarts:
    """Only early deaths speak against a child: one that had served was killed, or met something rare."""

    def __init__(self) -> None:
        self._early_crashes: deque[float] = deque()

    def after_crash(self, now: float, age_seconds: float) -> float | None:
        """Notes a crash at `now` (monotonic) and says how many seconds to wait. None means: give up."""
        if age_seconds >= YOUNG_SECONDS:
            return 0.0
        while self._early_crashes and now - self._early_crashes[0] > WINDOW_SECONDS:
            self._early_crashes.popleft()
        self._early_crashes.append(now)
        count = len(self._early_crashes)
        if count > EARLY_CRASHES_MAX:
            return None
        return min(PAUSE_SECONDS * 2 ** (count - 2), PAUSE_SECONDS_MAX) if count > 1 else 0.0
