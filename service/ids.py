"""Ids and random choices from one injected source: seedable in the simulation, the system's own in production."""

import random

from service.clock import Clock

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: nothing to misread aloud
PAIRS = [first + second for second in CROCKFORD for first in CROCKFORD]


class Ids:
    def __init__(self, clock: Clock, source: random.Random | None = None) -> None:
        self._clock = clock
        self._random = source or random.SystemRandom()

    def new(self) -> str:
        """28 hex digits, the first 12 the time in milliseconds, so that new documents land at the end of an index."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        return f"{milliseconds:012x}{self._random.getrandbits(64):016x}"

    def number(self, prefix: str, digits: int = 10) -> str:
        """A number to read aloud that says nothing about how many came before it."""
        bits = self._random.getrandbits(5 * digits)
        return prefix + "".join([PAIRS[bits >> shift & 1023] for shift in range(0, 5 * digits, 10)])[:digits]

    def secret(self) -> str:
        """256 bits as hex, for tokens."""
        return f"{self._random.getrandbits(256):064x}"

    def jitter(self, ceiling_seconds: float) -> float:
        return self._random.random() * ceiling_seconds
