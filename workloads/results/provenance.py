"""Owns where a number came from: commit, versions, machine. A figure without them cannot be compared with another."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "holdfast",
    "aiohttp",
    "locust",
    "pandas",
    "numpy",
    "pyarrow",
    "sanic",
    "motor",
    "pymongo",
    "redis",
    "uvloop",
)
REPOSITORY = Path(__file__).resolve().parents[2]
GIT_SECONDS_MAX = 10


def commit() -> dict[str, Any]:
    """`{"id": ..., "dirty": ...}`; the id is None outside a checkout."""
    revision = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if revision else None
    return {"id": revision, "dirty": bool(changed)}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    import psutil

    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memoryBytes": psutil.virtual_memory().total,
        "loadAverage1Minute": round(os.getloadavg()[0], 2),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=GIT_SECONDS_MAX, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
