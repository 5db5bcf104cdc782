"""What `holdfast bench compression` says of live responses, small."""

import pytest

from workloads.client.command_line import ask


@pytest.mark.slow
def test_the_documented_contents_shrink_as_documented_on_the_wire() -> None:
    """Slow: a stack is started, and a hundred orders are placed to have a history worth compressing."""
    rows = ask("bench", "compression", "--quick")["rows"]
    assert [row["content"] for row in rows] == ["JSON (products)", "JSON (orders)", "HTML pages"]
    for row in rows:
        assert row["reduction"] >= row["documentedReduction"], row
        assert min(row["brBytes"], row["zstdBytes"]) < row["gzipBytes"], row
