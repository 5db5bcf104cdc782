"""Owns the result folder on disk and what every driver writes into it: first the manifest, then the rows while they
are measured, and at the end the audited books, the servers' counters before and after, and the summary. A driver begins
a run, drives, and finishes it; whatever ends the driver, the folder says what was measured and what it is worth."""

import errno
import json
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from workloads.client.recorder import RowWriter, RunClock, merge_parts, parts_of
from workloads.client.running_stack import Stack
from workloads.results import provenance, verdict
from workloads.results import reader as results
from workloads.results.server_state import audit, server_document, snapshot
from workloads.results.thresholds import Watch
from workloads.results.verdict import LATENESS_P99_MAX_MS, RUNNING, Evidence, Findings, ScheduleKept, Work

ROWS = "requests.parquet"
DOCUMENTS = ("manifest.json", ROWS, "stock.json", "server.json", "summary.json", "invoices.parquet")
LATEST = "latest"
# The run starts this long after everything is ready, so that its first arrival is not late already.
LEAD_SECONDS = 0.25
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file grew too large",
}


class RunFolderError(Exception):
    """The folder cannot be used for a run."""


class RunNotWritten(Exception):
    """What was measured cannot be written; the run proves nothing."""


class Client(Protocol):
    """What an open loop reports of itself."""

    def kept(self) -> ScheduleKept: ...

    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class About:
    """What the user says of a run: how to find it again, and whether its shop's books can be reached at all."""

    tags: tuple[str, ...] = ()
    note: str = ""
    fail_if: tuple[str, ...] = ()
    audit_wanted: bool = True


class RunInProgress:
    """A result folder being filled. Construct it with `begin_run`, and start its clock right before the first request.
    As a context manager it also ends the folder of a run that broke."""

    def __init__(self, path: Path, stack: Stack, manifest: dict[str, Any], about: About) -> None:
        self.path, self.stack, self.manifest, self._about = path, stack, manifest, about
        self._writer: RowWriter | None = None
        self._finished = False
        self._write("manifest.json", manifest)
        self.start_clock()

    def start_clock(self) -> None:
        """The run begins now: what was done to prepare it is not part of it."""
        self._before = snapshot(self.stack)
        self.clock = RunClock(time.time() + LEAD_SECONDS)
        self.manifest |= _moment("started", self.clock.started_at_epoch_seconds)
        self._write("manifest.json", self.manifest)

    @property
    def rows_path(self) -> Path:
        return self.path / ROWS

    def writer(self) -> RowWriter:
        """Where the rows go. A driver in a process of its own writes to `rows_path` itself instead."""
        if self._writer is None:
            self._writer = RowWriter(self.rows_path)
        return self._writer

    def watch(self) -> Watch:
        """The user's thresholds, to be asked while the run lasts. They are asked once more at its end."""
        return Watch(self._about.fail_if, self.rows_path)

    def finish(
        self,
        findings: Findings,
        more: dict[str, Any],
        *,
        work: Sequence[Work] | None = None,
        client: Client | None = None,
        lateness_p99_max_ms: float = LATENESS_P99_MAX_MS,
    ) -> dict[str, Any]:
        """Writes all that is left of the folder, and returns the summary. `more` is the driver's own part of it, `work`
        what was to be done where that is not the requests, `client` how well an open loop kept its schedule."""
        books = audit(self.stack) if self._about.audit_wanted else _not_wanted()
        return self._end(findings, more, books, work, client, lateness_p99_max_ms)

    def _end(
        self,
        findings: Findings,
        more: dict[str, Any],
        books: dict[str, Any],
        work: Sequence[Work] | None = None,
        client: Client | None = None,
        lateness_p99_max_ms: float = LATENESS_P99_MAX_MS,
    ) -> dict[str, Any]:
        ended = time.time()
        self._close_rows(findings)
        requests = self._rows()
        summary = results.summarise(requests) | more
        self.watch().add_to(findings, requests)
        evidence = Evidence(
            work=[results.work_of(requests)] if work is None else work,
            audit=books,
            audit_wanted=self._about.audit_wanted,
            schedule=client.kept() if client else None,
            latency_p99_ms=math.inf if summary["p99Ms"] is None else summary["p99Ms"],
            lateness_p99_max_ms=lateness_p99_max_ms,
        )
        found = verdict.judge(evidence, findings)
        summary |= {"client": client.as_dict()} if client else {}
        summary |= {"verdict": found.verdict, "reasons": found.reasons, "auditOk": books["ok"]}
        self._write("server.json", server_document(self._before, snapshot(self.stack)))
        self._write("stock.json", books)
        self._write("summary.json", summary)
        ending = _moment("ended", ended) | {"verdict": found.verdict, "reasons": found.reasons}
        self._write("manifest.json", self.manifest | ending)
        self._finished = True
        return summary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None or self._finished or isinstance(error, RunNotWritten):
            return
        findings = Findings(invalid=[f"the run broke: {error or type(error).__name__}"])
        if isinstance(error, KeyboardInterrupt):
            findings = Findings(interrupted=["broken off: nothing was waited for, and the books were not audited"])
        self._end(findings, {}, {"ok": None, "unavailable": "the run was broken off", "checks": []})

    def _close_rows(self, findings: Findings) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            elif not self.rows_path.exists():  # nothing was sent, or the process that wrote rows did not come to merge
                merge_parts(self.rows_path)
        except OSError as error:
            findings.invalid.append(f"{why_unwritten(error)}: rows are missing")

    def _rows(self) -> Any:
        try:
            return results.load_requests(self.rows_path)
        except results.NoRows:
            return results.no_rows()

    def _write(self, name: str, document: dict[str, Any]) -> None:
        try:
            write_json(self.path / name, document)
        except OSError as error:
            raise RunNotWritten(f"{why_unwritten(error)}: {self.path} is not whole") from error


def begin_run(
    path: Path,
    stack: Stack,
    *,
    driver: str,
    scenario: str,
    seed: int,
    options: dict[str, Any],
    trace: dict[str, Any] | None = None,
    about: About = About(),
) -> RunInProgress:
    """Empties or makes the folder and writes its manifest before anything else. `trace` says which file was replayed.
    Raises RunFolderError, RunNotWritten."""
    _prepare(path)
    manifest = {
        "formatVersion": results.FORMAT_VERSION,
        "name": path.name,
        "driver": driver,
        "scenario": scenario,
        "seed": seed,
        "options": options,
        "trace": trace,
        "target": stack.url,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "arguments": sys.argv[1:],
        "tags": list(about.tags),
        "note": about.note,
        "failIf": list(about.fail_if),
        "processId": os.getpid(),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "verdict": RUNNING,
        "reasons": [],
    }
    run = RunInProgress(path, stack, manifest, about)
    _point_latest_to(path)
    return run


def run_path(root: str | Path, name: str | None, scenario: str) -> Path:
    """`root/name`, or a name made of the scenario and the time. Raises RunFolderError for a name that is a path."""
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = name or f"{scenario}-{moment}-{os.getpid()}"
    if name in (LATEST, ".", "..") or Path(name).name != name:
        raise RunFolderError(f"a run cannot be called {name!r}: give a plain folder name other than `{LATEST}`")
    return Path(root) / name


def why_unwritten(error: OSError) -> str:
    return DISK_ERRORS.get(error.errno or 0, f"what was measured cannot be written ({error.strerror or error})")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all, and valid JSON: a number that is not finite is written as null."""
    draft = path.with_suffix(".tmp")
    try:
        draft.write_text(json.dumps(_finite(document), indent=1, allow_nan=False, default=str) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value


def _moment(what: str, epoch_seconds: float) -> dict[str, Any]:
    at = datetime.fromtimestamp(epoch_seconds, UTC).isoformat()
    return {f"{what}At": at, f"{what}AtEpochSeconds": epoch_seconds}


def _not_wanted() -> dict[str, Any]:
    return {"ok": None, "unavailable": "the user said that the books cannot be reached (--no-audit)", "checks": []}


def _prepare(path: Path) -> None:
    """A name may be used again, but only for what is already a result folder: nothing else is ever deleted."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        others = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise RunFolderError(f"{path} cannot be used for a run: {error.strerror}") from None
    if others and not any(name in others for name in DOCUMENTS):
        raise RunFolderError(f"{path} holds other things than a run ({others[0]}, ...); choose another --name")
    for name in DOCUMENTS:
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(parts_of(path / ROWS), ignore_errors=True)


def _point_latest_to(path: Path) -> None:
    """`latest` beside the run leads to it; what else is called so, or a file system without links, is left alone."""
    link = path.parent / LATEST
    if link.exists() and not link.is_symlink():
        return
    draft = path.parent / f".{LATEST}-{os.getpid()}"
    try:
        draft.symlink_to(path.name, target_is_directory=True)
        draft.replace(link)
    except OSError:
        draft.unlink(missing_ok=True)
