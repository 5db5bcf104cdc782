"""Short and long forms of one test: `make test` runs the short, `make test-long` (HOLDFAST_TESTS=long) the promised
size."""

import os

LONG = os.environ.get("HOLDFAST_TESTS") == "long"


def length(short: int, long: int) -> int:
    """How many rounds, seeds or samples this run takes."""
    return long if LONG else short
