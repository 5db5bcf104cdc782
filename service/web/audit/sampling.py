"""How many refusals go on record: the first ones of each kind one by one, then one entry for many, so that nobody can
fill the log with them and none of them hides another kind."""

from service.clock import Clock

ONE_BY_ONE, THEN_EACH = 20, 100
ENTRIES_PER_HOUR_MAX = 5_000  # of all kinds together; beyond, only the first of a kind is an entry of its own
KINDS_MAX = 10_000
HOUR_SECONDS = 3_600

Kind = tuple[str, ...]


class RefusalSampling:
    def __init__(self, clock: Clock) -> None:
        self._clock, self._hour, self._written = clock, -1, 0
        self._seen: dict[Kind, int] = {}

    def stands_for(self, kind: Kind) -> int:
        """How many refusals of this kind the entry stands for that is to be written now; 0 when none is."""
        self._begin_hour()
        seen = self._seen[kind] = self._seen.pop(kind, 0) + 1  # popped and put back: the latest kind comes last
        if len(self._seen) > KINDS_MAX:
            del self._seen[next(iter(self._seen))]
        alone = 1 if self._written >= ENTRIES_PER_HOUR_MAX else ONE_BY_ONE
        if seen > alone and (seen - alone) % THEN_EACH:
            return 0
        self._written += 1
        return 1 if seen <= alone else THEN_EACH

    def _begin_hour(self) -> None:
        hour = int(self._clock.monotonic() // HOUR_SECONDS)
        if hour != self._hour:
            self._hour, self._written = hour, 0
            self._seen.clear()
