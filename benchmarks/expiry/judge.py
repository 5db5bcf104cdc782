"""What must hold of a drain, and how it is shown."""

from collections.abc import Iterator
from typing import Any

from benchmarks.kit.outcome import BenchOutcome, table

DRAIN_SECONDS_MAX = 20
RATIO_MIN = 0.70


def judge(result: dict[str, Any], timed: bool = True) -> BenchOutcome:
    """`timed`: there were enough holds for the times to mean something. Counts always do."""
    broken = (*_miscounted(result), *(_slow(result) if timed else ()))
    rate, p99, lag = result["checkoutsPerSecond"], result["p99Ms"], result["expiryLagMs"]
    drain = table(
        f"{result['holds']:,} expired holds on {result['skus']:,} SKUs, two workers",
        ("", ""),
        [
            ("drained in seconds", result["drainSeconds"]),
            ("expiry lag p50, ms", lag["p50"]),
            ("expiry lag at most, ms", lag["max"]),
            ("released twice", result["releasedTwice"]),
            ("still held", result["stillHeld"]),
            ("swept by", ", ".join(f"{name} {count:,}" for name, count in result["sweptBy"].items())),
            ("audit", "ok" if result["audit"]["ok"] else "violated"),
        ],
    )
    rows = [(name, rate[name], p99[name]) for name in ("before", "during")]
    rates = table(f"{result['connections']} clients", ("checkouts over HTTP", "per second", "p99 ms"), rows)
    kept = table("kept", ("", "times"), [("rate during over before", result["ratio"])])
    return BenchOutcome(result, (drain, rates, kept), broken)


def _miscounted(result: dict[str, Any]) -> Iterator[str]:
    if result["releasedTwice"]:
        yield f"{result['releasedTwice']} holds were released more than once"
    if result["released"] != result["holds"]:
        yield f"{result['released']} of {result['holds']} holds were released"
    if result["errors"]:
        yield f"{result['errors']} checkouts were not answered as they should"
    if not result["audit"]["ok"]:
        yield "the audit found violations"


def _slow(result: dict[str, Any]) -> Iterator[str]:
    if result["drainSeconds"] >= DRAIN_SECONDS_MAX:
        yield f"the drain took {result['drainSeconds']} s, not under {DRAIN_SECONDS_MAX}"
    if result["ratio"] < RATIO_MIN:
        yield f"checkouts kept {result['ratio']:.0%} of their rate, not {RATIO_MIN:.0%}"
