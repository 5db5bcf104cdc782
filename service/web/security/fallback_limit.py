"""What bounds the open routes while Redis is down: a count per client in this process, coarse but there."""

from collections import Counter

from service.clock import Clock
from service.errors import TooMany

WINDOW_SECONDS = 60
CLIENTS_MAX = 10_000


class FallbackLimit:
    def __init__(self, clock: Clock) -> None:
        self._clock, self._window, self._counts = clock, 0, Counter[str]()

    def take(self, client: str, quota: int) -> None:
        """Raises TooMany above `quota` requests of a client in a minute, or when there are more clients than can be
        told apart."""
        window = int(self._clock.monotonic() // WINDOW_SECONDS)
        if window != self._window:
            self._window = window
            self._counts.clear()
        if self._counts[client] >= quota or (client not in self._counts and len(self._counts) >= CLIENTS_MAX):
            raise TooMany(retry_after_seconds=WINDOW_SECONDS)
        self._counts[client] += 1
