"""What some tests need from outside: here, or the test says so and is skipped, but never in CI."""

import os

import pytest

IN_CI = os.environ.get("CI") == "true"


def missing(what: str) -> None:
    """For a test whose outside need is not here: says so and skips, but never in CI."""
    if IN_CI:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
