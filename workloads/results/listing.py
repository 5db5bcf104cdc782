"""Owns the list of result folders: of each its name, tags, verdict and key figures; of what cannot be read, why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workloads.results.reader import ResultError, load_manifest, read_json
from workloads.results.verdict import RUNNING

FIGURES = ("requests", "requestsPerSecond", "p50Ms", "p95Ms", "p99Ms", "failures", "auditOk")
# A run whose process is gone without an end.
UNFINISHED = "unfinished"


def list_runs(root: Path, tags: Sequence[str] = ()) -> dict[str, Any]:
    """`{runs: [{name, folder, scenario, driver, tags, note, verdict, reasons, startedAt, commit, requests, ...}],
    unreadable: [{folder, reason}]}`, the newest first; with `tags`, only runs that have them all."""
    runs, unreadable = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()):
        try:
            runs.append(_entry(folder))
        except ResultError as error:
            unreadable.append({"folder": str(folder), "reason": str(error)})
    wanted = [run for run in runs if set(tags) <= set(run["tags"])]
    return {"runs": sorted(wanted, key=lambda run: run["startedAt"] or "", reverse=True), "unreadable": unreadable}


def _entry(folder: Path) -> dict[str, Any]:
    manifest = load_manifest(folder)
    summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
    tags, reasons = (_listed(manifest.get(name)) for name in ("tags", "reasons"))
    return {
        "name": str(manifest.get("name", folder.name)),
        "folder": str(folder),
        "scenario": manifest.get("scenario"),
        "driver": manifest.get("driver"),
        "tags": [str(tag) for tag in tags or ()],
        "note": str(manifest.get("note", "")),
        "verdict": _verdict(manifest),
        "reasons": reasons,
        "startedAt": str(manifest.get("startedAt") or ""),
        "commit": (manifest.get("commit") or {}).get("id") if isinstance(manifest.get("commit"), dict) else None,
        **{name: summary.get(name) for name in FIGURES},
    }


def _verdict(manifest: dict[str, Any]) -> str:
    verdict = str(manifest.get("verdict", "unknown"))
    return UNFINISHED if verdict == RUNNING and not _is_alive(manifest) else verdict


def _is_alive(manifest: dict[str, Any]) -> bool:
    """Whether the process that began the run is there; a later one of the same number is another one."""
    import psutil

    process, started = manifest.get("processId"), manifest.get("startedAtEpochSeconds")
    if not isinstance(process, int) or process <= 0:
        return False
    try:
        return psutil.Process(process).create_time() <= (started if isinstance(started, int | float) else float("inf"))
    except (psutil.Error, OverflowError):
        return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
