"""Owns asking the workbench's one verdict of what the HTTP benchmarks did."""

from typing import Any

from benchmarks.kit.outcome import RunInvalid
from workloads.results import verdict
from workloads.results.verdict import Work


def judged(work: list[Work], audit: dict[str, Any]) -> list[str]:
    """What the verdict of every driver says of this one: the checks that failed. Raises RunInvalid where the run proves
    nothing."""
    found = verdict.judge(verdict.Evidence(work, audit))
    if found.invalid:
        raise RunInvalid("; ".join(found.invalid))
    return found.failed
