"""Owns the result folder on disk and what every driver writes into it: the manifest, the rows, the audited books, the
servers' counters before and after, and the summary. A driver begins a run, drives, and finishes it; so no driver can
forget a part."""

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workloads.client.recorder import RowWriter, RunClock
from workloads.client.running_stack import Stack
from workloads.drivers.open_loop import LATENESS_P99_MAX_MS, LoopReport
from workloads.results import provenance
from workloads.results import reader as results
from workloads.results.server_state import audit, server_document, snapshot

DOCUMENTS = ("manifest.json", "requests.parquet", "stock.json", "server.json", "summary.json", "invoices.parquet")
OK, FAILED, INVALID = "ok", "failed", "invalid"
# The run starts this long after everything is ready, so that its first arrival is not late already.
LEAD_SECONDS = 0.25
EXIT_CODES = {OK: 0, FAILED: 1, INVALID: 2}


class RunFolderError(Exception):
    """The folder cannot be used for a run."""


@dataclass(slots=True)
class Findings:
    """What a driver found out about its own run: `invalid` where it proves nothing, `failed` where a check broke."""

    invalid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return INVALID if self.invalid else FAILED if self.failed else OK


class RunInProgress:
    """A result folder being filled. Construct it with `begin_run`, right before the first request."""

    def __init__(self, path: Path, stack: Stack, manifest: dict[str, Any]) -> None:
        self.path, self.stack, self.manifest = path, stack, manifest
        self._before = snapshot(stack)
        self._writer: RowWriter | None = None
        self.clock = RunClock(time.time() + LEAD_SECONDS)

    @property
    def rows_path(self) -> Path:
        return self.path / "requests.parquet"

    def writer(self) -> RowWriter:
        """Where the rows go. A driver in a process of its own writes to `rows_path` itself instead."""
        if self._writer is None:
            self._writer = RowWriter(self.rows_path)
        return self._writer

    def finish(
        self,
        findings: Findings,
        more: dict[str, Any],
        *,
        client: LoopReport | None = None,
        lateness_p99_max_ms: float = LATENESS_P99_MAX_MS,
    ) -> dict[str, Any]:
        """Writes all that is left of the folder, and returns the summary. `more` is the driver's own part of it,
        `client` how well an open loop kept its schedule: too badly, and the run is invalid."""
        ended = time.time()
        if self._writer is not None:
            self._writer.close()
        self._write("server.json", server_document(self._before, snapshot(self.stack)))
        books = audit(self.stack)
        self._write("stock.json", books)
        if books["ok"] is False:
            findings.failed.append("the books do not balance: see stock.json")
        summary = results.summarise(results.load_requests(self.rows_path)) | more
        if client is not None:
            p99_ms = math.inf if summary["p99Ms"] is None else summary["p99Ms"]
            findings.invalid += client.why_invalid(p99_ms, lateness_p99_max_ms)
            summary["client"] = client.as_dict()
        summary |= {"verdict": findings.verdict, "reasons": findings.invalid + findings.failed, "auditOk": books["ok"]}
        self._write("summary.json", summary)
        self._write("manifest.json", self._manifest(ended, findings))
        return summary

    def _manifest(self, ended: float, findings: Findings) -> dict[str, Any]:
        started = self.clock.started_at_epoch_seconds
        return self.manifest | {
            "startedAt": datetime.fromtimestamp(started, UTC).isoformat(),
            "startedAtEpochSeconds": started,
            "endedAt": datetime.fromtimestamp(ended, UTC).isoformat(),
            "verdict": findings.verdict,
            "reasons": findings.invalid + findings.failed,
        }

    def _write(self, name: str, document: dict[str, Any]) -> None:
        write_json(self.path / name, document)


def begin_run(
    path: Path, stack: Stack, *, driver: str, scenario: str, seed: int, options: dict[str, Any]
) -> RunInProgress:
    """Empties or makes the folder, takes the servers' counters, and starts the run's clock. Raises RunFolderError."""
    _prepare(path)
    manifest = {
        "name": path.name,
        "driver": driver,
        "scenario": scenario,
        "seed": seed,
        "options": options,
        "target": stack.url,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }
    return RunInProgress(path, stack, manifest)


def run_path(root: str | Path, name: str | None, scenario: str) -> Path:
    """`root/name`, or a name made of the scenario and the time."""
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return Path(root) / (name or f"{scenario}-{moment}-{os.getpid()}")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all, and valid JSON: a number that is not finite is written as null."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(_finite(document), indent=1, allow_nan=False, default=str) + "\n")
    draft.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value


def _prepare(path: Path) -> None:
    """A name may be used again, but only for what is already a result folder: nothing else is ever deleted."""
    path.mkdir(parents=True, exist_ok=True)
    others = [entry.name for entry in path.iterdir()]
    if others and not any(name in others for name in DOCUMENTS):
        raise RunFolderError(f"{path} holds other things than a run ({others[0]}, ...); choose another --name")
    for name in DOCUMENTS:
        (path / name).unlink(missing_ok=True)
