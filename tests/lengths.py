"""Short and long forms of one test: `make test` runs the short, `make test-long` (HOLDFAST_TESTS=long) the promised
size. `make test-fast` (HOLDFAST_TESTS=fast) tries fewer examples of each property."""

import os
from typing import TypeVar

T = TypeVar("T")
LONG = os.environ.get("HOLDFAST_TESTS") == "long"
FAST = os.environ.get("HOLDFAST_TESTS") == "fast"
EXAMPLES_OF_A_PROPERTY = 25


def length(short: T, long: T) -> T:
    """How many rounds, seeds or samples this run takes."""
    return long if LONG else short
