"""Owns the verdict on a run: one function for every driver, from what the run has to show for itself. Each reason is a
sentence. A run that did no work, was not audited or whose client was too slow proves nothing and is invalid; a run
whose books do not balance or that fell behind has failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RUNNING, OK, FAILED, INVALID, INTERRUPTED = "running", "ok", "failed", "invalid", "interrupted"
EXIT_CODES = {OK: 0, FAILED: 1, INVALID: 2, INTERRUPTED: 2}
# With more failures than this the 99th percentile does not exist.
FAILURE_SHARE_MAX = 0.01
REFUSED_SHARE_MAX = 0.5
LATENESS_P99_MAX_MS = 50.0
# Lateness is part of every latency that is reported: under this share of it, the client changed nothing that is said.
LATENESS_SHARE_MAX = 0.1
# A service falls behind when what is unanswered grows until the end, and to more than this much of the schedule.
BACKLOG_MIN, BACKLOG_GROWTH_MIN, SECONDS_BEHIND_MAX = 10, 1.25, 1.0
EXAMPLES_MAX = 3


@dataclass(slots=True)
class Findings:
    """Reasons, each a sentence: `interrupted` where the run was ended before its time, `invalid` where it proves
    nothing, `failed` where a check broke."""

    invalid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return INTERRUPTED if self.interrupted else INVALID if self.invalid else FAILED if self.failed else OK

    @property
    def reasons(self) -> list[str]:
        return self.interrupted + self.invalid + self.failed


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work that was to be done and what became of it. `failed` counts what was never answered or turned
    away by a limit, `refused` what the service declined, by reason; a sold-out product is neither."""

    what: str
    attempted: int
    done: int
    failed: int
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduleKept:
    """How well an open loop kept its schedule. `backlog` is what was unanswered when the last arrival was due,
    `backlog_halfway` when the middle one was; `per_second` the rate that was meant."""

    planned: int = 0
    dropped: int = 0
    abandoned: int = 0
    lateness_p99_ms: float = 0.0
    backlog: int = 0
    backlog_halfway: int = 0
    per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run has to show. `audit` is the document of `holdfast audit`, `audit_wanted` False where the user said
    that the books cannot be reached. `schedule` is None for a closed loop."""

    work: Sequence[Work]
    audit: Mapping[str, Any]
    audit_wanted: bool = True
    schedule: ScheduleKept | None = None
    latency_p99_ms: float = float("inf")
    lateness_p99_max_ms: float = LATENESS_P99_MAX_MS


def judge(evidence: Evidence, own: Findings | None = None) -> Findings:
    """The findings of a run: the driver's `own` and everything the evidence says."""
    own = own or Findings()
    kept = evidence.schedule
    invalid = [reason for work in evidence.work for reason in why_no_work(work)] or (
        [] if evidence.work else ["nothing was to be done"]
    )
    invalid += why_unaudited(evidence.audit) if evidence.audit_wanted else []
    invalid += why_client_too_slow(kept, evidence.latency_p99_ms, evidence.lateness_p99_max_ms) if kept else []
    failed = why_books_wrong(evidence.audit) + (why_behind(kept) if kept else [])
    return Findings([*own.invalid, *invalid], [*own.failed, *failed], list(own.interrupted))


def why_no_work(work: Work) -> list[str]:
    """Why this work proves nothing: none was tried, none was done, or too much of it failed."""
    if not work.attempted:
        return [f"no work was done: not one of the {work.what} was sent"]
    if not work.done:
        return [f"no work was done: of {work.attempted:,} {work.what} none succeeded{_told(work)}"]
    if work.failed > FAILURE_SHARE_MAX * work.attempted:
        share = f"{work.failed:,} of {work.attempted:,} {work.what} failed ({work.failed / work.attempted:.0%})"
        return [f"too many failures: {share}, more than {FAILURE_SHARE_MAX:.0%}"]
    if sum(work.refused.values()) > REFUSED_SHARE_MAX * work.attempted:
        return [f"most of the {work.what} were refused{_told(work)}"]
    return []


def why_unaudited(audit: Mapping[str, Any]) -> list[str]:
    if audit.get("ok") is None:
        return [f"the books were not audited: {audit.get('unavailable', 'nobody says why')}"]
    return [] if audit.get("checks", True) else ["the books were not audited: the audit made no check"]


def why_books_wrong(audit: Mapping[str, Any]) -> list[str]:
    if audit.get("ok") is not False:
        return []
    broken = [str(check["name"]) for check in audit.get("checks", ()) if not check["ok"]]
    return ["the books do not balance: see stock.json" + (f" ({', '.join(broken[:EXAMPLES_MAX])})" if broken else "")]


def why_client_too_slow(kept: ScheduleKept, latency_p99_ms: float, lateness_p99_max_ms: float) -> list[str]:
    """Why the client, not the service, was measured; an empty list when the run stands."""
    reasons = []
    if kept.lateness_p99_ms > max(lateness_p99_max_ms, LATENESS_SHARE_MAX * latency_p99_ms):
        reasons.append(
            f"the client is saturated: it started arrivals {kept.lateness_p99_ms:.1f} ms late (p99), more than"
            f" {lateness_p99_max_ms:g} ms and a tenth of the latency it measured"
        )
    if kept.dropped:
        reasons.append(f"the client dropped {kept.dropped:,} of {kept.planned:,} arrivals: no free slot in flight")
    if kept.abandoned:
        reasons.append(f"{kept.abandoned:,} arrivals were still unanswered when the run was given up")
    return reasons


def why_behind(kept: ScheduleKept) -> list[str]:
    """Little's law: so many unanswered arrivals at this rate are so many seconds of the schedule. A slow service that
    keeps up has as many halfway; one that does not has ever more, and its latencies depend on the length of the run."""
    seconds = kept.backlog / kept.per_second if kept.per_second else 0.0
    grows = kept.backlog > BACKLOG_GROWTH_MIN * kept.backlog_halfway
    if kept.backlog < BACKLOG_MIN or seconds <= SECONDS_BEHIND_MAX or not grows:
        return []
    return [
        f"the service fell behind: {kept.backlog:,} of {kept.planned:,} arrivals were unanswered when the last one was"
        f" due ({kept.backlog_halfway:,} halfway), {seconds:.1f} s of the schedule; a longer run would be slower still"
    ]


def _told(work: Work) -> str:
    """`: 50 unknown_sku`; the commonest reasons first. Failures that have reasons of their own are not told twice."""
    unexplained = work.failed if work.done + work.failed + sum(work.refused.values()) <= work.attempted else 0
    reasons = {**work.refused, **({"failed": unexplained} if unexplained else {})}
    commonest = sorted(reasons.items(), key=lambda item: -item[1])[:EXAMPLES_MAX]
    return ": " + ", ".join(f"{count:,} {reason}" for reason, count in commonest) if commonest else ""
